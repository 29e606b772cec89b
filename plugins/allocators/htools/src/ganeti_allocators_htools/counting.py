"""The score's counting metrics after moves: N+1 failures, exclusion tags, locations.

R is the number of instances asked about (``rows``), C that of target nodes (``cols``).
"""

from __future__ import annotations

import numpy as np

from .model import Bools, Floats, Ints
from .score import WEIGHTS, real_tags
from .state import ROW, State, location_scores


class Counting:
    """What each role's coming or going does to the metrics; call `refresh` after a change."""

    def __init__(self, state: State) -> None:
        static = state.static
        self.state = state
        self.m = static.as_primary[ROW["imem"]]
        #: (I, tags) how often each exclusion tag counts for an instance
        self.tags = np.zeros((len(static.real), len(static.exclusion_tags)))
        for inst, own in enumerate(static.exclusion):
            for tag in own:
                self.tags[inst, tag] += 1
        self.has_tags = self.tags > 0
        self.tagged = bool(self.has_tags.any())
        names = sorted(set().union(*static.locations)) if static.locations else []
        self.places = np.array([[n in have for n in names] for have in static.locations], float)
        self.track_locations = bool(names) and self.tagged
        self.online = np.flatnonzero(~static.offline)
        self.refresh()

    def refresh(self) -> None:
        self.fails = self.state.fails_n1
        self.count = self.state.npri + self.state.nsec
        if self.track_locations:
            self.places_tags = self.places[self.online].T @ real_tags(self.state)[self.online]

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
        return change * real + self.tags_leave(rows, source)

    def tags_leave(self, rows: Ints, source: Ints) -> Floats:
        """(R) the part of the exclusion tags in `primary_leaves`."""
        if not self.tagged:
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
        if not (any_fails or any_forced or self.tagged):
            return change
        if any_fails:
            change += self.fails[cols]
        if any_forced:
            fails = (state.umem[cols] - self.m[rows, None]) <= state.rmem[cols]
            change += fails * ~self.fails[cols] * (self.count[cols] + 1)
        change *= real[:, None]
        if self.tagged:
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
        counts_here = self.has_tags[rows].any(axis=1) & self.state.static.real[rows]
        for number in np.flatnonzero(counts_here).tolist():
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
