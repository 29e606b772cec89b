"""The counters of /proc/diskstats, one object a block device."""

from __future__ import annotations

__version__ = "0.1.0"

from collections.abc import Mapping
from typing import Any

from ganeti_kernel.errors import CommandError
from ganeti_kernel.specs import Description, PluginContext, hookimpl
from ganeti_kernel.specs.collector import Collector, Field, Input
from ganeti_kernel.specs.reading import read_text

SOURCE = "/proc/diskstats"

COLUMNS = (
    Field(path="[].major", help="major number of the device", label=True),
    Field(path="[].minor", help="minor number of the device", label=True),
    Field(path="[].name", type="string", help="name of the device", label=True),
    Field(path="[].readsNum", help="reads completed", metric="reads_total", counter=True),
    Field(path="[].mergedReads", help="reads merged", metric="reads_merged_total", counter=True),
    Field(
        path="[].secRead",
        unit="sectors of 512 bytes",
        help="data read",
        metric="read_bytes_total",
        counter=True,
        scale=512,
    ),
    Field(
        path="[].timeRead",
        unit="ms",
        help="time spent reading",
        metric="read_time_seconds_total",
        counter=True,
        scale=0.001,
    ),
    Field(path="[].writes", help="writes completed", metric="writes_total", counter=True),
    Field(path="[].mergedWrites", help="writes merged", metric="writes_merged_total", counter=True),
    Field(
        path="[].secWritten",
        unit="sectors of 512 bytes",
        help="data written",
        metric="written_bytes_total",
        counter=True,
        scale=512,
    ),
    Field(
        path="[].timeWrite",
        unit="ms",
        help="time spent writing",
        metric="write_time_seconds_total",
        counter=True,
        scale=0.001,
    ),
    Field(path="[].ios", help="requests in flight now", metric="requests_in_flight"),
    Field(
        path="[].timeIO",
        unit="ms",
        help="time spent on requests",
        metric="io_time_seconds_total",
        counter=True,
        scale=0.001,
    ),
    Field(
        path="[].wIOmillis",
        unit="ms",
        help="time spent on requests, weighted by their number",
        metric="io_time_weighted_seconds_total",
        counter=True,
        scale=0.001,
    ),
)
"""Meaning and order of the columns (source: the kernel's documentation of I/O statistics).

Kernels from 4.18 on print more (discards, flushes); upstream's format has no field for them.
"""

KEYS = tuple(column.path.removeprefix("[].") for column in COLUMNS)
NAME = KEYS.index("name")


class Diskstats(Collector):
    API_VERSION = 1
    CATEGORY = "storage"
    FIELDS = COLUMNS
    INPUTS = (Input(name="file", short="f", help="recorded /proc/diskstats to read"),)

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self._source = SOURCE

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="diskstats", version=__version__, summary="counters of the node's block devices"
        )

    @hookimpl
    def use_inputs(self, inputs: Mapping[str, str]) -> None:
        self._source = inputs.get("file", SOURCE)

    @hookimpl
    def collect(self) -> Any:
        return parse(read_text(self._source), self._source)


def parse(text: str, where: str = SOURCE) -> list[dict[str, Any]]:
    """Parse /proc/diskstats of any number of columns from 14 on.

    Raises CommandError that names the line which is none.
    """
    return [_line(line, where) for line in text.splitlines() if line.strip()]


def _line(line: str, where: str) -> dict[str, Any]:
    values: list[Any] = line.split()[: len(KEYS)]
    try:
        if len(values) < len(KEYS):
            raise ValueError
        return {
            key: value if index == NAME else int(value)
            for index, (key, value) in enumerate(zip(KEYS, values, strict=True))
        }
    except ValueError:
        raise CommandError(
            f"{where}: {line.strip()[:120]!r} is not a line of disk statistics "
            f"(at least {len(KEYS)} columns, numbers but for the third)"
        ) from None
