"""Average number of busy CPUs over the last ten minutes.

What counts as busy, the window and the fields are upstream 3.0's. As there, time spent on guests
counts in `user` and in `guest`, for the kernel adds it to both.
"""

from __future__ import annotations

__version__ = "0.1.0"

import os
from typing import Any

from ganeti_kernel.errors import CommandError
from ganeti_kernel.specs import Description, PluginContext, hookimpl
from ganeti_kernel.specs.collector import Collector, Field
from ganeti_kernel.specs.reading import read_text
from ganeti_kernel.specs.samples import Window

SOURCE = "/proc/stat"
TOTAL = "cpu"
IDLE_COLUMN = 3
"""Columns: user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice."""

WINDOW_SECONDS = 600.0
WINDOW_SAMPLES = 150
TOO_EARLY = "not enough samples yet to tell an average"


class CpuAvgLoad(Collector):
    API_VERSION = 1
    STATEFUL = True
    FIELDS: tuple[Field, ...] = (
        Field(path="cpu_number", help="CPUs of the node", metric="cpus"),
        Field(
            path="cpus[cpu]",
            type="float",
            unit="CPUs",
            help="how busy each CPU is on average: 1 is all the time",
            metric="cpu_busy_ratio",
        ),
        Field(
            path="cpu_total",
            type="float",
            unit="CPUs",
            help="CPUs busy on average",
            metric="cpus_busy",
        ),
        Field(path="error", type="string", help="instead of all others: why there is no average"),
    )

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self._windows: dict[str, Window] = {}

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="cpu-avg-load", version=__version__, summary="average CPU load of the node"
        )

    @hookimpl
    def update(self, now: float) -> None:
        readings = parse(read_text(SOURCE))
        old = self._windows
        self._windows = {name: old.get(name) or _window() for name in readings}
        for name, ticks in readings.items():
            self._windows[name].add(now, ticks)

    @hookimpl
    def collect(self) -> Any:
        ticks = os.sysconf("SC_CLK_TCK")
        rates = {name: window.rate() for name, window in self._windows.items()}
        known = {name: rate / ticks for name, rate in rates.items() if rate is not None}
        if TOTAL not in known:
            return {"error": TOO_EARLY}
        total = known.pop(TOTAL)
        return {"cpu_number": len(known), "cpus": list(known.values()), "cpu_total": total}

    @hookimpl
    def save(self) -> Any:
        return {name: window.save() for name, window in self._windows.items()}

    @hookimpl
    def restore(self, state: Any) -> None:
        windows = {}
        for name, saved in state.items():
            windows[name] = _window()
            windows[name].restore(saved)
        self._windows = windows


def _window() -> Window:
    return Window(WINDOW_SAMPLES, WINDOW_SECONDS)


def parse(text: str, where: str = SOURCE) -> dict[str, int]:
    """Busy clock ticks since boot: "cpu" for all together, then "cpu0" and so on, in order.

    Raises CommandError when the text has no such lines or numbers.
    """
    out = {}
    try:
        for line in text.splitlines():
            if line.startswith(TOTAL):
                name, *columns = line.split()
                ticks = [int(column) for column in columns]
                out[name] = sum(ticks) - ticks[IDLE_COLUMN]
    except (ValueError, IndexError):
        raise CommandError(f"{where}: {line[:120]!r} is not a line of CPU times") from None
    if TOTAL not in out:
        raise CommandError(f"{where} has no line of CPU times")
    return out
