"""Approximate scores of all moves of some instances to some targets at once.

For each kind of move an array (instances, targets) of scores, infinite where the move is not
allowed. The numbers agree with the exact ones to about 1e-9; whoever needs the best move re-scores
the near-best exactly (`search`). See `tracks` for the arithmetic; limits are those of
`moves.refusals` in a form that compares whole arrays.
"""

from __future__ import annotations

import math

import numpy as np

from .model import Bools, Floats, Ints
from .moves import Rules
from .score import WEIGHTS, count_values, metric_values, stddev_columns, weighted
from .state import ROW, State, location_scores
from .tracks import BOTH, PRIMARY, RESERVED, build_tracks, refresh

INF = float("inf")
UNKNOWN = 1e300  # spindles of an instance when they are not known: more than any node has
Costs = dict[str, Floats]


class Evaluator:
    """Scores of moves from one state; call `refresh` after the state has changed."""

    def __init__(self, state: State, rules: Rules) -> None:
        static = state.static
        self.state = state
        self.rules = rules
        self.online = np.flatnonzero(~static.offline)
        self.offline = np.flatnonzero(static.offline)
        #: the online nodes' values of the deviation metrics, see `score.stddev_columns`
        self.columns = stddev_columns(static, state.q[:, self.online], self.online)
        self.tracks = build_tracks(static, self.columns, self.online)
        self.reserved = next((t for t in self.tracks if t.group == RESERVED), None)
        insts = static.cluster.instances
        self.m = static.as_primary[ROW["imem"]]
        self.ma = static.mem
        self.v = static.vcpus
        self.sm = static.sec_mem * static.real
        self.util_dsk = static.as_secondary[ROW["dload"]]
        self.local = insts.local
        self.sp = np.where(np.isnan(static.spindles), UNKNOWN, static.spindles)
        # where a limit does not apply to an instance, its amount is below every limit
        self.strict_amounts = {
            "m": np.where(static.real, self.m, -INF),
            "ma": self.ma,
            "d": np.where(insts.local, static.dsk, -INF),
            "sp": np.where(insts.local, self.sp, -INF),
            "use": np.where(insts.local, static.spindle_use, -INF),
            "v": self.v,
        }
        self.hard_amounts = {
            name: np.where(static.real, self.strict_amounts[name], -INF)
            for name in ("m", "d", "sp")
        }
        tags = np.zeros((len(insts), len(static.exclusion_tags)))
        for inst, own in enumerate(static.exclusion):
            for tag in own if static.real[inst] else ():
                tags[inst, tag] += 1
        self.tags = tags
        self.has_tags = tags > 0
        names = sorted(set().union(*static.locations)) if static.locations else []
        self.places = np.array([[n in have for n in names] for have in static.locations], float)
        self.track_locations = bool(names) and bool(tags.any())
        self.refresh(weighted(metric_values(state)))

    def refresh(self, score: float) -> None:
        """Recompute what depends on the whole cluster: sums, limits, reserves.

        ``score`` is the state's exact score.
        """
        state, static = self.state, self.state.static
        self.columns = stddev_columns(static, state.q[:, self.online], self.online)
        refresh(self.tracks, self.columns, self.online)
        self.counts = count_values(state, self.online, self.offline)
        self.score = score
        self.constant = score - sum(math.sqrt(track.square) for track in self.tracks)
        self.fails = state.fails_n1
        self.count = state.npri + state.nsec
        peers = state.peers
        self.worst = peers.argmax(axis=1) if len(peers) else np.zeros(0, dtype=np.int64)
        second = peers.copy()
        second[np.arange(len(second)), self.worst] = 0
        self.second = second.max(axis=1) if len(second) else np.zeros(0)
        q = state.q
        cpus = np.where(static.hi_cpu < 0, INF, static.hi_cpu * static.cluster.nodes.tcpu + 1e-6)
        exclusive = static.cluster.nodes.exclusive
        #: an addition is refused when the amount reaches the cap; hard caps hold when fleeing too
        self.hard_caps = {
            "m": q[ROW["umem"]],
            "d": q[ROW["fdsk"]],
            "sp": np.where(exclusive, q[ROW["fsp"]] + 0.5, INF),
        }
        spare = np.where(self.fails, q[ROW["umem"]], q[ROW["umem"]] - q[ROW["rmem"]])
        low = np.minimum(q[ROW["fdsk"]], q[ROW["fdsk_f"]]) - static.lo_dsk + 0.5
        free_spindles = np.minimum(q[ROW["fsp"]], q[ROW["fsp_f"]]) + 0.5
        crowded = np.maximum(q[ROW["isp"]], q[ROW["isp_f"]])
        self.strict_caps = {
            "m": np.minimum(spare, q[ROW["umem"]]),
            "ma": q[ROW["umem_f"]],
            "d": np.minimum(low, np.minimum(q[ROW["fdsk"]], q[ROW["fdsk_f"]])),
            "sp": np.where(exclusive, free_spindles, INF),
            "use": np.where(exclusive, INF, static.hi_spindles - crowded + 1e-6),
            "v": cpus - np.maximum(q[ROW["ucpu"]], q[ROW["ucpu_f"]]),
        }
        #: limits no instance can reach on any online node now
        self.slack = {
            name
            for name, amounts in self.strict_amounts.items()
            if amounts.size and amounts.max() < self.strict_caps[name][self.online].min(initial=INF)
        }
        hard = (q[ROW["fdsk"]] > 0) & (~exclusive | (q[ROW["fsp"]] >= 0))
        strict = (q[ROW["fdsk_f"]] > 0) & (low > 0)
        strict &= np.where(exclusive, q[ROW["fsp_f"]] >= 0, self.strict_caps["use"] >= 0)
        #: nodes within their disk limits, as a swap of an instance's two roles needs
        self.disk_stays = (hard, hard & strict)
        self.disk_stays_planned = strict
        if self.track_locations:
            self.places_tags = self.places[self.online].T @ state.ptags[self.online]

    # -- costs -------------------------------------------------------------------------------

    def internal(self, rows: Ints, cols: Ints) -> Costs:
        """Costs of "f", "r", "rf", "frf", "fr" for mirrored instances ``rows``."""
        return _Mirrored(self, rows, cols).costs()

    def external(self, rows: Ints, cols: Ints) -> Costs:
        """Costs of "fa" for instances on shared storage."""
        state, static = self.state, self.state.static
        if not self.rules.instance_moves:
            return {}
        p = state.pnode[rows]
        total = self.primary_cost(rows, p, cols) + self.disk_cost(rows, p, cols)
        if self.reserved is not None:
            total += np.sqrt(self.reserved.square)
        forced = static.offline[p] | self.rules.ignore_soft_errors
        ok = self.accepts_primary(rows, cols, forced) & (cols != p[:, None])
        if static.migratable is not None:
            ok &= static.migratable[p[:, None], cols]
        total += self.constant + self.primary_leaves(rows, p)[:, None]
        total += self.primary_arrives(rows, p, cols, forced)
        snode = state.snode[rows]
        total += self.located(rows, (p, snode), (cols[None, :], snode[:, None]))
        return {"fa": np.where(ok, total, INF)}

    def primary_cost(self, rows: Ints, source: Ints, cols: Ints) -> Floats:
        return self._moved_cost(PRIMARY, rows, source, cols)

    def disk_cost(self, rows: Ints, source: Ints, cols: Ints) -> Floats:
        return self._moved_cost(BOTH, rows, source, cols)

    def unchanged_cost(self, group: str) -> float:
        return float(sum(np.sqrt(t.square) for t in self.tracks if t.group == group))

    def _moved_cost(self, group: str, rows: Ints, source: Ints, cols: Ints) -> Floats:
        """Deviations of ``group`` when each row's share goes from ``source`` to each column."""
        count = max(len(self.online), 1)
        total = np.zeros((len(rows), len(cols)))
        offline_source = bool(self.state.static.offline[source].any())
        for track in self.tracks:
            if track.group != group:
                continue
            gone = track.on(rows, source)
            base = track.square - gone * (2 * track.y[source] - gone)
            inc = track.increments(rows, cols)
            value = 2 * track.y[cols] + inc
            value *= inc
            value += base[:, None]
            if offline_source or not track.uniform:
                drift = inc - gone[:, None]
                drift *= drift
                drift *= 1.0 / count
                value -= drift
            np.maximum(value, 0, out=value)
            total += np.sqrt(value, out=value)
        return total

    def swapped_cost(self, group: str, rows: Ints, source: Ints, target: Ints) -> Floats:
        """(R) the same for one target per row."""
        count = max(len(self.online), 1)
        total = np.zeros(len(rows))
        for track in self.tracks:
            if track.group != group:
                continue
            gone, come = track.on(rows, source), track.on(rows, target)
            value = track.square - gone * (2 * track.y[source] - gone)
            value = value + come * (2 * track.y[target] + come) - (come - gone) ** 2 / count
            total += np.sqrt(np.maximum(value, 0))
        return total

    # -- counts ------------------------------------------------------------------------------

    def primary_leaves(self, rows: Ints, source: Ints) -> Floats:
        """(R) change of the counting metrics when the primary leaves (nothing comes in return)."""
        state = self.state
        real = state.static.real[rows]
        fails = ((state.umem[source] + self.m[rows]) <= state.rmem[source]) | (
            state.fdsk[source] + state.static.dsk[rows] <= 0
        )
        change = np.where(
            state.static.offline[source],
            -(WEIGHTS["offline_all_cnt"] + WEIGHTS["offline_pri_cnt"]),
            (self.count[source] - 1) * fails - self.count[source] * self.fails[source],
        )
        return change * real + self._tags_leave(rows, source)

    def _tags_leave(self, rows: Ints, source: Ints) -> Floats:
        if not self.tags.any():
            return np.zeros(len(rows))
        before = self.state.ptags[source]
        after = before - self.tags[rows]
        change = np.maximum(after - 1, 0) - np.maximum(before - 1, 0)
        per_row = change.sum(axis=1) * WEIGHTS["pri_tags_score"]
        return np.where(self.state.static.offline[source], 0, per_row)

    def primary_arrives(self, rows: Ints, source: Ints, cols: Ints, forced: Bools) -> Floats:
        """(R, C) change of the counting metrics on the target of a primary."""
        state = self.state
        real = state.static.real[rows]
        any_fails, any_forced = self.fails[cols].any(), forced.any()
        change = np.zeros((len(rows), len(cols)))
        if not (any_fails or any_forced or self.tags.size):
            return change
        if any_fails:
            change += self.fails[cols]
        if any_forced:
            fails = (state.umem[cols] - self.m[rows, None]) <= state.rmem[cols]
            change += fails * ~self.fails[cols] * (self.count[cols] + 1)
        change *= real[:, None]
        if self.tags.any():
            free = (state.ptags[cols] == 0).T.astype(float)
            met = self.tags[rows].sum(axis=1)[:, None] - self.has_tags[rows] @ free
            change += met * WEIGHTS["pri_tags_score"]
        if self.track_locations:
            change += self.tag_locations(rows, source, cols[None, :])
        return change

    def tag_locations(self, rows: Ints, source: Ints, targets: Ints) -> Floats:
        """Change of the location exclusion score, primaries moving from ``source``.

        ``targets`` is an array (R or 1, C) of nodes.
        """
        targets = np.broadcast_to(targets, (len(rows), targets.shape[-1]))
        result = np.zeros(targets.shape)
        online = ~self.state.static.offline
        before = np.maximum(self.places_tags - 1, 0)
        for number in np.flatnonzero(self.has_tags[rows].any(axis=1)).tolist():
            own = self.tags[rows[number]]
            tagged = np.flatnonzero(own)
            leaving = self.places[source[number]] * online[source[number]]
            delta = self.places[targets[number]] - leaving  # (C, locations)
            counts = self.places_tags[:, tagged] + delta[:, :, None] * own[tagged]
            after = np.maximum(counts - 1, 0).sum(axis=(1, 2))
            result[number] = after - before[:, tagged].sum()
        return result * WEIGHTS["location_exclusion_score"]

    def located(self, rows: Ints, old: tuple[Ints, Ints], new: tuple[Ints, Ints]) -> Floats | float:
        """Change of the location score; nodes as arrays that fit (R, C), offline ones count 0."""
        static = self.state.static
        if not static.located:
            return 0.0
        online = ~static.offline
        before = location_scores(static, rows, *old) * online[old[0]]
        new_p, new_s = np.broadcast_arrays(*new)
        who = np.broadcast_to(rows[:, None], new_p.shape)
        after = location_scores(static, who.ravel(), new_p.ravel(), new_s.ravel())
        result: Floats = after.reshape(new_p.shape) * online[new_p] - before[:, None]
        return result

    # -- limits ------------------------------------------------------------------------------

    def _below(self, rows: Ints, cols: Ints, hard: bool, names: str) -> Bools:
        """(R, C) whether each of the named amounts stays below the node's cap."""
        all_amounts = self.hard_amounts if hard else self.strict_amounts
        caps = self.hard_caps if hard else self.strict_caps
        ok: Bools | None = None
        for name in names.split():
            if not hard and name in self.slack:
                continue
            below = all_amounts[name][rows, None] < caps[name][cols]
            ok = below if ok is None else ok & below
        return np.ones((len(rows), len(cols)), dtype=bool) if ok is None else ok

    def accepts_primary(self, rows: Ints, cols: Ints, forced: Bools) -> Bools:
        """(R, C) whether the target takes the instance as primary."""
        strict = self._below(rows, cols, False, "m ma d sp use v")
        if self.tags.any():
            taken = (self.state.ptags[cols] > 0).T.astype(float)
            strict &= (self.has_tags[rows] @ taken) == 0
        if not forced.any():
            return strict
        hard = self._below(rows, cols, True, "m d sp")
        return np.where(forced[:, None], hard, strict)

    def accepts_secondary(self, rows: Ints, cols: Ints, reserve: Floats, forced: Bools) -> Bools:
        """(R, C) whether the target takes the secondary, reserving ``reserve`` for its peer."""
        umem = self.state.umem
        strict = self._below(rows, cols, False, "d sp use")
        planned = ~self.state.static.real[rows, None]
        strict &= planned | (reserve < np.where(self.fails, INF, umem)[cols])
        strict &= planned | (self.sm[rows, None] < umem[cols])
        strict &= self.state.static.sec_mem[rows, None] < self.state.umem_f[cols]
        if not forced.any():
            return strict
        hard = self._below(rows, cols, True, "d sp")
        return np.where(forced[:, None], hard, strict)


