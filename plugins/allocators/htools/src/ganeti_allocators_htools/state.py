"""A placement of the instances and what follows from it for each node.

`Static` holds what no move changes (sizes, limits, tag tables); `State` holds the placement and the
per-node quantities, one row of ``State.q`` (float64, whole numbers exact) per name in `Q`, one
column per node. `State.copy` is cheap; `Static` is shared between copies. The rows:

    umem           unallocated memory; what checks and the score use
    fdsk fsp       free disk MiB; free spindles (exclusive storage)
    ucpu           virtual CPUs in use, the node's own included
    isp            spindle use of instances (0 under exclusive storage)
    cload mload dload nload   dynamic load
    rmem           memory reserved for the worst failing peer
    imem           memory of primaries that run
    npri nsec      number of primaries and secondaries
    lscore         sum of the primaries' location scores
    umem_f fdsk_f fsp_f ucpu_f isp_f   the same with forthcoming and stopped instances counted

``State.peers[s, p]`` is the memory node s must reserve should p fail; ``State.ptags[n, x]`` counts
exclusion tag x among n's primaries; ``State.plist`` and ``slist`` are the nodes' instances, newest
first. The rules are those of upstream's release 3.0, checked against its programs' output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from .model import NO_NODE, Bools, Cluster, Floats, Ints
from .tags import TagRules, matching

Q = (
    "umem",
    "fdsk",
    "fsp",
    "ucpu",
    "isp",
    "cload",
    "mload",
    "dload",
    "nload",
    "rmem",
    "imem",
    "npri",
    "nsec",
    "lscore",
    "umem_f",
    "fdsk_f",
    "fsp_f",
    "ucpu_f",
    "isp_f",
)
Node = TypeVar("Node", int, Ints)

ROW = {name: number for number, name in enumerate(Q)}
LOADS = slice(ROW["cload"], ROW["nload"] + 1)

#: Moves as changes of role: for the instance's primary, its secondary and the target node the
#: sequence of steps, each +1/-1 and P (primary) or S (secondary). Upstream's names in comments.
STEPS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "f": (("-P", "+S"), ("-S", "+P"), ()),  # failover or migrate
    "fa": (("-P",), (), ("+P",)),  # failover to any node
    "r": (("-P", "+P"), ("-S",), ("+S",)),  # replace secondary
    "rf": (("-P", "+S"), ("-S",), ("+P",)),  # replace and failover
    "frf": (("-P",), ("-S", "+P", "-P", "+S"), ("+P",)),  # replace primary
    "fr": (("-P",), ("-S", "+P"), ("+S",)),  # failover and replace
}


def whole(values: Floats) -> Floats:
    """Truncated towards zero, unknown sizes (NaN, infinite) as 0."""
    return np.trunc(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0))


@dataclass(frozen=True, eq=False)
class Static:
    """What no move changes: see `build_static`."""

    cluster: Cluster
    rules: TagRules
    offline: Bools
    xmem: Floats  # memory missing from the node's report
    tspeed: Floats
    pool: Floats  # (4, N) load pools
    lo_dsk: Floats  # free disk must not fall below
    hi_cpu: Floats  # virtual to physical CPU ratio limit, negative: none
    hi_spindles: Floats
    mem: Floats  # per instance, float copies for arithmetic
    counted: Floats  # memory where primary, only of instances that run
    dsk: Floats  # disk taken on each node (0 for shared storage)
    vcpus: Floats  # 0 for ADMIN_offline
    sec_mem: Floats  # memory to be reserved on the secondary
    spindle_use: Floats  # 0 for shared storage
    spindles: Floats  # NaN when not known
    real: Bools  # not forthcoming
    as_primary: Floats  # (rows of Q, I) change of a node's quantities by becoming primary there
    as_secondary: Floats
    usable: Floats  # (rows of Q, N) 0 where a quantity does not apply to a node, else 1
    exclusion: tuple[tuple[int, ...], ...]  # exclusion tag numbers per instance
    exclusion_tags: tuple[str, ...]
    locations: tuple[frozenset[str], ...]  # failure-domain tags per node
    desired: tuple[frozenset[str], ...]  # desired locations per instance
    score_table: Floats | None = None  # kept by `score.stddev_columns`

    @cached_property
    def migratable(self) -> Bools | None:
        """(N, N) [source, target] allowed by migration tags; None when no such tag is in use."""
        if not self.rules.migration:
            return None
        nodes = self.cluster.nodes
        own = [set(matching(tags, self.rules.migration)) for tags in nodes.tags]
        accepts = [
            tags | {old for old, new in self.rules.allowed_migrations if new in tags}
            for tags in own
        ]
        return np.array([[source <= target for target in accepts] for source in own], dtype=bool)

    @cached_property
    def common(self) -> Floats | None:
        """(N, N) number of failure-domain tags two nodes share; None without location tags."""
        if not any(self.locations):
            return None
        names = sorted(set().union(*self.locations))
        table = np.array([[name in tags for name in names] for tags in self.locations], dtype=float)
        shared: Floats = table @ table.T
        return shared

    @cached_property
    def unmet(self) -> Floats | None:
        """(I, N) desired locations missing on a node; None when no instance desires one."""
        if not any(self.desired):
            return None
        return np.array(
            [[len(want - have) for have in self.locations] for want in self.desired], dtype=float
        )

    @property
    def located(self) -> bool:
        """Whether location tags are in use."""
        return self.common is not None or self.unmet is not None


class State:
    """The placement and its per-node quantities; rows of ``q`` are also attributes."""

    umem: Floats
    fdsk: Floats
    fsp: Floats
    ucpu: Floats
    isp: Floats
    cload: Floats
    mload: Floats
    dload: Floats
    nload: Floats
    rmem: Floats
    imem: Floats
    npri: Floats
    nsec: Floats
    lscore: Floats
    umem_f: Floats
    fdsk_f: Floats
    fsp_f: Floats
    ucpu_f: Floats
    isp_f: Floats

    __slots__ = (
        "fails_n1",
        "peers",
        "plist",
        "pnode",
        "ptags",
        "q",
        "slist",
        "snode",
        "static",
        *Q,
    )

    def __init__(
        self,
        static: Static,
        q: Floats,
        peers: Floats,
        ptags: Ints,
        pnode: Ints,
        snode: Ints,
        plist: list[list[int]],
        slist: list[list[int]],
        fails_n1: Bools | None = None,
    ) -> None:
        self.static = static
        self.q = q
        self.peers = peers
        self.ptags = ptags
        self.pnode = pnode
        self.snode = snode
        self.plist = plist
        self.slist = slist
        for name, row in zip(Q, q, strict=True):
            setattr(self, name, row)
        #: Nodes that could not take over after the worst failure. As upstream has it: in the
        #: input those with less memory than reserved, after a change of a node also those with
        #: exactly as much or without free disk.
        self.fails_n1: Bools = q[ROW["umem"]] < q[ROW["rmem"]] if fails_n1 is None else fails_n1

    def copy(self) -> State:
        return State(
            self.static,
            self.q.copy(),
            self.peers.copy(),
            self.ptags.copy(),
            self.pnode.copy(),
            self.snode.copy(),
            [items.copy() for items in self.plist],
            [items.copy() for items in self.slist],
            self.fails_n1.copy(),
        )

    @property
    def pdsk(self) -> Floats:
        """Free disk as a fraction (free spindles under exclusive storage); 1 for no disk."""
        return self._disk_fraction(self.fdsk, self.fsp)

    @property
    def pdsk_f(self) -> Floats:
        return self._disk_fraction(self.fdsk_f, self.fsp_f)

    def _disk_fraction(self, fdsk: Floats, fsp: Floats) -> Floats:
        nodes = self.static.cluster.nodes
        free = np.where(nodes.exclusive, fsp, fdsk)
        total = np.where(nodes.exclusive, nodes.spindles, nodes.tdsk)
        result = np.ones_like(free)
        np.divide(free, total, out=result, where=total != 0)
        return result

    def replace_column(self, node: int, column: Floats) -> None:
        """Give a node new quantities."""
        self.q[:, node] = column
        umem, rmem, fdsk = (column[ROW[name]] for name in ("umem", "rmem", "fdsk"))
        self.fails_n1[node] = umem <= rmem or fdsk <= 0

    def relocate(self, inst: int, kind: str, target: int = NO_NODE) -> None:
        """Apply one move (a key of `STEPS`) without any check, in upstream's order of steps."""
        static = self.static
        old_p, old_s = int(self.pnode[inst]), int(self.snode[inst])
        new_p, new_s = destination(kind, old_p, old_s, target)
        real = bool(static.real[inst])
        columns = {
            role: values[:, 0]
            for role, values in moved_columns(
                self, kind, np.array([inst]), np.array([target])
            ).items()
        }
        for role, node in zip("pst", (old_p, old_s, target), strict=True):
            if role in columns:
                self.replace_column(node, columns[role])
        self.plist[old_p].remove(inst)
        self.plist[new_p].insert(0, inst)
        if old_p != new_p:
            for tag in static.exclusion[inst] if real else ():
                self.ptags[old_p, tag] -= 1
                self.ptags[new_p, tag] += 1
        if old_s != NO_NODE:
            self.slist[old_s].remove(inst)
            self.slist[new_s].insert(0, inst)
            if real:
                self.peers[old_s, old_p] -= static.sec_mem[inst]
                self.peers[new_s, new_p] += static.sec_mem[inst]
        self.pnode[inst], self.snode[inst] = new_p, new_s


