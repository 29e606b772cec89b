"""Reports that somebody drops in as text: files, the output of programs.

The text is JSON: a report's data, or an object with `data` and any of `category`, `kind`,
`version`, `format_version` and `valid_for` (seconds after which it is too old to be shown).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import CommandError
from ganeti_kernel.specs.collector import (
    CATEGORIES,
    KIND_PERFORMANCE,
    KIND_STATUS,
    Collector,
)

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""What a dropped report may be called: it becomes part of a URL and of metrics' names."""

DEFAULT: Final = "default"


class Dropped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A report out of a text. `kind` None: a status report if the data have a status object."""

    data: Any
    name: str | None = None
    category: str | None = None
    kind: int | None = None
    version: str = "1"
    format_version: int = 1
    timestamp: int | None = None
    valid_for: float | None = None

    def adorn(self, collector: Collector) -> None:
        """Give a collector this report's attributes."""
        collector.CATEGORY = self.category
        collector.VERSION = self.version
        collector.FORMAT_VERSION = self.format_version
        collector.KIND = _kind(self.data) if self.kind is None else self.kind


def parse(text: str, where: str) -> Dropped:
    """Read a text; raises CommandError that names `where` and what is wrong."""
    try:
        value = msgspec.json.decode(text)
        if not (isinstance(value, dict) and "data" in value):
            return Dropped(data=value)
        if value.get("category") == DEFAULT:
            value["category"] = None
        dropped = msgspec.convert(value, Dropped)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CommandError(f"{where} is not a report in JSON: {error}") from None
    if dropped.category not in CATEGORIES:
        known = ", ".join(str(item) for item in CATEGORIES if item)
        raise CommandError(
            f"{where}: there is no category {dropped.category!r}, only {DEFAULT}, {known}"
        )
    if dropped.kind not in (None, KIND_PERFORMANCE, KIND_STATUS):
        raise CommandError(f"{where}: a report's kind is {KIND_PERFORMANCE} or {KIND_STATUS}")
    return dropped


def _kind(data: Any) -> int:
    status = data.get("status") if isinstance(data, dict) else None
    return KIND_STATUS if isinstance(status, dict) and "code" in status else KIND_PERFORMANCE


def usable_files(directory: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Name and path of every file that may be served; without a directory there is none.

    `suffixes`: what a file's name may end in; an empty tuple means that the whole name counts.
    """
    try:
        entries = sorted(directory.iterdir())
    except OSError:
        return
    for path in entries:
        name = path.stem if suffixes else path.name
        if (not suffixes or path.suffix in suffixes) and NAME.fullmatch(name) and path.is_file():
            yield name, path
