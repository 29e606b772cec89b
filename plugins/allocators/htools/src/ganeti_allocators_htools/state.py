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


@dataclass(frozen=True, eq=False)
class Static:
    """What no move changes: see `building.build_static`."""

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
    def planned_tagged(self) -> tuple[int, ...]:
        """Forthcoming instances with exclusion tags."""
        planned = np.flatnonzero(~self.real).tolist()
        return tuple(inst for inst in planned if self.exclusion[inst])

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
        nodes = self.static.cluster.nodes
        free = np.where(nodes.exclusive, self.fsp, self.fdsk)
        total = np.where(nodes.exclusive, nodes.spindles, nodes.tdsk)
        result = np.ones_like(free)
        np.divide(free, total, out=result, where=total != 0)
        return result

    def replace_column(self, node: int, column: Floats) -> None:
        """Give a node new quantities."""
        self.q[:, node] = column
        umem, rmem, fdsk = (column[ROW[name]] for name in ("umem", "rmem", "fdsk"))
        self.fails_n1[node] = umem <= rmem or fdsk <= 0


def location_scores(static: Static, insts: Ints, pnode: Ints, snode: Ints) -> Floats:
    """Location penalties of these instances, were they on these nodes (snode -1: none)."""
    result = np.zeros(len(insts))
    if static.common is not None:
        result += np.where(snode != NO_NODE, static.common[pnode, snode], 0)
    if static.unmet is not None:
        result += static.unmet[insts, pnode]
    return result * static.real[insts]