def location_scores(static: Static, insts: Ints, pnode: Ints, snode: Ints) -> Floats:
    """Location penalties of these instances, were they on these nodes (snode -1: none)."""
    result = np.zeros(len(insts))
    if static.common is not None:
        result += np.where(snode != NO_NODE, static.common[pnode, snode], 0)
    if static.unmet is not None:
        result += static.unmet[insts, pnode]
    return result * static.real[insts]


#: Called for each step that adds an instance to a node: (role, step, columns before and after,
#: node numbers) so that a caller may check limits on the way; see `moved_columns`.
StepObserver = Callable[[str, str, Floats, Floats, Ints], None]


def moved_columns(
    state: State, kind: str, insts: Ints, targets: Ints, observe: StepObserver | None = None
) -> dict[str, Floats]:
    """What the nodes' quantities become if each of ``insts`` makes a ``kind`` move to its target.

    Arguments are arrays of one length C; every instance is moved on its own from ``state``. The
    result has, for each node concerned ("p" its primary, "s" its secondary, "t" the target), the
    new columns of ``State.q`` as an array (rows, C). Sums are formed step by step as upstream does,
    so that the last bit of fractional loads agrees.
    """
    static = state.static
    old_p, old_s = state.pnode[insts], state.snode[insts]
    new_p, _ = destination(kind, old_p, old_s, targets)
    memory = static.sec_mem[insts] * static.real[insts]
    result: dict[str, Floats] = {}
    nodes_of = {"p": old_p, "s": old_s, "t": targets}
    steps_of = dict(zip("pst", STEPS[kind], strict=True))
    for role in "spt":  # the secondary first, as upstream finds its objections
        nodes, steps = nodes_of[role], steps_of[role]
        if not steps:
            continue
        columns = state.q[:, nodes]
        usable = static.usable[:, nodes]
        for step in steps:
            before = columns
            sign = 1.0 if step[0] == "+" else -1.0
            table = static.as_primary if step[1] == "P" else static.as_secondary
            columns = columns + sign * (table[:, insts] * usable)
            if step == "-S":
                columns[ROW["rmem"]] = _rmem_without(state, nodes, old_p, memory)
            elif step == "+S":
                reserved = state.peers[nodes, new_p] + memory
                columns[ROW["rmem"]] = np.maximum(columns[ROW["rmem"]], reserved)
            if observe is not None and sign > 0:
                observe(role, step, before, columns, nodes)
        result[role] = columns
    if static.located:
        old = location_scores(static, insts, old_p, old_s)
        new_nodes = destination(kind, old_p, old_s, targets)
        new = location_scores(static, insts, *new_nodes)
        result["p"][ROW["lscore"]] -= old
        arrived = {"f": "s", "fa": "t", "r": "p", "rf": "t", "frf": "t", "fr": "s"}[kind]
        result[arrived][ROW["lscore"]] += new
    return result


