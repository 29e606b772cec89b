"""Standard-deviation metrics in the form used to judge many moves at once.

A *track* stands for one or more metrics whose node values are multiples of each other and stay so
(as long as every instance changes them alike): on a usual cluster thirteen metrics are six tracks.
Adding instance i to node n changes the node's value by ``amount[i] @ unit[:, n]``, so that a move's
new standard deviation follows from sums kept for the whole cluster, without a pass over the nodes.
Values are centred on their mean and scaled by weight / sqrt(nodes): then the sum of their squares
is the square of the weighted deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .model import Floats, Ints
from .score import STDDEV, WEIGHTS
from .state import ROW, Static

PRIMARY, BOTH, RESERVED = "primary", "both", "reserved"

#: Metric: rows of ``Static.as_primary`` that change it, and whether secondaries count as well.
_SOURCES = {
    "free_mem_cv": ("umem", PRIMARY),
    "free_disk_cv": ("fdsk", BOTH),
    "reserved_mem_cv": ("rmem", RESERVED),
    "vcpu_ratio_cv": ("ucpu", PRIMARY),
    "cpu_load_cv": ("cload", PRIMARY),
    "mem_load_cv": ("mload", PRIMARY),
    "disk_load_cv": ("dload", BOTH),
    "net_load_cv": ("nload", PRIMARY),
    "spindles_cv": ("isp", BOTH),
    "free_mem_cv_forth": ("umem_f", PRIMARY),
    "free_disk_cv_forth": ("fdsk_f", BOTH),
    "vcpu_ratio_cv_forth": ("ucpu_f", PRIMARY),
    "spindles_cv_forth": ("isp_f", BOTH),
}


@dataclass
class Track:
    """One track; ``row`` is the metric (position in `STDDEV`) whose values it follows.

    ``unit`` (components, N) is zero for offline nodes, ``amount`` (I, components). ``uniform``
    says that all online nodes have the same units, so that a move between them keeps the mean.
    """

    row: int
    group: str
    weight: float
    amount: Floats
    unit: Floats
    uniform: bool
    y: Floats  # (N) centred and scaled values, 0 for offline nodes
    square: float = 0.0  # sum of y squared: the weighted deviation squared
    mean: float = 0.0
    shift: float = 0.0  # by how much the mean moved at the last refresh, scaled

    def increments(self, insts: Ints, nodes: Ints) -> Floats:
        """(R, C) change of the scaled value of each of ``nodes`` by each of ``insts``."""
        first: Floats = self.amount[insts, :1] * self.unit[:1, nodes]
        for component in range(1, len(self.unit)):
            first = first + self.amount[insts, component, None] * self.unit[component, nodes]
        return first

    def on(self, insts: Ints, nodes: Ints) -> Floats:
        """(R) the same for pairs of instance and node."""
        result: Floats = (self.amount[insts] * self.unit[:, nodes].T).sum(axis=1)
        return result


def _units(static: Static) -> dict[str, tuple[Floats, list[str]]]:
    """Per metric (components, N) units and the rows that give each component's amount."""
    nodes = static.cluster.nodes
    with np.errstate(divide="ignore", invalid="ignore"):
        memory = (1.0 / nodes.tmem)[None]
        disk = np.where(nodes.tdsk == 0, 0, 1.0 / nodes.tdsk)
        spindle_space = np.where(nodes.spindles == 0, 0, 1.0 / nodes.spindles)
        cpu = (1.0 / nodes.tcpu / static.tspeed)[None]
        spindle = np.where(nodes.exclusive, 0, 1.0 / static.hi_spindles)[None]
        pool = 1.0 / static.pool
    if nodes.exclusive.any():
        disks = np.stack(
            (np.where(nodes.exclusive, 0, disk), np.where(nodes.exclusive, spindle_space, 0))
        )
    else:
        disks = disk[None]
    parts = len(disks)
    return {
        "umem": (memory, ["umem"]),
        "fdsk": (disks, ["fdsk", "fsp"][:parts]),
        "rmem": (memory, []),
        "ucpu": (cpu, ["ucpu"]),
        "cload": (pool[:1], ["cload"]),
        "mload": (pool[1:2], ["mload"]),
        "dload": (pool[2:3], ["dload"]),
        "nload": (pool[3:], ["nload"]),
        "isp": (spindle, ["isp"]),
        "umem_f": (memory, ["umem_f"]),
        "fdsk_f": (disks, ["fdsk_f", "fsp_f"][:parts]),
        "ucpu_f": (cpu, ["ucpu_f"]),
        "isp_f": (spindle, ["isp_f"]),
    }


def build_tracks(static: Static, values: Floats, online: Ints) -> list[Track]:
    """The tracks of a cluster whose online nodes have these ``values``.

    Metrics no instance can change are left out.
    """
    units = _units(static)
    tracks: list[Track] = []
    for row, name in enumerate(STDDEV):
        source, group = _SOURCES[name]
        unit, rows = units[source]
        scaled = np.zeros_like(unit)
        scaled[:, online] = unit[:, online]
        if group == RESERVED:
            amount = (static.sec_mem * static.real)[:, None]
        else:
            amount = np.stack([static.as_primary[ROW[part]] for part in rows], axis=1)
        if not amount.any() or not np.isfinite(scaled).all() or not np.isfinite(values[row]).all():
            continue
        centred = np.zeros(len(static.offline))
        centred[online] = values[row] - values[row].mean() if len(online) else 0
        track = Track(row, group, WEIGHTS[name], amount, scaled, False, centred)
        for other in tracks:
            factor = _proportion(track, other)
            if factor is not None:
                other.weight += track.weight * abs(factor)
                break
        else:
            tracks.append(track)
    root = np.sqrt(max(len(online), 1))
    for track in tracks:
        part = track.unit[:, online]
        track.uniform = bool((part == part[:, :1]).all())
        track.unit = track.unit * (track.weight / root)
    return tracks


def _proportion(one: Track, other: Track) -> float | None:
    """The factor by which ``one`` is a multiple of ``other``, None if it is not."""
    if one.group != other.group or one.amount.shape != other.amount.shape:
        return None
    factor = 1.0
    for mine, theirs in ((one.amount, other.amount), (one.unit, other.unit)):
        position = int(np.abs(theirs).argmax())
        base = float(theirs.ravel()[position])
        if base == 0:
            return None
        ratio = float(mine.ravel()[position]) / base
        if ratio == 0 or not np.allclose(mine, theirs * ratio, rtol=1e-12, atol=0):
            return None
        factor *= ratio
    spread = max(float(np.abs(one.y).max()), float(np.abs(one.unit).max()))
    if not np.allclose(one.y, other.y * factor, rtol=0, atol=1e-12 * spread):
        return None
    return factor


def refresh(tracks: list[Track], values: Floats, online: Ints) -> None:
    """Bring the tracks up to the online nodes' ``values`` (see `score.stddev_columns`)."""
    root = math.sqrt(max(len(online), 1))
    means = values.sum(axis=1) / max(len(online), 1)
    for track in tracks:
        mean = float(means[track.row])
        scale = track.weight / root
        y = (values[track.row] - mean) * scale
        track.shift = (mean - track.mean) * scale
        track.mean = mean
        track.y[online] = y
        track.square = float(y @ y)
