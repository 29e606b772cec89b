"""What hbal can say beyond upstream: why, how good, and the plan as JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .commands import actions, commands, job_sets
from .model import NO_NODE, Ints
from .moves import REASONS, refusals
from .numbers import fixed
from .output import table
from .score import METRICS, lower_bound, metric_values, weighted
from .search import Limits, Move, Search
from .state import State
from .steps import STEPS

_BAR = 30


def progress_line(step: int, start: float, score: float, goal: float) -> str:
    """A bar that fills as the score falls from ``start`` to ``goal``; redraws its line."""
    span = max(start - goal, 1e-12)
    filled = round(_BAR * min(max((start - score) / span, 0.0), 1.0))
    return f"\r[{'#' * filled}{'.' * (_BAR - filled)}] step {step}, score {fixed(score, 6)}"


def metric_changes(before: State, after: State) -> list[dict[str, float | str]]:
    """Each metric's value before and after, and what it adds to the score."""
    old, new = metric_values(before), metric_values(after)
    return [
        {
            "metric": metric.name,
            "weight": metric.weight,
            "before": old[metric.name],
            "after": new[metric.name],
            "gain": metric.weight * (old[metric.name] - new[metric.name]),
        }
        for metric in METRICS
        if metric.name in old
    ]


def _kinds(mirror: int, snode: int) -> tuple[str, ...]:
    if mirror == 2:
        return ("fa",)
    return ("f", "r", "rf", "frf", "fr") if mirror == 1 and snode != NO_NODE else ()


def refused_moves(search: Search) -> dict[int, Counter[str]]:
    """Per instance that may be moved, how many of its moves are refused for which reason."""
    state = search.state
    insts = state.static.cluster.instances
    online = search.evaluator.online
    result = {}
    for inst in search.candidates().tolist():
        snode = int(state.snode[inst])
        counts: Counter[str] = Counter()
        for kind in _kinds(int(insts.mirror[inst]), snode):
            if not STEPS[kind][2]:
                targets: Ints = np.array([NO_NODE])
            else:
                targets = online[(online != state.pnode[inst]) & (online != snode)]
            codes = refusals(
                state,
                kind,
                np.full(len(targets), inst),
                targets,
                search.rules.ignore_soft_errors,
            )
            counts.update(REASONS[code] for code in codes.tolist())
        result[inst] = counts
    return result


def _why_ended(search: Search, limits: Limits) -> str:
    if search.score <= limits.min_score:
        return "the score is as low as asked for"
    move = search.best()
    if move is None:
        return "no allowed move lowers the score"
    gain = fixed(search.score - move.score, 8)
    if search.score <= limits.min_gain_limit and search.score - move.score < limits.min_gain:
        return f"the best move left gains only {gain}, less than --min-gain"
    return f"the number of steps was limited; the next move would gain {gain}"


def explain(search: Search, limits: Limits, before: State) -> str:
    """Why the plan is as it is: metrics before and after, why it ended, refused moves."""
    rows = [["Metric", "Before", "After", "Gain"]]
    for change in metric_changes(before, search.state):
        numbers = [fixed(float(change[key]), 8) for key in ("before", "after", "gain")]
        rows.append([str(change["metric"]), *numbers])
    text = f"Explanation of the metrics:\n{table(rows, [False, True, True, True], '   ')}\n"
    text += f"The plan ended because {_why_ended(search, limits)}.\n"
    names = search.state.static.cluster.instances.alias
    lines = []
    for inst, counts in refused_moves(search).items():
        refused = {reason: count for reason, count in counts.items() if reason != REASONS[0]}
        if refused:
            shown = ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items()))
            lines.append([names[inst], f"{sum(counts.values())} moves", f"refused: {shown}"])
    if lines:
        rows = [[name, f"{total},", shown] for name, total, shown in lines]
        text += f"Moves refused in the final state:\n{table(rows, [False, True, False], '   ')}\n"
    return text


def bound_text(before: State, after: State) -> str:
    """How far the score is from one that no placement can beat."""
    bound = lower_bound(after)
    start, end = weighted(metric_values(before)), weighted(metric_values(after))
    share = (start - end) / (start - bound) if start > bound else 1.0
    return (
        f"Lower bound of the score: {fixed(bound, 8)}\n"
        f"Distance to it: {fixed(end - bound, 8)}, of {fixed(start - bound, 8)} at the start"
        f" ({fixed(100 * share, 1)}% of the way)\n"
    )


def plan_json(before: State, after: State, moves: Sequence[Move]) -> str:
    """The plan: scores, metrics, and job sets of moves with their commands."""
    cluster = before.static.cluster
    nodes = cluster.nodes.name

    def place(pair: tuple[int, int]) -> list[str]:
        return [nodes[node] for node in pair if node != NO_NODE]

    sets = [
        [
            {
                "instance": cluster.instances.name[move.inst],
                "from": place(move.old),
                "to": place(move.new),
                "actions": actions(cluster, move),
                "commands": [f"gnt-instance {text}" for text in commands(cluster, move)],
                "score": move.score,
            }
            for move in jobs
        ]
        for jobs in job_sets(moves)
    ]
    plan = {
        "version": 1,
        "score": {
            "before": weighted(metric_values(before)),
            "after": weighted(metric_values(after)),
            "bound": lower_bound(after),
        },
        "metrics": metric_changes(before, after),
        "job_sets": sets,
    }
    return json.dumps(_finite(plan), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """The value with null for numbers JSON cannot express (a cluster without online nodes)."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
