"""Average CPUs each Xen domain used, out of the CPU times that `xentop` prints.

Window, thresholds and fields: upstream 3.0.
"""

from __future__ import annotations

__version__ = "0.1.0"

from shutil import which
from typing import Any

from ganeti_kernel.errors import CommandError
from ganeti_kernel.plugins import process
from ganeti_kernel.specs import Description, PluginContext, hookimpl
from ganeti_kernel.specs.collector import Collector, Field
from ganeti_kernel.specs.samples import Window

XENTOP = ("xentop", "-f", "-b", "-i", "1")
XENTOP_DEADLINE = 8.0
HOST = "Domain-0"
NAME, CPU_SECONDS = "NAME", "CPU(sec)"

WINDOW_SECONDS = 600.0
WINDOW_SAMPLES = 150
THRESHOLD = 100.0
"""Seconds that samples must span, and that a domain may go unseen."""


class XenCpuAvgLoad(Collector):
    API_VERSION = 1
    STATEFUL = True
    FIELDS = (
        Field(
            path="{domain}",
            type="float",
            unit="CPUs",
            help="CPUs a Xen domain used on average",
            metric="cpus_busy",
        ),
    )

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self._windows: dict[str, Window] = {}

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="xen-cpu-avg-load", version=__version__, summary="average CPU load of domains"
        )

    @hookimpl
    def precondition(self) -> str | None:
        return None if which(XENTOP[0]) else "the program xentop is not installed (no Xen here)"

    @hookimpl
    def update(self, now: float) -> None:
        readings = parse(process.check(XENTOP, timeout=XENTOP_DEADLINE).output)
        for name, seconds in readings.items():
            window = self._windows.setdefault(name, Window(WINDOW_SAMPLES, WINDOW_SECONDS))
            window.add(now, seconds)
        self._windows = {
            name: window
            for name, window in self._windows.items()
            if 0 <= now - window.newest <= THRESHOLD
        }

    @hookimpl
    def collect(self) -> Any:
        return {
            name: window.rate()
            for name, window in sorted(self._windows.items())
            if window.covered >= THRESHOLD
        }

    @hookimpl
    def save(self) -> Any:
        return {name: window.save() for name, window in self._windows.items()}

    @hookimpl
    def restore(self, state: Any) -> None:
        windows = {}
        for name, saved in state.items():
            windows[name] = Window(WINDOW_SAMPLES, WINDOW_SECONDS)
            windows[name].restore(saved)
        self._windows = {name: window for name, window in windows.items() if len(window)}


def parse(text: str) -> dict[str, float]:
    """CPU seconds of each domain but the host's.

    Raises CommandError for a head other than xentop's or a line without a number.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or lines[0][:1] != [NAME] or lines[0][2:3] != [CPU_SECONDS]:
        raise CommandError(f"xentop printed no table with {NAME} first and {CPU_SECONDS} third")
    out = {}
    for line in lines[1:]:
        try:
            name, _state, seconds = line[:3]
            out[name] = float(seconds)
        except ValueError:
            raise CommandError(f"xentop printed {' '.join(line)[:120]!r}, no CPU time") from None
    out.pop(HOST, None)
    return out
