"""Weighted deviations after moves, for many moves at once: see `tracks` for the arithmetic.

R is the number of instances asked about (``rows``), C that of target nodes (``cols``).
"""

from __future__ import annotations

import numpy as np

from .model import Floats, Ints
from .score import WEIGHTS
from .state import Static
from .tracks import BOTH, PRIMARY, RESERVED, build_tracks, refresh


class Deviations:
    """The tracks of a cluster; call `refresh` with the online nodes' new values."""

    def __init__(self, static: Static, values: Floats, online: Ints) -> None:
        self.online = online
        self.offline = static.offline
        self.count = max(len(online), 1)
        self.tracks = build_tracks(static, values, online)
        self.groups = {
            group: [track for track in self.tracks if track.group == group]
            for group in (PRIMARY, BOTH, RESERVED)
        }
        self.reserved = next(iter(self.groups[RESERVED]), None)

    def refresh(self, values: Floats) -> None:
        """``values`` as `score.stddev_columns` has them."""
        refresh(self.tracks, values, self.online)

    def unchanged(self, group: str) -> float:
        return float(sum(np.sqrt(track.square) for track in self.groups[group]))

    def moved(self, group: str, rows: Ints, source: Ints, cols: Ints) -> Floats:
        """(R, C) deviations of ``group``, each row's share gone from ``source`` to the column."""
        total = np.zeros((len(rows), len(cols)))
        offline_source = bool(self.offline[source].any())
        for track in self.groups[group]:
            gone = track.on(rows, source)
            base = track.square - gone * (2 * track.y[source] - gone)
            inc = track.increments(rows, cols)
            value = 2 * track.y[cols] + inc
            value *= inc
            value += base[:, None]
            if offline_source or not track.uniform:
                drift = inc - gone[:, None]
                drift *= drift
                drift *= 1.0 / self.count
                value -= drift
            np.maximum(value, 0, out=value)
            total += np.sqrt(value, out=value)
        return total

    def swapped(self, group: str, rows: Ints, source: Ints, target: Ints) -> Floats:
        """(R) the same for one target per row."""
        total = np.zeros(len(rows))
        for track in self.groups[group]:
            gone, come = track.on(rows, source), track.on(rows, target)
            value = track.square - gone * (2 * track.y[source] - gone)
            value = value + come * (2 * track.y[target] + come) - (come - gone) ** 2 / self.count
            total += np.sqrt(np.maximum(value, 0))
        return total

    def with_reserved(self, rmem: Floats, *changes: tuple[Ints, Floats]) -> Floats | float:
        """Deviation and total of reserved memory, now ``rmem`` (N), when some nodes' values change.

        Each change is nodes and their new reserved memory, arrays that fit (R) or (R, C).
        """
        track = self.reserved
        if track is None:
            return 0.0
        square: Floats | float = track.square
        drift: Floats | float = 0.0
        for nodes, value in changes:
            change = (value - rmem[nodes]) * track.unit[0, nodes]
            square = square + change * (2 * track.y[nodes] + change)
            drift = drift + change
        total_weight = WEIGHTS["reserved_mem_rtotal"] * np.sqrt(self.count) / track.weight
        result: Floats = np.sqrt(np.maximum(square - drift * drift / self.count, 0))
        result += drift * total_weight
        return result
