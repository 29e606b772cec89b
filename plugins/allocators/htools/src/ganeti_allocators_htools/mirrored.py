"""What moves of mirrored instances (DRBD) cost: failover, and the ways to replace a node.

R is the number of instances asked about (``rows``), C that of target nodes (``cols``).
"""

from __future__ import annotations

import numpy as np

from .caps import INF, UNKNOWN, Caps
from .counting import Counting
from .deviations import Deviations
from .model import Bools, Floats, Ints
from .moves import Rules
from .score import WEIGHTS
from .tracks import BOTH, PRIMARY

#: Per kind of move (R, C) costs; one column for the kind without a target.
Costs = dict[str, Floats]


def _fails(umem: Floats, rmem: Floats, fdsk: Floats) -> Bools:
    """Where a node could not take over: too little memory unallocated, or no disk free."""
    fails: Bools = (umem <= rmem) | (fdsk <= 0)
    return fails


class Mirrored:
    """One evaluation of mirrored instances: values per row shared by the kinds of move.

    ``p`` and ``s`` are the rows' nodes; names ending in ``_gone`` describe a node after the
    instance has left it.
    """

    def __init__(
        self,
        deviations: Deviations,
        counting: Counting,
        caps: Caps,
        rules: Rules,
        rows: Ints,
        cols: Ints,
    ) -> None:
        state, static = counting.state, counting.state.static
        self.deviations, self.counting, self.caps = deviations, counting, caps
        self.state, self.static, self.rules = state, static, rules
        self.rows, self.cols = rows, cols
        self.p, self.s = state.pnode[rows], state.snode[rows]
        self.real = static.real[rows]
        self.off_p, self.off_s = static.offline[self.p], static.offline[self.s]
        self.forced = self.off_p | rules.ignore_soft_errors
        self.forced_s = self.off_s | rules.ignore_soft_errors
        self.m, self.sm = counting.m[rows], caps.sm[rows]
        self.reserve = static.sec_mem[rows]  # forthcoming instances' too
        self.disk = static.dsk[rows]
        self.rmem_gone = caps.released(rows, self.p, self.s)
        self.outside = (cols != self.p[:, None]) & (cols != self.s[:, None])
        self.takes_primary = self._takes_primary()

    def costs(self) -> Costs:
        """The kinds of move that the rules allow at all; infinite where one is refused.

        The score after a move is its cost plus the present score without its deviations.
        """
        rules, deviations = self.rules, self.deviations
        moving = np.full(len(self.rows), rules.instance_moves)
        failover = moving & ~self.off_s
        if rules.restricted_migration:
            moving &= self.off_p
        result: Costs = {}
        if failover.any():
            result["f"] = np.where(failover & self._takes_over(), self._failover(), INF)[:, None]
        if not rules.disk_moves or not len(self.cols):
            return result
        from_s = deviations.moved(BOTH, self.rows, self.s, self.cols)
        result["r"] = self._replace_secondary(from_s)
        if not moving.any():
            return result
        to_t = deviations.moved(PRIMARY, self.rows, self.p, self.cols)
        result["rf"] = self._replace_and_failover(to_t, from_s, moving)
        both = moving & ~self.off_s
        if both.any():
            from_p = deviations.moved(BOTH, self.rows, self.p, self.cols)
            if not rules.restricted_migration:
                result["frf"] = self._replace_primary(to_t, from_p, both)
            result["fr"] = self._failover_and_replace(from_p, both)
        return result

    # -- kinds -------------------------------------------------------------------------------

    def _failover(self) -> Floats:
        state, deviations, p, s = self.state, self.deviations, self.p, self.s
        rmem_p = np.maximum(state.rmem[p], state.peers[p, s] + self.sm)
        total = deviations.swapped(PRIMARY, self.rows, p, s) + deviations.unchanged(BOTH)
        total += deviations.with_reserved(state.rmem, (s, self.rmem_gone), (p, rmem_p))
        total += self._primary_becomes_secondary(rmem_p) + self._secondary_becomes_primary()
        if self.static.located:
            change = self.counting.located(self.rows, (p, s), (s[:, None], p[:, None]))
            total += np.reshape(change, -1)
        return total

    def _replace_secondary(self, from_s: Floats) -> Floats:
        cols, p, s = self.cols, self.p, self.s
        reserve = self.state.peers[cols][:, p].T + self.sm[:, None]
        total = from_s + self.deviations.unchanged(PRIMARY)
        total += self._reserved_moves(reserve)
        total += self._secondary_leaves()[:, None] + self._secondary_arrives(reserve, self.forced_s)
        total += self.counting.located(self.rows, (p, s), (p[:, None], cols[None, :]))
        ok = self.outside & self.caps.accepts_secondary(self.rows, cols, reserve, self.forced_s)
        return np.where(ok, total, INF)

    def _replace_and_failover(self, to_t: Floats, from_s: Floats, moving: Bools) -> Floats:
        state, counting, cols, p, s = self.state, self.counting, self.cols, self.p, self.s
        reserve = state.peers[p][:, cols] + self.sm[:, None]
        rmem_p = np.maximum(state.rmem[p][:, None], reserve)
        total = to_t + from_s
        total += self.deviations.with_reserved(
            state.rmem, (s[:, None], self.rmem_gone[:, None]), (p[:, None], rmem_p)
        )
        total += self._secondary_leaves()[:, None] + self._primary_becomes_secondary(rmem_p)
        never = np.full(len(self.rows), self.rules.ignore_soft_errors)
        total += counting.primary_arrives(self.rows, p, cols, never)
        total += counting.located(self.rows, (p, s), (cols[None, :], p[:, None]))
        ok = self.outside & moving[:, None] & self.caps.accepts_primary(self.rows, cols, never)
        ok &= self._keeps_as_secondary(rmem_p)
        ok &= self._migratable(p[:, None], cols)
        return np.where(ok, total, INF)

    def _replace_primary(self, to_t: Floats, from_p: Floats, both: Bools) -> Floats:
        state, counting, cols, p, s = self.state, self.counting, self.cols, self.p, self.s
        reserve = state.peers[s][:, cols] + self.sm[:, None]
        rmem_s = np.maximum(self.rmem_gone[:, None], reserve)
        total = to_t + from_p + self.deviations.with_reserved(state.rmem, (s[:, None], rmem_s))
        total += counting.primary_leaves(self.rows, p)[:, None]
        total += counting.primary_arrives(self.rows, p, cols, self.forced)
        umem, fdsk = state.umem[s][:, None], state.fdsk[s][:, None]
        fails = _fails(umem, rmem_s, fdsk)
        change = counting.count[s][:, None] * (fails * 1.0 - counting.fails[s][:, None])
        total += (~self.off_s & self.real)[:, None] * change
        total += counting.located(self.rows, (p, s), (cols[None, :], s[:, None]))
        failing_gone = _fails(umem, self.rmem_gone[:, None], fdsk + self.disk[:, None])
        stays = (self.sm < state.umem[s])[:, None] & ~(fails & ~failing_gone)
        stays |= ~self.real[:, None]
        stays &= (self.reserve < state.umem_f[s])[:, None]
        ok = self.outside & (both & self.takes_primary)[:, None]
        ok &= stays | self.forced[:, None]
        ok &= self.caps.accepts_primary(self.rows, cols, self.forced)
        ok &= self._migratable(p[:, None], s[:, None]) & self._migratable(s[:, None], cols)
        return np.where(ok, total, INF)

    def _failover_and_replace(self, from_p: Floats, both: Bools) -> Floats:
        counting, cols, p, s = self.counting, self.cols, self.p, self.s
        reserve = self.state.peers[cols][:, s].T + self.sm[:, None]
        total = from_p + self.deviations.swapped(PRIMARY, self.rows, p, s)[:, None]
        total += self._reserved_moves(reserve)
        per_row = counting.primary_leaves(self.rows, p) + self._secondary_becomes_primary()
        total += per_row[:, None] + self._secondary_arrives(reserve, self.forced)
        total += counting.located(self.rows, (p, s), (s[:, None], cols[None, :]))
        ok = self.outside & (both & self.takes_primary)[:, None]
        ok &= self.caps.accepts_secondary(self.rows, cols, reserve, self.forced)
        ok &= self._migratable(p[:, None], s[:, None])
        return np.where(ok, total, INF)

    # -- parts -------------------------------------------------------------------------------

    def _migratable(self, source: Ints, target: Ints) -> Bools | bool:
        table = self.static.migratable
        return True if table is None else table[source, target]

    def _raised(self, reserve: Floats) -> Floats:
        raised: Floats = np.maximum(self.state.rmem[self.cols], reserve)
        return raised

    def _reserved_moves(self, reserve: Floats) -> Floats | float:
        """The reserve for the instance goes from s to the targets."""
        left = (self.s[:, None], self.rmem_gone[:, None])
        return self.deviations.with_reserved(
            self.state.rmem, left, (self.cols, self._raised(reserve))
        )

    def _secondary_leaves(self) -> Floats:
        state, counting, s = self.state, self.counting, self.s
        fails = _fails(state.umem[s], self.rmem_gone, state.fdsk[s] + self.disk)
        change = np.where(
            self.off_s,
            -WEIGHTS["offline_all_cnt"],
            (counting.count[s] - 1) * fails - counting.count[s] * counting.fails[s],
        )
        result: Floats = change * self.real
        return result

    def _secondary_arrives(self, reserve: Floats, forced: Bools) -> Floats:
        counting, cols = self.counting, self.cols
        change = np.zeros((len(self.rows), len(cols)))
        if counting.fails[cols].any():
            change += counting.fails[cols]
        if forced.any():
            fails = self.state.umem[cols] <= self._raised(reserve)
            change += fails * ~counting.fails[cols] * (counting.count[cols] + 1)
        change *= self.real[:, None]
        return change

    def _primary_becomes_secondary(self, rmem: Floats) -> Floats:
        """p changes role; ``rmem`` is its reserved memory then, (R) or (R, C)."""
        state, counting, p = self.state, self.counting, self.p
        columns = (slice(None), None) if rmem.ndim == 2 else (slice(None),)
        fails = _fails((state.umem[p] + self.m)[columns], rmem, state.fdsk[p][columns])
        online = counting.count[p][columns] * (fails * 1.0 - counting.fails[p][columns])
        change = np.where(self.off_p[columns], -WEIGHTS["offline_pri_cnt"], online)
        tags = counting.tags_leave(self.rows, p)
        result: Floats = change * self.real[columns] + tags[columns]
        return result

    def _secondary_becomes_primary(self) -> Floats:
        state, counting, s = self.state, self.counting, self.s
        fails = _fails(state.umem[s] - self.m, self.rmem_gone, state.fdsk[s])
        change: Floats = self.real * counting.count[s] * (fails * 1.0 - counting.fails[s])
        if counting.tagged:
            free = (state.ptags[s] == 0) & counting.has_tags[self.rows]
            met = counting.tags[self.rows].sum(axis=1) - free.sum(axis=1)
            change += met * WEIGHTS["pri_tags_score"]
        if counting.track_locations:
            change = change + counting.tag_locations(self.rows, self.p, s[:, None])[:, 0]
        return change

    # -- limits ------------------------------------------------------------------------------

    def _disk_stays(self, nodes: Ints, forced: Bools) -> Bools:
        """A node that swaps one role of the instance for the other still meets disk limits."""
        caps = self.caps
        hard, strict = (within[nodes] for within in caps.disk_stays)
        if not self.real.all():
            planned = ~self.real
            hard, strict = hard | planned, strict | (planned & caps.disk_stays_planned[nodes])
        exclusive = self.static.cluster.nodes.exclusive[nodes]
        if exclusive.any():
            known = ~(exclusive & (caps.sp[self.rows] == UNKNOWN))
            hard, strict = hard & known, strict & known
        stays: Bools = np.where(forced, hard, strict)
        return stays

    def _takes_primary(self) -> Bools:
        """(R) the secondary can become the primary."""
        state, static, s, rows = self.state, self.static, self.s, self.rows
        umem, fdsk = state.umem[s], state.fdsk[s]
        ok = ~self.real | (self.m < umem)
        before = _fails(umem, self.rmem_gone, fdsk + self.disk)
        after = _fails(umem - self.m, self.rmem_gone, fdsk)
        strict = ~self.real | before | ~after
        strict &= static.mem[rows] < state.umem_f[s]
        strict &= static.vcpus[rows] < self.caps.strict_caps["v"][s]
        if self.caps.tagged:
            strict &= ~((state.ptags[s] > 0) & self.caps.has_tags[rows]).any(axis=1)
        takes: Bools = ok & (strict | self.forced) & self._disk_stays(s, self.forced)
        return takes

    def _fits_planned(self, nodes: Ints) -> Bools:
        """(R) memory for the secondary once the primary has left, forthcoming instances counted."""
        left = self.state.umem_f[nodes] + self.static.mem[self.rows]
        fits: Bools = self.reserve < left
        return fits

    def _keeps_as_secondary(self, rmem: Floats) -> Bools:
        """(R, C) the old primary can become the secondary, with ``rmem`` reserved then."""
        state, p, forced = self.state, self.p, self.forced_s
        umem, fdsk = state.umem[p] + self.m, state.fdsk[p]
        before = _fails(umem, state.rmem[p], fdsk + self.disk)
        after = _fails(umem[:, None], rmem, fdsk[:, None])
        strict = (~self.real | (self.sm < umem))[:, None] & (
            ~self.real[:, None] | before[:, None] | ~after
        )
        strict &= self._fits_planned(p)[:, None]
        ok: Bools = (strict | forced[:, None]) & self._disk_stays(p, forced)[:, None]
        return ok

    def _takes_over(self) -> Bools:
        """(R) plain failover is possible."""
        state, p, s = self.state, self.p, self.s
        umem, fdsk, rmem = state.umem[p] + self.m, state.fdsk[p], state.rmem[p]
        before = _fails(umem, rmem, fdsk + self.disk)
        after = _fails(umem, np.maximum(rmem, state.peers[p, s] + self.sm), fdsk)
        strict = ~self.real | ((self.sm < umem) & (before | ~after))
        strict &= self._fits_planned(p)
        disk = self._disk_stays(p, self.forced) | self.off_p
        ok: Bools = self.takes_primary & (strict | self.forced) & disk & self._migratable(p, s)
        return ok