def _rmem_without(state: State, nodes: Ints, peers: Ints, memory: Floats) -> Floats:
    """Reserved memory of ``nodes`` with ``memory`` less for ``peers``."""
    table = state.peers[nodes]
    rows = np.arange(len(nodes))
    table[rows, peers] -= memory
    result: Floats = np.maximum(0.0, table.max(axis=1))
    return result


def destination(kind: str, pnode: Node, snode: Node, target: Node) -> tuple[Node, Node]:
    """Primary and secondary after a move of an instance now on ``pnode``, ``snode``."""
    return {
        "f": (snode, pnode),
        "fa": (target, snode),
        "r": (pnode, target),
        "rf": (target, pnode),
        "frf": (target, snode),
        "fr": (snode, target),
    }[kind]


def build_static(
    cluster: Cluster,
    rules: TagRules | None = None,
    max_cpu: float | None = None,
    min_disk: float | None = None,
) -> Static:
    """Sizes and limits of ``cluster``; ``max_cpu`` and ``min_disk`` override the policy's."""
    rules = TagRules.of(cluster.tags) if rules is None else rules
    nodes, insts = cluster.nodes, cluster.instances
    policies = [cluster.groups[number].policy for number in nodes.group.tolist()]
    real = ~insts.forthcoming
    counted = np.where(insts.uses_memory, insts.mem, 0).astype(float)
    used = np.bincount(insts.pnode[real], weights=counted[real], minlength=len(nodes))
    exclusion = [matching(tags, rules.exclusion) for tags in insts.tags]
    names = sorted({tag for tags in exclusion for tag in tags})
    number = {name: index for index, name in enumerate(names)}
    ratio = [policy.vcpu_ratio for policy in policies]
    amounts = {
        "mem": insts.mem.astype(float),
        "counted": counted,
        "dsk": np.where(insts.local, insts.dsk, 0).astype(float),
        "vcpus": np.where(insts.online, insts.vcpus, 0).astype(float),
        "sec_mem": np.where(insts.uses_sec_mem, insts.mem, 0).astype(float),
        "spindle_use": np.where(insts.local, insts.spindle_use, 0).astype(float),
        "spindles": np.where(insts.spindles < 0, np.nan, insts.spindles.astype(float)),
    }
    return Static(
        cluster=cluster,
        rules=rules,
        offline=nodes.offline,
        xmem=whole(nodes.tmem) - nodes.nmem - used - nodes.fmem,
        tspeed=nodes.cpu_speed,
        pool=np.ones((4, len(nodes))),
        lo_dsk=np.floor(whole(nodes.tdsk) * (min_disk or 0.0)),
        hi_cpu=np.array(ratio if max_cpu is None else [max_cpu] * len(nodes), dtype=float),
        hi_spindles=np.array([policy.spindle_ratio for policy in policies]) * nodes.spindles,
        real=real,
        exclusion=tuple(tuple(number[tag] for tag in tags) for tags in exclusion),
        exclusion_tags=tuple(names),
        locations=tuple(frozenset(matching(tags, rules.location)) for tags in nodes.tags),
        desired=tuple(frozenset(matching(tags, rules.desired)) for tags in insts.tags),
        **amounts,
        **_changes(amounts, insts.util, real, nodes.exclusive),
    )


