"""Approximate scores of all moves of some instances to some targets at once.

For each kind of move an array (instances, targets) of scores, infinite where the move is not
allowed. The numbers agree with the exact ones to about 1e-9; whoever needs the best move re-scores
the near-best exactly (`search`). A score has two parts: the `deviations` after the move, and the
rest of the present score with what `counting` says the move changes. `caps` says what is allowed.
"""

from __future__ import annotations

import math

import numpy as np

from .caps import INF, Caps
from .counting import Counting
from .deviations import Deviations
from .mirrored import Costs, Mirrored
from .model import Ints
from .moves import Rules
from .score import count_values, metric_values, stddev_columns, weighted
from .state import State
from .tracks import BOTH, PRIMARY


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
        self.deviations = Deviations(static, self.columns, self.online)
        self.counting = Counting(state)
        self.caps = Caps(state, self.counting.has_tags & state.static.real[:, None])
        self.refresh(weighted(metric_values(state)))

    def refresh(self, score: float) -> None:
        """Recompute what depends on the whole cluster: sums, limits, reserves.

        ``score`` is the state's exact score.
        """
        state = self.state
        self.columns = stddev_columns(state.static, state.q[:, self.online], self.online)
        self.deviations.refresh(self.columns)
        self.counting.refresh()
        self.caps.refresh()
        self.counts = count_values(state, self.online, self.offline)
        self.score = score
        self.constant = score - sum(math.sqrt(track.square) for track in self.deviations.tracks)

    def internal(self, rows: Ints, cols: Ints) -> Costs:
        """Scores after "f", "r", "rf", "frf", "fr" for mirrored instances ``rows``."""
        parts = (self.deviations, self.counting, self.caps)
        costs = Mirrored(*parts, self.rules, rows, cols).costs()
        return {kind: values + self.constant for kind, values in costs.items()}

    def external(self, rows: Ints, cols: Ints) -> Costs:
        """Scores after "fa" for instances on shared storage."""
        if not self.rules.instance_moves:
            return {}
        static, deviations, counting = self.state.static, self.deviations, self.counting
        p, s = self.state.pnode[rows], self.state.snode[rows]
        total = deviations.moved(PRIMARY, rows, p, cols) + deviations.moved(BOTH, rows, p, cols)
        if deviations.reserved is not None:
            total += np.sqrt(deviations.reserved.square)
        forced = static.offline[p] | self.rules.ignore_soft_errors
        ok = self.caps.accepts_primary(rows, cols, forced) & (cols != p[:, None])
        if static.migratable is not None:
            ok &= static.migratable[p[:, None], cols]
        total += self.constant + counting.primary_leaves(rows, p)[:, None]
        total += counting.primary_arrives(rows, p, cols, forced)
        total += counting.located(rows, (p, s), (cols[None, :], s[:, None]))
        return {"fa": np.where(ok, total, INF)}
