"""The cluster score: a weighted sum of metrics over the nodes, lower is better.

Names, weights, order and aggregation are upstream's (release 3.0), see `METRICS`. `metric_values`
and `score` follow its order of floating-point operations, so that sums agree to the last bit:
a mean by adding the nodes one after the other, then the squared differences the same way, then the
weighted metrics in their order. `moves` has the fast form used to look for candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .model import NO_NODE, Bools, Floats, Ints
from .state import ROW, State, Static


class Metric(NamedTuple):
    """One summand of the score; ``kind`` says how the nodes' values become one number:
    "stddev" and "sum" over online nodes, "offline" summed over offline ones, "map" by its own rule.
    """

    name: str
    weight: float
    kind: str


METRICS = (
    Metric("free_mem_cv", 0.5, "stddev"),
    Metric("free_disk_cv", 0.5, "stddev"),
    Metric("n1_cnt", 1.0, "sum"),
    Metric("reserved_mem_cv", 1.0, "stddev"),
    Metric("offline_all_cnt", 4.0, "offline"),
    Metric("offline_pri_cnt", 16.0, "offline"),
    Metric("vcpu_ratio_cv", 0.5, "stddev"),
    Metric("cpu_load_cv", 1.0, "stddev"),
    Metric("mem_load_cv", 1.0, "stddev"),
    Metric("disk_load_cv", 1.0, "stddev"),
    Metric("net_load_cv", 1.0, "stddev"),
    Metric("pri_tags_score", 2.0, "sum"),
    Metric("spindles_cv", 0.5, "stddev"),
    Metric("free_mem_cv_forth", 0.5, "stddev"),
    Metric("free_disk_cv_forth", 0.5, "stddev"),
    Metric("vcpu_ratio_cv_forth", 0.5, "stddev"),
    Metric("spindles_cv_forth", 0.5, "stddev"),
    Metric("location_score", 1.0, "sum"),
    Metric("location_exclusion_score", 1.0, "map"),
    Metric("reserved_mem_rtotal", 0.25, "sum"),
)
WEIGHTS = {metric.name: metric.weight for metric in METRICS}
STDDEV = tuple(metric.name for metric in METRICS if metric.kind == "stddev")

_PLACE = {metric.name: place for place, metric in enumerate(METRICS)}
_DEVIATIONS = [_PLACE[name] for name in STDDEV]
_WEIGHTS = np.array([[metric.weight] for metric in METRICS])

Columns = slice | NDArray[np.int64] | NDArray[np.bool_]


#: Rows of `state.Q` the `STDDEV` metrics are made from, in their order.
_NUMERATORS = [
    ROW[name]
    for name in (
        "umem", "fdsk", "rmem", "ucpu", "cload", "mload", "dload", "nload", "isp",
        "umem_f", "fdsk_f", "ucpu_f", "isp_f",
    )
]  # fmt: skip
_DISKS = ((STDDEV.index("free_disk_cv"), "fsp"), (STDDEV.index("free_disk_cv_forth"), "fsp_f"))
_CPUS = [STDDEV.index("vcpu_ratio_cv"), STDDEV.index("vcpu_ratio_cv_forth")]


def _denominators(static: Static) -> Floats:
    """(metrics, N) what the rows of `_NUMERATORS` are divided by; CPUs by the speed as well."""
    nodes = static.cluster.nodes
    disk = np.where(nodes.exclusive, nodes.spindles, nodes.tdsk)
    isp = static.hi_spindles
    return np.stack(
        (nodes.tmem, disk, nodes.tmem, nodes.tcpu, *static.pool, isp,
         nodes.tmem, disk, nodes.tcpu, isp)
    )  # fmt: skip


def stddev_columns(static: Static, q: Floats, nodes: Columns = slice(None)) -> Floats:
    """The per-node values of the `STDDEV` metrics, in their order.

    ``q`` has the rows of `state.Q` in its first axis and the selected ``nodes`` in its second
    (further axes are kept); the result has one row per metric.
    """
    table = static.score_table
    if table is None:
        table = _denominators(static)
        object.__setattr__(static, "score_table", table)
    data = static.cluster.nodes
    extra = (1,) * (q.ndim - 2)

    def picked(values: NDArray[Any]) -> NDArray[Any]:
        return values[..., nodes].reshape((*values.shape[:-1], -1, *extra))

    below = picked(table)
    result: Floats = q[_NUMERATORS]
    with np.errstate(divide="ignore", invalid="ignore"):
        result /= below
        result[_CPUS] /= picked(data.cpu_speed)
        exclusive = picked(data.exclusive)
        for row, spindles in _DISKS:
            if exclusive.any():
                result[row] = np.where(exclusive, q[ROW[spindles]] / below[row], result[row])
            if not below[row].all():
                result[row] = np.where(below[row] == 0, 1.0, result[row])
    return result


def sequential_sum(values: Floats, axis: int = -1) -> Floats:
    """Sum along ``axis`` adding one after the other (numpy's own sum pairs them up)."""
    if values.shape[axis] == 0:
        return np.zeros(np.delete(values.shape, axis))
    result: Floats = np.add.accumulate(values, axis=axis).take(-1, axis=axis)
    return result


def stddev(values: Floats) -> Floats:
    """Population standard deviation over the last axis in upstream's order; NaN without values."""
    count = values.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sequential_sum(values) / np.float64(count)
        difference = values - mean[..., None]
        return np.sqrt(sequential_sum(difference * difference) / np.float64(count))


def pri_tags(state: State, online: Ints | None = None) -> float:
    """How many primaries, forthcoming ones too, share an exclusion tag with another on a node."""
    on = np.flatnonzero(~state.static.offline) if online is None else online
    return float(np.maximum(state.ptags[on] - 1, 0).sum())


def real_tags(state: State) -> Ints:
    """`State.ptags` without forthcoming instances: as upstream has it, they keep no location."""
    planned = state.static.planned_tagged
    if not planned:
        return state.ptags
    counts = state.ptags.copy()
    for inst in planned:
        for tag in state.static.exclusion[inst]:
            counts[state.pnode[inst], tag] -= 1
    return counts


def location_exclusion(state: State, online: Ints | None = None) -> float:
    """Sum over (failure domain, exclusion tag) of how many primaries beyond one share both.

    Forthcoming instances do not count.
    """
    static = state.static
    if not static.exclusion_tags or not any(static.locations):
        return 0.0
    names = sorted(set().union(*static.locations))
    on = np.flatnonzero(~static.offline) if online is None else online
    member = np.array(
        [[name in tags for name in names] for tags in static.locations], dtype=np.int64
    )
    counts = member[on].T @ real_tags(state)[on]
    return float(np.maximum(counts - 1, 0).sum())


def count_values(state: State, on: Ints, off: Ints) -> dict[str, float]:
    """The metrics that are not deviations, over online nodes ``on`` and offline ones ``off``."""
    counts = state.npri + state.nsec
    with np.errstate(divide="ignore", invalid="ignore"):
        reserved = state.rmem[on] / state.static.cluster.nodes.tmem[on]
    return {
        "n1_cnt": float(counts[on][state.fails_n1[on]].sum()),
        "offline_all_cnt": float(counts[off].sum()),
        "offline_pri_cnt": float(state.npri[off].sum()),
        "pri_tags_score": pri_tags(state, on),
        "location_score": float(state.lscore[on].sum()),
        "location_exclusion_score": location_exclusion(state, on),
        "reserved_mem_rtotal": float(sequential_sum(reserved)),
    }


def metric_values(state: State, members: Bools | None = None) -> dict[str, float]:
    """Each metric's value, in the order of `METRICS`, over the nodes ``members`` (default all).

    None at all where no node is online, as upstream has it.
    """
    static = state.static
    chosen = np.ones(len(static.offline), dtype=bool) if members is None else members
    on = np.flatnonzero(chosen & ~static.offline)
    off = np.flatnonzero(chosen & static.offline)
    if not len(on):
        return {}
    deviations = stddev(stddev_columns(static, state.q[:, on], on)).tolist()
    values = dict(zip(STDDEV, deviations, strict=True)) | count_values(state, on, off)
    return {metric.name: values[metric.name] for metric in METRICS}


def weighted(values: dict[str, float]) -> float:
    """The score of these metric values, added in the order of `METRICS`; 0 without values."""
    total = 0.0
    for name, value in values.items():
        total += WEIGHTS[name] * value
    return total


def weighted_columns(deviations: Floats, counts: Mapping[str, Floats | float]) -> Floats:
    """(C) the same for many candidates: ``deviations`` (metrics of `STDDEV`, C), other metrics by
    name."""
    table = np.empty((len(METRICS), deviations.shape[1]))
    table[_DEVIATIONS] = deviations
    for name, values in counts.items():
        table[_PLACE[name]] = values
    table *= _WEIGHTS
    return sequential_sum(table, axis=0)


def score(state: State, members: Bools | None = None) -> float:
    """The cluster score, exact to the last bit as upstream computes it."""
    return weighted(metric_values(state, members))


def lower_bound(state: State, members: Bools | None = None) -> float:
    """A score no placement can beat: the memory that must stay reserved whatever is moved where.

    Reserved memory is at least the demand spread over all nodes but the largest (upstream's bound).
    """
    static = state.static
    insts = static.cluster.instances
    chosen = np.ones(len(static.offline), dtype=bool) if members is None else members
    on = chosen & ~static.offline
    total = np.sort(static.cluster.nodes.tmem[on])
    primary = chosen[state.pnode] if len(insts) else np.zeros(0, dtype=bool)
    demand = float(static.sec_mem[primary & (state.snode != NO_NODE)].sum())
    if len(total) < 2 or total[:-1].sum() <= 0:
        return 0.0
    whole = float(total.sum())
    rest = float(total[:-1].sum())
    return WEIGHTS["reserved_mem_rtotal"] * (demand / rest - demand / whole)