def _changes(
    amounts: dict[str, Floats], util: Floats, real: Bools, exclusive: Bools
) -> dict[str, Floats]:
    """`Static.as_primary`, ``as_secondary`` and ``usable``."""
    as_primary = np.zeros((len(Q), len(real)))
    as_secondary = np.zeros_like(as_primary)
    spindles = np.nan_to_num(amounts["spindles"])
    disk = {"fdsk": -amounts["dsk"], "fsp": -spindles, "isp": amounts["spindle_use"]}
    for suffix, mask in (("", real), ("_f", True)):
        for name, values in disk.items():
            as_primary[ROW[name + suffix]] = as_secondary[ROW[name + suffix]] = values * mask
        as_primary[ROW["ucpu" + suffix]] = amounts["vcpus"] * mask
    as_primary[ROW["umem"]] = -amounts["counted"] * real
    as_primary[ROW["imem"]] = amounts["counted"] * real
    as_primary[ROW["umem_f"]] = -amounts["mem"]
    as_primary[LOADS] = (util * real[:, None]).T
    as_secondary[ROW["dload"]] = util[:, 2] * real
    as_primary[ROW["npri"]] = as_secondary[ROW["nsec"]] = real
    usable = np.ones((len(Q), len(exclusive)))
    usable[[ROW["isp"], ROW["isp_f"]]] = ~exclusive
    usable[[ROW["fsp"], ROW["fsp_f"]]] = exclusive
    return {"as_primary": as_primary, "as_secondary": as_secondary, "usable": usable}


