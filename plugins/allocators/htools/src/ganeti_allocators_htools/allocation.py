"""Where to put a new instance: every allowed node or pair of nodes is scored, the best one taken.

The scores are upstream's (release 3.0) to the last bit, since equal nodes are common and ties are
broken by them: with one node the whole score is computed anew, with two nodes the metrics'
statistics are updated for the primary and then for the secondary. Among equals the last wins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .limits import (
    CODE,
    FAILURES,
    Request,
    as_primary,
    as_secondary,
    primary_codes,
    secondary_codes,
)
from .model import Bools, Codes, Floats, Ints
from .score import (
    METRICS,
    STDDEV,
    count_values,
    real_tags,
    sequential_sum,
    stddev_columns,
    weighted_columns,
)
from .state import ROW, State

RMEM_METRIC = STDDEV.index("reserved_mem_cv")


@dataclass(frozen=True)
class Placement:
    """Nodes chosen for a request (primary first) and the cluster's score with it."""

    nodes: tuple[int, ...]
    score: float


@dataclass
class Outcome:
    """What became of a request on some nodes."""

    best: Placement | None = None
    successes: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def counts(self) -> list[tuple[str, int]]:
        """All failure kinds, most frequent first."""
        return sorted(((name, self.failures[name]) for name in FAILURES), key=lambda kv: -kv[1])


def tally(codes: Codes) -> Counter[str]:
    counts = np.bincount(codes.astype(np.int64).ravel(), minlength=len(FAILURES) + 1).tolist()
    return Counter({name: counts[code] for name, code in CODE.items() if counts[code]})


def last_smallest(scores: Floats) -> Iterator[int]:
    """Indices by rising score, the last of equals first; NaN counts as smallest."""
    known = np.where(np.isnan(scores), -np.inf, scores)[::-1]
    count = len(scores)
    # the first one mostly suffices, and all of them need sorting
    yield count - 1 - int(np.argmin(known))
    order = np.argsort(known, kind="stable").tolist()
    yield from (count - 1 - index for index in order[1:])


def _n1_count(q: Floats, fails: Bools) -> Floats:
    return np.where(fails, q[ROW["npri"]] + q[ROW["nsec"]], 0.0)


