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
first. Facts are observed from upstream's release 3.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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
    exclusion: tuple[tuple[int, ...], ...]  # exclusion tag numbers per instance
    exclusion_tags: tuple[str, ...]
    locations: tuple[frozenset[str], ...]  # failure-domain tags per node
    desired: tuple[frozenset[str], ...]  # desired locations per instance

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

    def location_score(self, inst: int, pnode: int, snode: int) -> float:
        """Penalty of one instance with these nodes."""
        score = 0.0
        if self.common is not None and snode != NO_NODE:
            score += float(self.common[pnode, snode])
        if self.unmet is not None:
            score += float(self.unmet[inst, pnode])
        return score


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

    __slots__ = ("peers", "plist", "pnode", "ptags", "q", "slist", "snode", "static", *Q)

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

    @property
    def fails_n1(self) -> Bools:
        """Nodes that could not take over after the worst failure, or have no disk left."""
        return (self.umem <= self.rmem) | (self.fdsk <= 0)

    # -- changes -----------------------------------------------------------------------------

    def _add_primary(self, inst: int, node: int, sign: float) -> None:
        static = self.static
        q = self.q[:, node]
        dsk, use = float(static.dsk[inst]) * sign, float(static.spindle_use[inst]) * sign
        cpus = float(static.vcpus[inst]) * sign
        exclusive = bool(static.cluster.nodes.exclusive[node])
        rows = [("umem_f", "fdsk_f", "fsp_f", "ucpu_f", "isp_f", True)]
        if static.real[inst]:
            rows.append(("umem", "fdsk", "fsp", "ucpu", "isp", False))
        for umem, fdsk, fsp, ucpu, isp, forth in rows:
            q[ROW[umem]] -= sign * float((static.mem if forth else static.counted)[inst])
            q[ROW[fdsk]] -= dsk
            q[ROW[ucpu]] += cpus
            if exclusive:
                q[ROW[fsp]] -= sign * float(np.nan_to_num(static.spindles[inst])) * (dsk != 0)
            else:
                q[ROW[isp]] += use
        if static.real[inst]:
            q[ROW["imem"]] += sign * float(static.counted[inst])
            q[LOADS] += sign * static.cluster.instances.util[inst]
            for tag in static.exclusion[inst]:
                self.ptags[node, tag] += int(sign)
        q[ROW["npri"]] += sign * float(static.real[inst])
        if sign > 0:
            self.plist[node].insert(0, inst)
        else:
            self.plist[node].remove(inst)

    def _add_secondary(self, inst: int, node: int, peer: int, sign: float) -> None:
        static = self.static
        q = self.q[:, node]
        dsk, use = float(static.dsk[inst]) * sign, float(static.spindle_use[inst]) * sign
        exclusive = bool(static.cluster.nodes.exclusive[node])
        rows = [("fdsk_f", "fsp_f", "isp_f")]
        if static.real[inst]:
            rows.append(("fdsk", "fsp", "isp"))
        for fdsk, fsp, isp in rows:
            q[ROW[fdsk]] -= dsk
            if exclusive:
                q[ROW[fsp]] -= sign * float(np.nan_to_num(static.spindles[inst]))
            else:
                q[ROW[isp]] += use
        if static.real[inst]:
            q[ROW["dload"]] += sign * static.cluster.instances.util[inst, 2]
            self.peers[node, peer] += sign * float(static.sec_mem[inst])
            q[ROW["rmem"]] = max(0.0, float(self.peers[node].max()))
        q[ROW["nsec"]] += sign * float(static.real[inst])
        if sign > 0:
            self.slist[node].insert(0, inst)
        else:
            self.slist[node].remove(inst)

    def relocate(self, inst: int, kind: str, target: int = NO_NODE) -> None:
        """Apply one move (a key of `STEPS`) to this state, in upstream's order of steps."""
        old_p, old_s = int(self.pnode[inst]), int(self.snode[inst])
        new_p, new_s = destination(kind, old_p, old_s, target)
        self.lscore[old_p] -= self.static.location_score(inst, old_p, old_s)
        # a secondary is removed before its peer changes and added with the new primary
        for node, steps in zip((old_p, old_s, target), STEPS[kind], strict=True):
            peer = old_p
            for step in steps:
                sign = 1.0 if step[0] == "+" else -1.0
                if step[1] == "P":
                    self._add_primary(inst, node, sign)
                else:
                    self._add_secondary(inst, node, new_p if sign > 0 else peer, sign)
        self.pnode[inst], self.snode[inst] = new_p, new_s
        self.lscore[new_p] += self.static.location_score(inst, new_p, new_s)


def destination(kind: str, pnode: int, snode: int, target: int) -> tuple[int, int]:
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
    return Static(
        cluster=cluster,
        rules=rules,
        offline=nodes.offline,
        xmem=whole(nodes.tmem) - nodes.nmem - used - nodes.fmem,
        tspeed=nodes.cpu_speed,
        pool=np.ones((4, len(nodes))) if nodes.load is None else nodes.load.T.copy(),
        lo_dsk=np.floor(whole(nodes.tdsk) * (min_disk or 0.0)),
        hi_cpu=np.array(ratio if max_cpu is None else [max_cpu] * len(nodes), dtype=float),
        hi_spindles=np.array([policy.spindle_ratio for policy in policies]) * nodes.spindles,
        mem=insts.mem.astype(float),
        counted=counted,
        dsk=np.where(insts.local, insts.dsk, 0).astype(float),
        vcpus=np.where(insts.online, insts.vcpus, 0).astype(float),
        sec_mem=np.where(insts.uses_sec_mem, insts.mem, 0).astype(float),
        spindle_use=np.where(insts.local, insts.spindle_use, 0).astype(float),
        spindles=np.where(insts.spindles < 0, np.nan, insts.spindles.astype(float)),
        real=real,
        exclusion=tuple(tuple(number[tag] for tag in tags) for tags in exclusion),
        exclusion_tags=tuple(names),
        locations=tuple(frozenset(matching(tags, rules.location)) for tags in nodes.tags),
        desired=tuple(frozenset(matching(tags, rules.desired)) for tags in insts.tags),
    )


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
    spindles = np.nan_to_num(static.spindles) * (static.dsk != 0) * nodes.exclusive[pnode]
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
    if static.common is not None or static.unmet is not None:
        for inst in np.flatnonzero(real).tolist():
            node, second_node = int(pnode[inst]), int(snode[inst])
            q[ROW["lscore"], node] += static.location_score(inst, node, second_node)
    return State(static, q, peers, ptags, pnode, snode, plist, slist)