def build_state(static: Static) -> State:
    """The state the input describes: free disk as reported, memory and load summed up."""
    nodes, insts = static.cluster.nodes, static.cluster.instances
    count = len(nodes)
    real = static.real
    pnode, snode = insts.pnode.copy(), insts.snode.copy()
    has_sec = snode != NO_NODE
    q = np.zeros((len(Q), count))

    def per_node(where: Ints, values: Floats) -> Floats:
        return np.bincount(where, weights=values, minlength=count).astype(np.float64)

    def primaries(values: Floats, mask: Bools) -> Floats:
        return per_node(pnode[mask], values[mask])

    # one after the other in the instances' order, as sums of fractions depend on it
    order = np.column_stack((pnode, snode)).ravel()
    both = (order != NO_NODE) & np.repeat(real, 2)
    sec_util = insts.util * np.array([0.0, 0.0, 1.0, 0.0])
    util = np.stack((insts.util, sec_util), axis=1).reshape(-1, 4)

    imem = primaries(static.counted, real)
    q[ROW["imem"]] = imem
    q[ROW["umem"]] = whole(nodes.tmem) - nodes.nmem - imem - np.maximum(0, static.xmem)
    q[ROW["ucpu"]] = nodes.ncpu + primaries(static.vcpus, real)
    q[ROW["ucpu_f"]] = nodes.ncpu + primaries(static.vcpus, np.ones_like(real))
    for row in range(4):
        q[LOADS.start + row] = np.bincount(order[both], weights=util[both, row], minlength=count)
    measured = ~np.isnan(nodes.cpu_load)
    q[ROW["cload"], measured] = nodes.cpu_load[measured]
    q[ROW["npri"]] = primaries(np.ones(len(insts)), real)
    second = has_sec & real
    q[ROW["nsec"]] = np.bincount(snode[second], minlength=count)
    missing = np.where(real & insts.uses_memory, 0.0, static.mem)
    q[ROW["umem_f"]] = nodes.fmem - primaries(missing, np.ones_like(real))
    everything = np.ones_like(real)
    for mask, suffix in ((real, ""), (everything, "_f")):
        on_secondary = mask & has_sec
        uses = primaries(static.spindle_use, mask) + per_node(
            snode[on_secondary], static.spindle_use[on_secondary]
        )
        q[ROW[f"isp{suffix}"]] = np.where(nodes.exclusive, 0, uses)
    # what is free was reported with the real instances in place
    planned = ~real
    spindles = np.nan_to_num(static.spindles) * nodes.exclusive[pnode]
    for name, reported, values in (
        ("fdsk", nodes.fdsk, static.dsk),
        ("fsp", nodes.fspindles, spindles),
    ):
        on_secondary = planned & has_sec
        taken = primaries(values, planned) + per_node(snode[on_secondary], values[on_secondary])
        q[ROW[name]] = reported
        q[ROW[f"{name}_f"]] = reported - taken
    peers = np.zeros((count, count))
    np.add.at(peers, (snode[second], pnode[second]), static.sec_mem[second])
    q[ROW["rmem"]] = np.maximum(0, peers.max(axis=1)) if count else 0
    ptags = np.zeros((count, len(static.exclusion_tags)), dtype=np.int64)
    plist: list[list[int]] = [[] for _ in range(count)]
    slist: list[list[int]] = [[] for _ in range(count)]
    for inst, (node, second_node) in enumerate(zip(pnode.tolist(), snode.tolist(), strict=True)):
        plist[node].insert(0, inst)
        if second_node != NO_NODE:
            slist[second_node].insert(0, inst)
        if real[inst]:
            for tag in static.exclusion[inst]:
                ptags[node, tag] += 1
    if static.located:
        scores = location_scores(static, np.arange(len(insts)), pnode, snode)
        q[ROW["lscore"]] = np.bincount(pnode, weights=scores, minlength=count)
    # as upstream: judged by what was reported free, even where more is in use than that leaves
    free = np.where(static.xmem < 0, nodes.fmem, q[ROW["umem"]])
    fails_n1 = free < q[ROW["rmem"]]
    return State(static, q, peers, ptags, pnode, snode, plist, slist, fails_n1)
