"""The routing table that a NIC's link names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MAIN = 254
HIGHEST = 2**32 - 1
MAX_BYTES = 64 << 10
NAMES_FILES = (Path("/etc/iproute2/rt_tables"), Path("/usr/share/iproute2/rt_tables"))
BUILT_IN = {"default": 253, "main": MAIN, "local": 255}


def parse_names(text: str) -> dict[str, int]:
    """Read `number name` lines; `#` starts a comment, other lines are left out."""
    out = {}
    for line in text.splitlines():
        number, *rest = line.partition("#")[0].split() or [""]
        if len(rest) == 1 and number.isascii() and number.isdigit():
            out[rest[0]] = int(number)
    return out


def number_of(link: str, files: Sequence[Path] = NAMES_FILES) -> int | None:
    """Return the table's number; the main table's for an empty link, None for an unknown name."""
    if not link:
        return MAIN
    if link.isascii() and link.isdigit():
        return int(link) if 0 < int(link) <= HIGHEST else None
    names = dict(BUILT_IN)
    for file in files:
        try:
            with file.open("rb") as stream:
                names |= parse_names(stream.read(MAX_BYTES).decode("utf-8", "replace"))
            break
        except OSError:
            continue  # the next place, or only the built-in names
    return names.get(link)