class Scorer:
    """Scores of one state with a request added on top; make a new one after every change."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.online = np.flatnonzero(~state.static.offline)
        self.values = count_values(state, self.online, np.flatnonzero(state.static.offline))
        self.position = np.full(len(state.static.offline), -1)
        self.position[self.online] = np.arange(len(self.online))
        self.base = stddev_columns(state.static, state.q[:, self.online], self.online)

    def _shared(self, request: Request, nodes: Ints, q: Floats) -> dict[str, Any]:
        """Metrics that are sums of whole numbers: exact in any order."""
        state = self.state
        values: dict[str, Any] = dict(self.values)
        fails = q[ROW["umem"], nodes] <= state.rmem[nodes]
        if request.local:
            fails |= q[ROW["fdsk"], nodes] <= 0
        before = _n1_count(state.q[:, nodes], state.fails_n1[nodes])
        values["n1_cnt"] = values["n1_cnt"] + (_n1_count(q[:, nodes], fails) - before)
        if request.exclusion:
            tags = np.array(request.exclusion, dtype=np.int64)
            again = (state.ptags[np.ix_(nodes, tags)] > 0).sum(axis=1)
            values["pri_tags_score"] = values["pri_tags_score"] + again
        unmet = _unmet(state, request)
        if unmet is not None:
            values["location_score"] = values["location_score"] + unmet[nodes]
        crowd = _crowding(state, request)
        if crowd is not None:
            values["location_exclusion_score"] = values["location_exclusion_score"] + crowd[nodes]
        return values

    def single(self, request: Request, nodes: Ints, q: Floats) -> Floats:
        """Score for each of ``nodes`` as the only node."""
        values = self._shared(request, nodes, q)
        columns = stddev_columns(self.state.static, q[:, nodes], nodes)
        rows, metric_row = _distinct(self.base, columns)
        count = np.float64(len(self.online))
        table = np.repeat(self.base[rows][:, :, None], len(nodes), axis=2)
        table[:, self.position[nodes], np.arange(len(nodes))] = columns[rows]
        mean = sequential_sum(table, axis=1) / count
        table -= mean[:, None, :]
        table *= table
        deviation = np.sqrt(sequential_sum(table, axis=1) / count)
        return weighted_columns(deviation[metric_row], values)

    def pairs(
        self, request: Request, nodes: Ints, primary_q: Floats, secondary_q: Floats, rmem: Floats
    ) -> Floats:
        """Score matrix [primary, secondary] over ``nodes``; ``rmem`` is what the secondary then
        has to reserve, [primary, secondary] too."""
        state = self.state
        static = state.static
        values = self._shared(request, nodes, primary_q)
        for name in ("n1_cnt", "pri_tags_score", "location_score", "location_exclusion_score"):
            values[name] = np.broadcast_to(np.asarray(values[name], float), (len(nodes),))[:, None]
        fails = (state.umem[nodes] <= rmem) | (secondary_q[ROW["fdsk"], nodes] <= 0)
        after = np.where(fails, (secondary_q[ROW["npri"]] + secondary_q[ROW["nsec"]])[nodes], 0.0)
        before = _n1_count(state.q[:, nodes], state.fails_n1[nodes])
        values["n1_cnt"] = values["n1_cnt"] + (after - before)
        if static.common is not None:
            common = static.common[np.ix_(nodes, nodes)]
            values["location_score"] = values["location_score"] + common
        tmem = static.cluster.nodes.tmem[nodes]
        old = self.base[:, self.position[nodes]]
        first = stddev_columns(static, primary_q[:, nodes], nodes)
        second = stddev_columns(static, secondary_q[:, nodes], nodes)
        reserved = rmem / tmem
        values["reserved_mem_rtotal"] = self.values["reserved_mem_rtotal"] + (
            reserved - old[RMEM_METRIC]
        )
        count = np.float64(len(self.online))
        sums = sequential_sum(self.base)
        # one buffer for all matrices: fresh ones would cost more than what is computed in them
        score, buffer = np.zeros(rmem.shape), np.empty(rmem.shape)
        for metric in METRICS:
            if metric.kind != "stddev":
                score += metric.weight * values[metric.name]
                continue
            row = STDDEV.index(metric.name)
            start = (sums[row], _variance(self.base[row]))
            total, variance = _updated(count, *start, old[row], first[row])
            if row != RMEM_METRIC and np.array_equal(old[row], second[row]):
                score += metric.weight * np.sqrt(variance)[:, None]
                continue
            new = reserved if row == RMEM_METRIC else second[row]
            part = np.asarray(total)[:, None], np.asarray(variance)[:, None]
            _update_variance(count, *part, old[row], new, buffer)
            np.sqrt(buffer, out=buffer)
            buffer *= metric.weight
            score += buffer
        return score


def _distinct(base: Floats, columns: Floats) -> tuple[list[int], list[int]]:
    """Which rows are worth computing, and for each metric the place of its own among them.

    The four loads, or memory with and without planned instances, are mostly the same numbers.
    """
    rows: list[int] = []
    places: dict[tuple[bytes, bytes], int] = {}
    metric_row = []
    for row, (old, new) in enumerate(zip(base, columns, strict=True)):
        place = places.setdefault((old.tobytes(), new.tobytes()), len(rows))
        if place == len(rows):
            rows.append(row)
        metric_row.append(place)
    return rows, metric_row


def _variance(values: Floats) -> Floats:
    count = np.float64(len(values))
    difference = values - sequential_sum(values) / count
    result: Floats = sequential_sum(difference * difference) / count
    return result


def _updated(
    count: np.float64, total: Any, variance: Any, old: Floats, new: Floats
) -> tuple[Floats, Floats]:
    """Sum and variance once one of ``count`` values changed from ``old`` to ``new``.

    A variance that is no number (a node with spindle count 0) counts as none, as upstream's does.
    """
    change = new - old
    result = np.empty(np.broadcast_shapes(np.shape(total), change.shape))
    _update_variance(count, total, variance, old, new, result)
    return total + change, result


def _update_variance(
    count: np.float64, total: Any, variance: Any, old: Floats, new: Floats, result: Floats
) -> None:
    """The variance of `_updated`, put into ``result``, each operation in upstream's order."""
    change = new - old
    squares = new * new - old * old
    np.multiply(2 * total, change, out=result)
    np.subtract(count * squares, result, out=result)
    result -= change * change
    result /= count * count
    result += variance
    np.fmax(0.0, result, out=result)


