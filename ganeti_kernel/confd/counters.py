"""What the daemon counts. The numbers lie in memory that its processes share."""

from __future__ import annotations

import mmap
import os
from bisect import bisect_left
from typing import Final

REJECTS: Final = ("magic", "malformed", "signature", "stale")
"""Why a datagram stayed unanswered."""

FIRST_OWN: Final = 12
TYPES: Final = (*(str(number) for number in range(FIRST_OWN)), "other")
STATUSES: Final = ("ok", "error", "not_implemented")

BUCKETS: Final = (5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 2e-2, 0.1)
"""Upper bounds of the latency histogram, in seconds."""

_NAMES: Final = (
    *(f"reject:{reason}" for reason in REJECTS),
    *(f"answer:{kind}:{status}" for kind in TYPES for status in STATUSES),
    *(f"latency:{index}" for index in range(len(BUCKETS) + 1)),
    "latency_ns",
    "too_large",
    "computed",
    "plugin_failures",
    "tcp",
    "reloads",
    "reload_failures",
    "reload_ns",
    "serial",
    "stale_configuration",
)
SLOT: Final = {name: index for index, name in enumerate(_NAMES)}
_LATENCY: Final = SLOT["latency:0"]
_LATENCY_NS: Final = SLOT["latency_ns"]


class Counters:
    """One process's row of 64-bit numbers, by slot. Only its own process writes a row."""

    def __init__(self, memory: Memory | None = None, row: int = 0) -> None:
        source = memory or Memory(1)
        self.values: Final = source.row(row)
        self._source = source

    def add(self, name: str, amount: int = 1) -> None:
        self.values[SLOT[name]] += amount

    def put(self, name: str, value: int) -> None:
        self.values[SLOT[name]] = value

    def get(self, name: str) -> int:
        return self.values[SLOT[name]]

    def observe(self, nanoseconds: int) -> None:
        """Count one answer's time."""
        self.values[_LATENCY + bisect_left(BUCKETS, nanoseconds * 1e-9)] += 1
        self.values[_LATENCY_NS] += nanoseconds


class Memory:
    """Rows of counters in an anonymous file that other processes can map by its descriptor."""

    def __init__(self, rows: int, descriptor: int | None = None) -> None:
        self.rows = rows
        size = rows * len(_NAMES) * 8
        if descriptor is None:
            descriptor = os.memfd_create("confd-counters")
            os.ftruncate(descriptor, size)
        self.descriptor = descriptor
        self._values = memoryview(mmap.mmap(descriptor, size)).cast("Q")

    def row(self, index: int) -> memoryview[int]:
        return self._values[index * len(_NAMES) : (index + 1) * len(_NAMES)]

    def total(self, name: str) -> int:
        return sum(self.row(index)[SLOT[name]] for index in range(self.rows))

    def newest(self, name: str) -> int:
        """The largest of all processes' values, for what is a state rather than a count."""
        return max(self.row(index)[SLOT[name]] for index in range(self.rows))


def answer_slot(number: int, status: int) -> int:
    """The slot that counts answers of a request type with a status."""
    kind = min(number, FIRST_OWN) if number >= 0 else FIRST_OWN
    return SLOT["answer:0:ok"] + kind * len(STATUSES) + status
