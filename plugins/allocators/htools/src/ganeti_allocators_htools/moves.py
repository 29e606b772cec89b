"""Single moves: which are allowed, and the exact score each leads to.

A batch of moves of one kind is a pair of arrays, instances and target nodes (`NO_NODE` for
failover, which has none); each is judged on its own from the given state. These are the slow and
exact forms: `search` finds the few candidates worth the effort.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .model import NO_NODE, Bools, Floats, Ints
from .score import (
    STDDEV,
    count_values,
    location_exclusion,
    pri_tags,
    sequential_sum,
    stddev,
    stddev_columns,
    weighted_columns,
)
from .state import ROW, State
from .steps import STEPS, destination, moved_columns

#: Why a move is refused; the numbers are the codes in `refusals`.
REASONS = (
    "allowed",
    "not enough memory",
    "not enough disk",
    "not enough spindles",
    "policy: free disk below the limit",
    "policy: spindle ratio above the limit",
    "policy: CPU ratio above the limit",
    "the node would fail N+1",
    "an instance with the same exclusion tag is there",
    "migration tags forbid it",
)
ALLOWED, MEMORY, DISK, SPINDLES, LOW_DISK, SPINDLE_RATIO, CPU_RATIO, N1, TAGS, MIGRATION = range(
    len(REASONS)
)

#: The order in which a target's moves are tried; the first of equals wins.
ORDER = {"none": (), "external": ("fa",), "internal": ("r", "rf", "frf", "fr")}


_RESERVED = STDDEV.index("reserved_mem_cv")


@dataclass(frozen=True)
class Rules:
    """What balancing may do (the command line's restrictions)."""

    disk_moves: bool = True
    instance_moves: bool = True
    restricted_migration: bool = False
    ignore_soft_errors: bool = False
    evac_mode: bool = False


def refusals(state: State, kind: str, insts: Ints, targets: Ints, force: bool = False) -> Ints:
    """For each move the index into `REASONS` of the first objection, 0 if there is none.

    Limits of policy and N+1 are waived (``force``) where the instance flees an offline node, as
    upstream does; lack of memory or disk never is.
    """
    return judged(state, kind, insts, targets, force)[0]


def judged(
    state: State, kind: str, insts: Ints, targets: Ints, force: bool
) -> tuple[Ints, dict[str, Floats]]:
    """The `refusals` and the `moved_columns` they were found from."""
    static = state.static
    old_p, old_s = state.pnode[insts], state.snode[insts]
    from_offline = static.offline[old_p] | force
    from_offline_s = static.offline[old_s] | force
    codes = np.zeros(len(insts), dtype=np.int64)

    def object_if(condition: Bools, code: int) -> None:
        if condition.any():
            codes[(codes == ALLOWED) & condition] = code

    hops = {
        "f": [(old_p, old_s)],
        "fa": [(old_p, targets)],
        "rf": [(old_p, targets)],
        "frf": [(old_p, old_s), (old_s, targets)],
        "fr": [(old_p, old_s)],
        "r": [],
    }[kind]
    if static.migratable is not None:
        for source, target in hops:
            object_if(~static.migratable[source, target], MIGRATION)
    strict_by_step = {
        ("f", "s"): ~from_offline,
        ("f", "p"): ~from_offline,
        ("fa", "t"): ~from_offline,
        ("r", "t"): ~from_offline_s,
        ("r", "p"): np.zeros_like(from_offline),
        ("rf", "t"): np.full_like(from_offline, not force),
        ("rf", "p"): ~from_offline_s,
        ("frf", "s"): ~from_offline,
        ("frf", "t"): ~from_offline,
        ("fr", "s"): ~from_offline,
        ("fr", "t"): ~from_offline,
    }

    def check(role: str, step: str, before: Floats, after: Floats, nodes: Ints) -> None:
        strict = strict_by_step[kind, role]
        if kind == "r" and role == "p":
            return  # the instance stays where it is
        untouched = STEPS[kind]["pst".index(role)][0] == step
        failed = state.fails_n1[nodes] if untouched else _fails(before)
        # a primary that is offline may keep the disk whatever it reports to have free
        exempt = static.offline[nodes] if kind == "f" and role == "p" else None

        def unless_exempt(condition: Bools, code: int) -> None:
            object_if(condition if exempt is None else condition & ~exempt, code)

        _check_addition(state, insts, step, strict, before, after, failed, nodes, unless_exempt)

    moved = moved_columns(state, kind, insts, targets, observe=check)
    return codes, moved


def _check_addition(
    state: State,
    insts: Ints,
    step: str,
    strict: Bools,
    before: Floats,
    after: Floats,
    failed: Bools,
    nodes: Ints,
    object_if: Callable[[Bools, int], None],
) -> None:
    """Object to adding instances to nodes whose quantities go from ``before`` to ``after``.

    ``failed`` says which of the nodes failed N+1 before.
    """
    static = state.static
    primary = step == "+P"
    local = static.cluster.instances.local[insts]
    real = static.real[insts]
    exclusive = static.cluster.nodes.exclusive[nodes]
    unknown_spindles = exclusive & np.isnan(static.spindles[insts])

    def limits(suffix: str, mask: Bools, binding: Bools) -> None:
        """Memory, disk and ratios; ``binding`` where even the hard limits hold."""
        fdsk = after[ROW[f"fdsk{suffix}"]]
        if primary:
            object_if(mask & binding & (after[ROW[f"umem{suffix}"]] <= 0), MEMORY)
        object_if(mask & binding & local & (fdsk <= 0), DISK)
        object_if(mask & strict & local & (fdsk < static.lo_dsk[nodes]), LOW_DISK)
        short = (after[ROW[f"fsp{suffix}"]] < 0) | unknown_spindles
        object_if(mask & binding & local & exclusive & short, SPINDLES)
        crowded = after[ROW[f"isp{suffix}"]] > static.hi_spindles[nodes]
        object_if(mask & strict & local & crowded, SPINDLE_RATIO)

    def cpus(suffix: str, mask: Bools) -> None:
        limit = static.hi_cpu[nodes]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = after[ROW[f"ucpu{suffix}"]] / static.cluster.nodes.tcpu[nodes]
        object_if(mask & strict & (limit >= 0) & (limit < ratio), CPU_RATIO)

    if not primary:
        object_if(~local, DISK)
    limits("", real, np.ones_like(real))
    if not primary:
        needed = static.sec_mem[insts]
        object_if(real & strict & (needed >= before[ROW["umem"]]), MEMORY)
    short = after[ROW["umem"]] <= after[ROW["rmem"]]
    object_if(real & strict & (short | (local & _fails(after))) & ~failed, N1)
    if primary:
        cpus("", real)
        if static.exclusion_tags:
            object_if(real & strict & _conflicts(state, insts, nodes), TAGS)
    limits("_f", np.ones_like(real), strict)
    if not primary:
        object_if(strict & (static.sec_mem[insts] >= before[ROW["umem_f"]]), MEMORY)
    if primary:
        cpus("_f", np.ones_like(real))


def _fails(columns: Floats) -> Bools:
    failing: Bools = (columns[ROW["umem"]] <= columns[ROW["rmem"]]) | (columns[ROW["fdsk"]] <= 0)
    return failing


def _conflicts(state: State, insts: Ints, nodes: Ints) -> Bools:
    result = np.zeros(len(insts), dtype=bool)
    for position, (inst, node) in enumerate(zip(insts.tolist(), nodes.tolist(), strict=True)):
        result[position] = any(state.ptags[node, tag] for tag in state.static.exclusion[inst])
    return result


class ExactScorer:
    """Scores of moves from one state, bit for bit those of `score.score` on the state after.

    With ``members`` only those nodes count in the score.
    """

    #: Moves scored at a time: bounds memory to some tens of MiB on the largest clusters.
    CHUNK = 64

    def __init__(
        self,
        state: State,
        values: dict[str, float] | None = None,
        members: Bools | None = None,
        base: Floats | None = None,
    ) -> None:
        """``values`` and ``base`` are `score.count_values` and the online nodes' columns."""
        static = state.static
        self.state = state
        self.members = np.ones(len(static.offline), dtype=bool) if members is None else members
        self.on = np.flatnonzero(self.members & ~static.offline)
        self.position = np.full(len(static.offline), NO_NODE)
        self.position[self.on] = np.arange(len(self.on))
        self.base = stddev_columns(static, state.q[:, self.on], self.on) if base is None else base
        off = np.flatnonzero(self.members & static.offline)
        self.values = count_values(state, self.on, off) if values is None else values

    def scores(self, kind: str, insts: Ints, targets: Ints) -> Floats:
        """Score after each move, an array as long as ``insts``."""
        moved = moved_columns(self.state, kind, insts, targets)
        return self._scores(kind, insts, targets, moved)

    def allowed_scores(
        self, kind: str, insts: Ints, targets: Ints, force: bool
    ) -> tuple[Floats, dict[str, Floats]]:
        """The same, infinite for refused moves, and the `moved_columns`."""
        codes, moved = judged(self.state, kind, insts, targets, force)
        scores = self._scores(kind, insts, targets, moved)
        return np.where(codes == ALLOWED, scores, np.inf), moved

    def _scores(self, kind: str, insts: Ints, targets: Ints, moved: dict[str, Floats]) -> Floats:
        if not len(self.on):
            return np.zeros(len(insts))
        if len(insts) <= self.CHUNK:
            return self._chunk(kind, insts, targets, moved)
        parts = []
        for start in range(0, len(insts), self.CHUNK):
            part = slice(start, start + self.CHUNK)
            columns = {role: values[:, part] for role, values in moved.items()}
            parts.append(self._chunk(kind, insts[part], targets[part], columns))
        return np.concatenate(parts)

    def _chunk(self, kind: str, insts: Ints, targets: Ints, moved: dict[str, Floats]) -> Floats:
        state, static = self.state, self.state.static
        old_p, old_s = state.pnode[insts], state.snode[insts]
        columns = np.repeat(self.base[None], len(insts), axis=0)
        places = dict(zip("pst", (old_p, old_s, targets), strict=True))
        # all roles' nodes in one row: the fewer operations the better, as moves are mostly few
        nodes = np.concatenate([places[role] for role in moved])
        new, old = np.concatenate(list(moved.values()), axis=1), state.q[:, nodes]
        inside = self.members[nodes]
        offline = static.offline[nodes] & inside
        online = inside & ~offline
        at = np.flatnonzero(online)
        rows = np.tile(np.arange(len(insts)), len(moved))[at]
        columns[rows, :, self.position[nodes[at]]] = stddev_columns(static, new[:, at], nodes[at]).T
        count = new[ROW["npri"]] + new[ROW["nsec"]]
        before = old[ROW["npri"]] + old[ROW["nsec"]]
        changes = {"n1_cnt": (count * _fails(new) - before * state.fails_n1[nodes]) * online}
        if offline.any():
            changes["offline_all_cnt"] = (count - before) * offline
            changes["offline_pri_cnt"] = (new[ROW["npri"]] - old[ROW["npri"]]) * offline
        if static.located:
            changes["location_score"] = (new[ROW["lscore"]] - old[ROW["lscore"]]) * online
        change = dict.fromkeys(self.values, np.zeros(len(insts))) | {
            name: values.reshape(len(moved), -1).sum(axis=0) for name, values in changes.items()
        }
        if static.exclusion_tags:
            self._tag_changes(kind, insts, targets, change)
        counts: dict[str, Floats | float] = {
            name: value + change[name] for name, value in self.values.items()
        }
        counts["reserved_mem_rtotal"] = sequential_sum(columns[:, _RESERVED])
        return weighted_columns(stddev(columns).T, counts)

    def _tag_changes(
        self, kind: str, insts: Ints, targets: Ints, change: dict[str, Floats]
    ) -> None:
        """Exclusion metrics depend on which tags meet; candidates are few, so one by one."""
        state = self.state
        new_p, _ = destination(kind, state.pnode[insts], state.snode[insts], targets)
        pri, loc = np.zeros(len(insts)), np.zeros(len(insts))
        keep = state.ptags.copy()
        for number, inst in enumerate(insts.tolist()):
            tags = state.static.exclusion[inst]
            source, target = int(state.pnode[inst]), int(new_p[number])
            if not tags or source == target:
                continue
            for tag in tags:
                state.ptags[source, tag] -= 1
                state.ptags[target, tag] += 1
            pri[number] = pri_tags(state, self.on) - self.values["pri_tags_score"]
            if state.static.real[inst]:
                loc[number] = (
                    location_exclusion(state, self.on) - self.values["location_exclusion_score"]
                )
            state.ptags[[source, target]] = keep[[source, target]]
        change["pri_tags_score"], change["location_exclusion_score"] = pri, loc