class _Mirrored:
    """One evaluation of mirrored instances: values per row shared by the kinds of move.

    ``p`` and ``s`` are the rows' nodes; names ending in ``_gone`` describe a node after the
    instance has left it.
    """

    def __init__(self, of: Evaluator, rows: Ints, cols: Ints) -> None:
        state, static = of.state, of.state.static
        self.of, self.rows, self.cols = of, rows, cols
        self.p, self.s = state.pnode[rows], state.snode[rows]
        self.real = static.real[rows]
        self.force = of.rules.ignore_soft_errors
        self.off_p, self.off_s = static.offline[self.p], static.offline[self.s]
        self.forced = self.off_p | self.force
        self.forced_s = self.off_s | self.force
        self.m, self.sm = of.m[rows], of.sm[rows]
        self.reserve = static.sec_mem[rows]  # forthcoming instances' too
        self.disk = np.where(of.local[rows], static.dsk[rows], 0)
        top = of.worst[self.s]
        others = np.where(top == self.p, of.second[self.s], state.peers[self.s, top])
        own = state.peers[self.s, self.p] - self.sm
        self.rmem_gone = np.maximum(0, np.maximum(others, own))
        self.outside = (cols != self.p[:, None]) & (cols != self.s[:, None])
        self.takes_primary = self._takes_primary()

    def costs(self) -> Costs:
        """The kinds of move that the rules allow at all, each with its scores."""
        rules, of = self.of.rules, self.of
        moving = np.full(len(self.rows), rules.instance_moves)
        failover = moving & ~self.off_s
        if rules.restricted_migration:
            moving &= self.off_p
        result: Costs = {}
        if failover.any():
            result["f"] = np.where(failover & self._takes_over(), self._failover(), INF)[:, None]
        if not rules.disk_moves or not len(self.cols):
            return result
        to_t = of.primary_cost(self.rows, self.p, self.cols) if moving.any() else None
        from_s = of.disk_cost(self.rows, self.s, self.cols)
        result["r"] = self._replace_secondary(from_s)
        if to_t is None:
            return result
        result["rf"] = self._replace_and_failover(to_t, from_s, moving)
        both = moving & ~self.off_s
        if both.any():
            from_p = of.disk_cost(self.rows, self.p, self.cols)
            if not rules.restricted_migration:
                result["frf"] = self._replace_primary(to_t, from_p, both)
            result["fr"] = self._failover_and_replace(from_p, both)
        return result

    # -- kinds -------------------------------------------------------------------------------

    def _failover(self) -> Floats:
        of, p, s = self.of, self.p, self.s
        reserve = of.state.peers[p, s] + self.sm
        rmem_p = np.maximum(of.state.rmem[p], reserve)
        total = of.swapped_cost(PRIMARY, self.rows, p, s) + of.unchanged_cost(BOTH)
        total += self._reserved((s, self.rmem_gone), (p, rmem_p))
        total += self._primary_becomes_secondary(rmem_p) + self._secondary_becomes_primary()
        if of.state.static.located:
            total += np.reshape(of.located(self.rows, (p, s), (s[:, None], p[:, None])), -1)
        result: Floats = total + of.constant
        return result

    def _replace_secondary(self, from_s: Floats) -> Floats:
        of, cols = self.of, self.cols
        reserve = of.state.peers[cols][:, self.p].T + self.sm[:, None]
        total = from_s + of.unchanged_cost(PRIMARY)
        total += self._reserved((self.s, self.rmem_gone), (cols, self._raised(reserve)))
        total += self._secondary_leaves()[:, None] + self._secondary_arrives(reserve, self.forced_s)
        total += of.located(self.rows, (self.p, self.s), (self.p[:, None], cols[None, :]))
        ok = self.outside & of.accepts_secondary(self.rows, cols, reserve, self.forced_s)
        return np.where(ok, total + of.constant, INF)

    def _replace_and_failover(self, to_t: Floats, from_s: Floats, moving: Bools) -> Floats:
        of, state, cols, p = self.of, self.of.state, self.cols, self.p
        reserve = state.peers[p][:, cols] + self.sm[:, None]
        rmem_p = np.maximum(state.rmem[p][:, None], reserve)
        total = to_t + from_s
        total += self._reserved((self.s, self.rmem_gone), (p, rmem_p))
        total += self._secondary_leaves()[:, None] + self._primary_becomes_secondary(rmem_p)
        never = np.full(len(self.rows), self.force)
        total += of.primary_arrives(self.rows, p, cols, never)
        total += of.located(self.rows, (p, self.s), (cols[None, :], p[:, None]))
        ok = self.outside & moving[:, None] & of.accepts_primary(self.rows, cols, never)
        ok &= self._keeps_as_secondary(rmem_p)
        ok &= self._migratable(p[:, None], cols)
        return np.where(ok, total + of.constant, INF)

    def _replace_primary(self, to_t: Floats, from_p: Floats, both: Bools) -> Floats:
        of, state, cols, s = self.of, self.of.state, self.cols, self.s
        reserve = state.peers[s][:, cols] + self.sm[:, None]
        rmem_s = np.maximum(self.rmem_gone[:, None], reserve)
        total = to_t + from_p + self._reserved((s, rmem_s))
        total += of.primary_leaves(self.rows, self.p)[:, None]
        total += of.primary_arrives(self.rows, self.p, cols, self.forced)
        umem, fdsk = state.umem[s][:, None], state.fdsk[s][:, None]
        fails = (umem <= rmem_s) | (fdsk <= 0)
        total += self._online(s) * of.count[s][:, None] * (fails * 1.0 - of.fails[s][:, None])
        total += of.located(self.rows, (self.p, s), (cols[None, :], s[:, None]))
        failing_gone = (umem <= self.rmem_gone[:, None]) | (fdsk + self.disk[:, None] <= 0)
        stays = (self.sm < state.umem[s])[:, None] & ~(fails & ~failing_gone)
        stays |= ~self.real[:, None]
        stays &= (self.reserve < state.umem_f[s])[:, None]
        ok = self.outside & (both & self.takes_primary)[:, None]
        ok &= stays | self.forced[:, None]
        ok &= of.accepts_primary(self.rows, cols, self.forced)
        ok &= self._migratable(self.p[:, None], s[:, None]) & self._migratable(s[:, None], cols)
        return np.where(ok, total + of.constant, INF)

    def _failover_and_replace(self, from_p: Floats, both: Bools) -> Floats:
        of, cols, p, s = self.of, self.cols, self.p, self.s
        reserve = of.state.peers[cols][:, s].T + self.sm[:, None]
        total = from_p + of.swapped_cost(PRIMARY, self.rows, p, s)[:, None]
        total += self._reserved((s, self.rmem_gone), (cols, self._raised(reserve)))
        per_row = of.primary_leaves(self.rows, p) + self._secondary_becomes_primary()
        total += per_row[:, None] + self._secondary_arrives(reserve, self.forced)
        total += of.located(self.rows, (p, s), (s[:, None], cols[None, :]))
        ok = self.outside & (both & self.takes_primary)[:, None]
        ok &= of.accepts_secondary(self.rows, cols, reserve, self.forced)
        ok &= self._migratable(p[:, None], s[:, None])
        return np.where(ok, total + of.constant, INF)

    # -- parts -------------------------------------------------------------------------------

    def _migratable(self, source: Ints, target: Ints) -> Bools | bool:
        table = self.of.state.static.migratable
        return True if table is None else table[source, target]

    def _online(self, nodes: Ints) -> Floats:
        """(R, 1) 1 for rows whose node counts in the score."""
        online = ~self.of.state.static.offline[nodes] & self.real
        return online[:, None].astype(np.float64)

    def _raised(self, reserve: Floats) -> Floats:
        raised: Floats = np.maximum(self.of.state.rmem[self.cols], reserve)
        return raised

    def _reserved(self, *changes: tuple[Ints, Floats]) -> Floats:
        """Deviation and total of reserved memory with these nodes' new values.

        Each change is (nodes, new reserved memory): per row, per row and column, or, for the
        columns themselves, (R, C) with the nodes ``cols``.
        """
        of, track = self.of, self.of.reserved
        shape = (len(self.rows), 1) if all(n.ndim == 1 for _, n in changes) else None
        if track is None:
            return np.zeros(len(self.rows) if shape else (len(self.rows), len(self.cols)))
        count = max(len(of.online), 1)
        square: Floats | float = track.square
        drift: Floats | float = 0.0
        for nodes, value in changes:
            column = nodes is self.cols
            unit, y, old = track.unit[0, nodes], track.y[nodes], of.state.rmem[nodes]
            if not column and shape is None:
                unit, y, old = unit[:, None], y[:, None], old[:, None]
                if value.ndim == 1:
                    value = value[:, None]
            change = (value - old) * unit
            square = square + change * (2 * y + change)
            drift = drift + change
        total_weight = WEIGHTS["reserved_mem_rtotal"] * np.sqrt(count) / track.weight
        result: Floats = np.sqrt(np.maximum(square - drift * drift / count, 0))
        result += drift * total_weight
        return result

    def _secondary_leaves(self) -> Floats:
        of, s = self.of, self.s
        fails = (of.state.umem[s] <= self.rmem_gone) | (of.state.fdsk[s] + self.disk <= 0)
        change = np.where(
            self.off_s,
            -WEIGHTS["offline_all_cnt"],
            (of.count[s] - 1) * fails - of.count[s] * of.fails[s],
        )
        result: Floats = change * self.real
        return result

    def _secondary_arrives(self, reserve: Floats, forced: Bools) -> Floats:
        of, cols = self.of, self.cols
        change = np.zeros((len(self.rows), len(cols)))
        if of.fails[cols].any():
            change += of.fails[cols]
        if forced.any():
            fails = of.state.umem[cols] <= self._raised(reserve)
            change += fails * ~of.fails[cols] * (of.count[cols] + 1)
        change *= self.real[:, None]
        return change

    def _primary_becomes_secondary(self, rmem: Floats) -> Floats:
        """p changes role; ``rmem`` is its reserved memory then, (R) or (R, C)."""
        of, p = self.of, self.p
        columns = (slice(None), None) if rmem.ndim == 2 else (slice(None),)
        umem, fdsk = (of.state.umem[p] + self.m)[columns], of.state.fdsk[p][columns]
        fails = (umem <= rmem) | (fdsk <= 0)
        online = of.count[p][columns] * (fails * 1.0 - of.fails[p][columns])
        change = np.where(self.off_p[columns], -WEIGHTS["offline_pri_cnt"], online)
        tags = of._tags_leave(self.rows, p)
        result: Floats = change * self.real[columns] + tags[columns]
        return result

    def _secondary_becomes_primary(self) -> Floats:
        of, s = self.of, self.s
        fails = (of.state.umem[s] - self.m <= self.rmem_gone) | (of.state.fdsk[s] <= 0)
        change: Floats = self.real * of.count[s] * (fails * 1.0 - of.fails[s])
        if of.tags.any():
            free = (of.state.ptags[s] == 0) & of.has_tags[self.rows]
            met = of.tags[self.rows].sum(axis=1) - free.sum(axis=1)
            change += met * WEIGHTS["pri_tags_score"]
        if of.track_locations:
            change = change + of.tag_locations(self.rows, self.p, s[:, None])[:, 0]
        return change

    def _disk_stays(self, nodes: Ints, forced: Bools) -> Bools:
        """A node that swaps one role of the instance for the other still meets disk limits."""
        of = self.of
        hard, strict = of.disk_stays[0][nodes], of.disk_stays[1][nodes]
        if not self.real.all():
            hard, strict = hard | ~self.real, strict | (~self.real & of.disk_stays_planned[nodes])
        exclusive = of.state.static.cluster.nodes.exclusive[nodes]
        if exclusive.any():
            unknown = exclusive & (of.sp[self.rows] == UNKNOWN)
            hard, strict = hard & ~unknown, strict & ~unknown
        stays: Bools = np.where(forced, hard, strict)
        return stays

    def _takes_primary(self) -> Bools:
        """(R) the secondary can become the primary."""
        of, s, rows = self.of, self.s, self.rows
        q = of.state.q
        umem, fdsk = q[ROW["umem"], s], q[ROW["fdsk"], s]
        ok = ~self.real | (self.m < umem)
        before = (umem <= self.rmem_gone) | (fdsk + self.disk <= 0)
        after = (umem - self.m <= self.rmem_gone) | (fdsk <= 0)
        strict = ~self.real | before | ~after
        strict &= of.ma[rows] < q[ROW["umem_f"], s]
        strict &= of.v[rows] < of.strict_caps["v"][s]
        if of.tags.any():
            strict &= ~((of.state.ptags[s] > 0) & of.has_tags[rows]).any(axis=1)
        takes: Bools = ok & (strict | self.forced) & self._disk_stays(s, self.forced)
        return takes

    def _fits_planned(self, nodes: Ints) -> Bools:
        """(R) memory for the secondary once the primary has left, forthcoming instances counted."""
        left = self.of.state.umem_f[nodes] + self.of.ma[self.rows]
        fits: Bools = self.reserve < left
        return fits

    def _keeps_as_secondary(self, rmem: Floats) -> Bools:
        """(R, C) the old primary can become the secondary, with ``rmem`` reserved then."""
        p = self.p
        q = self.of.state.q
        umem, fdsk = q[ROW["umem"], p] + self.m, q[ROW["fdsk"], p]
        before = (umem <= q[ROW["rmem"], p]) | (fdsk + self.disk <= 0)
        after = (umem[:, None] <= rmem) | (fdsk[:, None] <= 0)
        strict = (~self.real | (self.sm < umem))[:, None] & (
            ~self.real[:, None] | before[:, None] | ~after
        )
        strict &= self._fits_planned(p)[:, None]
        forced = self.forced_s
        ok: Bools = (strict | forced[:, None]) & self._disk_stays(p, forced)[:, None]
        return ok

    def _takes_over(self) -> Bools:
        """(R) plain failover is possible."""
        p, s = self.p, self.s
        umem, fdsk = self.of.state.umem[p] + self.m, self.of.state.fdsk[p]
        rmem = self.of.state.rmem[p]
        reserve = np.maximum(rmem, self.of.state.peers[p, s] + self.sm)
        before = (umem <= rmem) | (fdsk + self.disk <= 0)
        after = (umem <= reserve) | (fdsk <= 0)
        strict = ~self.real | ((self.sm < umem) & (before | ~after))
        strict &= self._fits_planned(p)
        disk = self._disk_stays(p, self.forced) | self.off_p
        ok: Bools = self.takes_primary & (strict | self.forced) & disk & self._migratable(p, s)
        return ok
