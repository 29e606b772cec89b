"""Balancing: the best single move of a state, and moves one after the other until none pays.

The same move is chosen as by upstream's exhaustive search: the lowest exact score; of equals the
first instance, its failover first, then target by target in the order of `moves.ORDER`.

On large clusters most instances need not be looked at in every step. A move alters three nodes, so
of an instance elsewhere only moves to those three have new effects on the nodes; its other moves
change value only because the cluster-wide deviations have. How much they can have gained by that is
bounded (`_drift`), and instances whose bound stays below the best gain found are skipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .caps import INF
from .evaluate import Evaluator
from .mirrored import Costs
from .model import NO_NODE, Floats, Ints
from .moves import ORDER, ExactScorer, Rules
from .state import State
from .steps import apply_move, destination
from .words import TEMPLATES

#: Not moved by balancing, though any node could run it.
DISKLESS = TEMPLATES.index("diskless")
#: Approximate scores this close (relative to 1 + score) are re-scored exactly.
TOLERANCE = 2e-8
#: Below this many (instance, node) pairs everything is evaluated anew in each step.
LAZY_FROM = 12000
#: Array elements evaluated at a time when only some of the instances need be: small enough for
#: the processor's cache.
BLOCK = 8000


@dataclass(frozen=True)
class Move:
    """One step of a plan; nodes are numbers, ``target`` is `NO_NODE` for a failover."""

    inst: int
    kind: str
    target: int
    old: tuple[int, int]
    new: tuple[int, int]
    score: float


@dataclass(frozen=True)
class Limits:
    """When balancing stops."""

    max_steps: int = -1
    min_score: float = 1e-9
    min_gain: float = 0.01
    min_gain_limit: float = 0.1


@dataclass
class _Near:
    """Candidates close to the best seen so far."""

    cost: float
    tolerance: float
    entries: list[tuple[Floats, str, Ints, Ints]]

    def add(self, kind: str, costs: Floats, rows: Ints, cols: Ints) -> None:
        where = np.nonzero(costs <= self.cost + self.tolerance)
        if len(where[0]):
            targets = cols[where[1]] if kind != "f" else np.full(len(where[0]), NO_NODE)
            self.entries.append((costs[where], kind, rows[where[0]], targets))


class Search:
    """Finds the best move of a state and keeps its knowledge while moves are applied."""

    def __init__(self, state: State, rules: Rules | None = None) -> None:
        self.state = state
        self.rules = Rules() if rules is None else rules
        self.evaluator = Evaluator(state, self.rules)
        insts = state.static.cluster.instances
        self.movable = insts.movable & insts.auto_balance & (insts.template != DISKLESS)
        mirror = insts.mirror
        self.internal = (mirror == 1) & (state.snode != NO_NODE)
        self.external = mirror == 2
        self.lazy = len(insts) * len(self.evaluator.online) >= LAZY_FROM
        self.bound = np.full(len(insts), INF)
        self._found: tuple[Move, dict[str, Floats]] | None = None
        """The last result of `best`, and what it makes of its nodes."""

    @property
    def score(self) -> float:
        """Exact score of the present state."""
        return self.evaluator.score

    def candidates(self) -> Ints:
        """Instances that may be moved now."""
        state = self.state
        mask = self.movable & (self.internal | self.external)
        if self.rules.evac_mode:
            offline = state.static.offline
            second = (state.snode != NO_NODE) & offline[state.snode]
            mask = mask & (offline[state.pnode] | second)
        return np.flatnonzero(mask)

    def best(self) -> Move | None:
        """The move with the lowest score, if it is below the present one."""
        evaluator = self.evaluator
        rows = self.candidates()
        current = evaluator.score
        if not len(rows) or math.isnan(current):
            return None
        near = _Near(current, TOLERANCE * (1 + current), [])
        bound = self.bound if self.lazy else np.full(len(self.bound), INF)
        waiting = rows[np.argsort(-bound[rows], kind="stable")]
        size = max(8, BLOCK * (1 if self.lazy else 4) // max(1, len(evaluator.online)))
        while len(waiting):
            if current - bound[waiting[0]] > near.cost + near.tolerance:
                break
            block, waiting = np.sort(waiting[:size]), waiting[size:]
            bound[block] = current - self._evaluate(block, evaluator.online, near)
        return self._exact(near, current)

    def _evaluate(self, rows: Ints, cols: Ints, near: _Near | None = None) -> Floats:
        """The lowest cost of each row's moves to ``cols``; candidates go to ``near``."""
        result = np.full(len(rows), INF)
        for mask, evaluate in (
            (self.internal[rows], self.evaluator.internal),
            (self.external[rows], self.evaluator.external),
        ):
            if not mask.any():
                continue
            chosen = rows[mask]
            costs: Costs = evaluate(chosen, cols)
            lowest = np.full(len(chosen), INF)
            for values in costs.values():
                if values.size:
                    np.minimum(lowest, values.min(axis=1), out=lowest)
            result[mask] = lowest
            if near is not None:
                near.cost = min(near.cost, float(lowest.min()))
                for kind, values in costs.items():
                    near.add(kind, values, chosen, cols)
        return result

    def _exact(self, near: _Near, current: float) -> Move | None:
        """Re-score the near-best exactly and choose as upstream would."""
        state = self.state
        scorer: ExactScorer | None = None
        best: tuple[float, int, int] | None = None
        chosen: tuple[str, int, dict[str, Floats]] | None = None
        for costs, kind, insts, targets in near.entries:
            keep = costs <= near.cost + near.tolerance
            insts, targets = insts[keep], targets[keep]
            if not len(insts):
                continue
            if scorer is None:
                scorer = ExactScorer(state, self.evaluator.counts, base=self.evaluator.columns)
            force = self.rules.ignore_soft_errors
            scores, moved = scorer.allowed_scores(kind, insts, targets, force)
            for number, (score, inst, target) in enumerate(
                zip(scores.tolist(), insts.tolist(), targets.tolist(), strict=True)
            ):
                key = (score, inst, _position(kind, target))
                if score < current and (best is None or key < best):
                    columns = {role: values[:, number] for role, values in moved.items()}
                    best, chosen = key, (kind, target, columns)
        if best is None or chosen is None:
            return None
        score, inst, _ = best
        kind, target, columns = chosen
        old = (int(state.pnode[inst]), int(state.snode[inst]))
        move = Move(inst, kind, target, old, destination(kind, *old, target), score)
        self._found = move, columns
        return move

    def apply(self, move: Move) -> None:
        """Change the state by ``move`` and bring everything up to date."""
        evaluator, state = self.evaluator, self.state
        before = []
        if self.lazy:
            before = [
                (track.square, float(np.ptp(track.y)), float(np.abs(track.unit).max()))
                for track in evaluator.deviations.tracks
            ]
        found, columns = self._found or (None, None)
        known = columns if found is move else None  # it was worked out when the move was chosen
        self._found = None
        apply_move(state, move.inst, move.kind, move.target, known)
        evaluator.refresh(move.score)
        if self.lazy:
            self._update_bounds(move, before)

    def _update_bounds(self, move: Move, before: list[tuple[float, float, float]]) -> None:
        state = self.state
        self.bound += self._drift(before)
        touched = np.zeros(len(state.static.offline), dtype=bool)
        touched[[node for node in (*move.old, *move.new) if node != NO_NODE]] = True
        second = (state.snode != NO_NODE) & touched[state.snode]
        stale = touched[state.pnode] | second
        counting = self.evaluator.counting
        if counting.track_locations:
            stale |= (counting.has_tags & counting.has_tags[move.inst]).any(axis=1)
        self.bound[stale] = INF
        targets = np.flatnonzero(touched & ~state.static.offline)
        rows = self.candidates()
        rows = rows[np.isfinite(self.bound[rows])]
        size = max(64, BLOCK // max(1, len(targets)))
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            gain = self.score - self._evaluate(block, targets)
            self.bound[block] = np.maximum(self.bound[block], gain)

    def _drift(self, before: list[tuple[float, float, float]]) -> Floats:
        """How much any unaffected move of each instance can have gained by the last move.

        For each track, what a move does to the squared deviation lies between two limits that
        follow from the instance's size and the spread of the nodes' values; the change in gain is
        largest at one of them, since the square root's slope falls.
        """
        total = np.zeros(len(self.bound))
        tracks = self.evaluator.deviations.tracks
        for track, (square, spread, unit) in zip(tracks, before, strict=True):
            size = np.abs(track.amount).max(axis=1) * unit
            lowest = 2 * size * spread + 4 * size * size
            highest = 2 * size * spread + 2 * size * size
            slack = 4 * size * abs(track.shift)
            new, old_root, new_root = track.square, np.sqrt(square), np.sqrt(track.square)
            if new <= square:
                low = np.sqrt(np.maximum(square - lowest, 0))
                lower = np.sqrt(np.maximum(new - lowest - slack, 0))
                total += low - lower - (old_root - new_root)
            else:
                rise = np.sqrt(new + highest) - np.sqrt(square + highest)
                low = np.sqrt(np.maximum(new - lowest, 0))
                lower = np.sqrt(np.maximum(new - lowest - slack, 0))
                total += (new_root - old_root) - rise + (low - lower)
        return np.maximum(total, 0) + 1e-12


def _position(kind: str, target: int) -> int:
    """Where among an instance's moves upstream tries this one."""
    if kind == "f":
        return -1
    if kind == "fa":
        return target
    return target * 4 + ORDER["internal"].index(kind)


def balance(search: Search, limits: Limits) -> Iterator[Move]:
    """Apply the best move again and again; each is yielded after it has been applied."""
    steps = 0
    while limits.max_steps < 0 or steps < limits.max_steps:
        current = search.score
        if not current > limits.min_score:
            return
        move = search.best()
        if move is None:
            return
        if current <= limits.min_gain_limit and current - move.score < limits.min_gain:
            return
        search.apply(move)
        steps += 1
        yield move
