"""The report object: the envelope around a collector's data. Source: upstream 3.0."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from ganeti_kernel.specs.collector import KIND_STATUS, Collector, status

MAX_REPORT: Final = 16 << 20
"""Largest report, bytes: 4,000 logical volumes with long names need about two million."""

DEFAULT_CATEGORY: Final = "default"
"""What a URL calls the category of collectors without one."""


class Identity(msgspec.Struct, frozen=True):
    """What a report says of its collector; the order is that of the report's members."""

    name: str
    version: str = "B"
    format_version: int = 1
    category: str | None = None
    kind: int = KIND_STATUS

    @property
    def place(self) -> str:
        """The category as URLs and lists write it."""
        return self.category or DEFAULT_CATEGORY

    @property
    def order(self) -> tuple[bool, str]:
        """Upstream's order: those without a category first, then by name."""
        return self.category is not None, self.name


class Report(msgspec.Struct, frozen=True):
    """A report as it is sent; `timestamp` is nanoseconds since the epoch."""

    name: str
    version: str
    format_version: int
    timestamp: int
    category: str | None
    kind: int
    data: Any


def identity_of(name: str, collector: Collector) -> Identity:
    """Read a collector's attributes; raises msgspec.ValidationError for ill-typed ones."""
    return msgspec.convert(
        {
            "name": name,
            "version": collector.VERSION,
            "format_version": collector.FORMAT_VERSION,
            "category": collector.CATEGORY,
            "kind": collector.KIND,
        },
        Identity,
    )


def timestamp_now() -> int:
    """Now in nanoseconds, as exact as upstream's clock (microseconds)."""
    return time.time_ns() // 1000 * 1000


def encode(identity: Identity, timestamp: int, data: Any) -> bytes:
    """Make a report's bytes. Raises TypeError or ValueError for data that JSON cannot hold, and
    ValueError for a report that is too large."""
    body = msgspec.json.encode(
        Report(
            identity.name,
            identity.version,
            identity.format_version,
            timestamp,
            identity.category,
            identity.kind,
            data,
        )
    )
    if len(body) > MAX_REPORT:
        raise ValueError(f"the report has {len(body)} bytes, more than the {MAX_REPORT} allowed")
    return body


def encode_failure(identity: Identity, timestamp: int, code: int, text: str) -> bytes:
    """The report of a collector that has none: its data is a status object that says why."""
    return encode(identity, timestamp, {"status": status(code, text)})
