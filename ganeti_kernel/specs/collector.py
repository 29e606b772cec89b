"""Collector: makes one report of the monitoring daemon.

Source: upstream's monitoring agent design and the 3.0 daemon.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Final

from ganeti_kernel.specs.base import Plugin, hookspec

KIND_PERFORMANCE: Final = 0
KIND_STATUS: Final = 1

CATEGORIES: Final = (None, "instance", "storage", "daemon", "hypervisor")


class Collector(Plugin):
    """The contract. One object serves for the daemon's life; calls never overlap.

    A stateful collector keeps samples in itself: `update` is called once per interval, also
    while nobody asks. `collect` makes the report's data from what is known now.
    """

    CATEGORY: ClassVar[str | None] = None
    KIND: ClassVar[int] = KIND_PERFORMANCE
    FORMAT_VERSION: ClassVar[int] = 1
    VERSION: ClassVar[str] = "B"
    STATEFUL: ClassVar[bool] = False

    @hookspec
    def precondition(self) -> str | None:
        """Return why this node cannot have the report (no such kernel module), None if it can."""
        return None

    @hookspec
    def update(self, now: float) -> None:
        """Take a sample; `now` is seconds since the epoch and may jump."""

    @hookspec
    @abstractmethod
    def collect(self) -> Any:
        """Return the report's `data`, a JSON value. Status collectors include the status object
        `{"code": 0|1|2|4, "message": text}` under "status". Any exception becomes a report that
        says so."""
