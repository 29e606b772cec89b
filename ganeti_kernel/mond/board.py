"""What there is to serve: the newest bytes of every collector, and how it fares."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ganeti_kernel.mond.metrics import Family
from ganeti_kernel.mond.report import Identity

STARTING: Final = "starting"
ACTIVE: Final = "active"
INACTIVE: Final = "inactive"
"""This node cannot have the report."""
DISABLED: Final = "disabled"
"""The cluster does not want the report."""


class Standing(msgspec.Struct):
    """One collector. `report` is None until there is one; `reason` says why it is not active, or
    what went wrong last. Durations are seconds, `published` is on the monotonic clock."""

    identity: Identity
    state: str = STARTING
    reason: str = ""
    ok: bool = True
    report: bytes | None = None
    metrics: list[Family] | None = None
    timestamp: int = 0
    published: float = 0.0
    duration: float = 0.0
    interval: float = 0.0
    rounds: int = 0
    failures: int = 0
    restarts: int = 0
    state_bytes: int = 0

    @property
    def age(self) -> float:
        """Seconds since the report was made."""
        return max(0.0, time.monotonic() - self.published) if self.report is not None else 0.0

    @property
    def serves(self) -> bool:
        return self.state == ACTIVE and self.report is not None

    def summary(self) -> dict[str, Any]:
        """For `/healthz` and the verbose list."""
        return {
            "name": self.identity.name,
            "category": self.identity.place,
            "kind": self.identity.kind,
            "state": self.state,
            "reason": self.reason,
            "ok": self.ok,
            "age": round(self.age, 3),
            "duration": round(self.duration, 6),
            "interval": self.interval,
            "rounds": self.rounds,
            "failures": self.failures,
            "restarts": self.restarts,
        }


class Board:
    """The standings of all collectors in upstream's order. `version` grows with every change."""

    def __init__(self) -> None:
        self._standings: dict[str, Standing] = {}
        self._sorted: list[Standing] | None = None
        self._all: bytes | None = None
        self._list: bytes | None = None
        self.version = 0

    def add(self, name: str) -> Standing:
        """Take up a collector whose category is not known yet."""
        standing = self._standings[name] = Standing(Identity(name))
        self.changed()
        return standing

    def remove(self, name: str) -> None:
        self._standings.pop(name, None)
        self.changed()

    def changed(self) -> None:
        """Say that a standing was changed."""
        self.version += 1
        self._sorted = self._all = self._list = None

    def __iter__(self) -> Iterator[Standing]:
        if self._sorted is None:
            self._sorted = sorted(self._standings.values(), key=lambda item: item.identity.order)
        return iter(self._sorted)

    def find(self, place: str, name: str) -> Standing | None:
        """The collector of a name in a category as URLs write it."""
        standing = self._standings.get(name)
        return standing if standing is not None and standing.identity.place == place else None

    def all_reports(self) -> bytes:
        """JSON list of the reports of all active collectors."""
        if self._all is None:
            reports = [item.report for item in self if item.serves and item.report is not None]
            self._all = b"[" + b",".join(reports) + b"]"
        return self._all

    def list_active(self) -> bytes:
        """JSON list of `[name, category, kind]` of all active collectors."""
        if self._list is None:
            self._list = msgspec.json.encode(
                [
                    [item.identity.name, item.identity.place, item.identity.kind]
                    for item in self
                    if item.state == ACTIVE
                ]
            )
        return self._list