def _unmet(state: State, request: Request) -> Floats | None:
    wanted = (
        frozenset(tag for tag in request.tags if tag.startswith(state.static.rules.desired))
        if state.static.rules.desired
        else frozenset()
    )
    if not wanted:
        return None
    return np.array([len(wanted - have) for have in state.static.locations], dtype=float)


def _crowding(state: State, request: Request) -> Floats | None:
    """How many (failure domain, exclusion tag) pairs of each node exist already."""
    static = state.static
    if not request.exclusion or not any(static.locations):
        return None
    tags = list(request.exclusion)
    names = sorted(set().union(*static.locations))
    member = np.array([[name in have for name in names] for have in static.locations])
    present = (
        member[~static.offline].T.astype(np.int64) @ real_tags(state)[~static.offline][:, tags]
    )
    crowd: Floats = (member.astype(float) @ (present > 0)).sum(axis=1)
    return crowd


Place = tuple[int, ...]
Check = Callable[[Place], bool]


def choose(
    outcome: Outcome, places: Sequence[Ints], scores: Floats, check: Check | None
) -> Outcome:
    """Fill in the best place that passes ``check``; those before it count as N+1 failures.

    ``places`` has an array of primaries and, for pairs, one of secondaries.
    """
    outcome.successes = len(scores)
    for index in last_smallest(scores):
        place = tuple(int(nodes[index]) for nodes in places)
        if check is None or check(place):
            outcome.best = Placement(place, float(scores[index]))
            break
        outcome.failures["FailN1"] += 1
        outcome.successes -= 1
    return outcome


def allocate(
    state: State,
    request: Request,
    nodes: Ints,
    *,
    force: bool = False,
    check: Check | None = None,
    refused: Bools | None = None,
    scorer: Scorer | None = None,
) -> Outcome:
    """Try the request on ``nodes`` (online ones, rising numbers): each, or each pair for DRBD.

    ``refused`` marks those of ``nodes`` that ``check`` would surely not let pass.
    """
    codes = primary_codes(state, request.sizes, force=force)[0, nodes]
    outcome = Outcome()
    if request.template != "drbd":
        outcome.failures = tally(codes)
        if refused is not None and bool(np.all(refused[codes == 0])):
            outcome.failures["FailN1"] += int((codes == 0).sum())
            return outcome
        good = nodes[codes == 0]
        if not len(good):
            return outcome
        scorer = scorer or Scorer(state)
        scores = scorer.single(request, good, as_primary(state, request))
        return choose(outcome, [good], scores, check)
    group = state.static.cluster.nodes.group[nodes]
    partner = (group[:, None] == group[None, :]) & ~np.eye(len(nodes), dtype=bool)
    # [primary, secondary]
    needed = request.mem if request.uses_sec_mem else 0
    rmem = np.maximum(state.rmem[None, :], state.peers[:, nodes].T + needed)
    allowed = np.where(
        codes[:, None] > 0, codes[:, None], secondary_codes(state, request, rmem)[:, nodes]
    )
    outcome.failures = tally(allowed[partner])
    rmem = rmem[:, nodes]
    allowed[~partner] = len(FAILURES) + 1
    rows, columns = np.nonzero(allowed == 0)
    if not len(rows):
        return outcome
    scorer = scorer or Scorer(state)
    first_q, second_q = as_primary(state, request), as_secondary(state, request)
    scores = scorer.pairs(request, nodes, first_q, second_q, rmem)[rows, columns]
    return choose(outcome, [nodes[rows], nodes[columns]], scores, check)
