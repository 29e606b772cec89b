"""Sizes and times as people write them."""

from __future__ import annotations

import re
from typing import Final

from ganeti_kernel.errors import UnitParseError

_MEBI: Final = ("", "m", "mb", "mib")
_GIBI: Final = ("g", "gb", "gib")
_TEBI: Final = ("t", "tb", "tib")
_UNITS: Final = (
    dict.fromkeys(_MEBI, 1) | dict.fromkeys(_GIBI, 1 << 10) | dict.fromkeys(_TEBI, 1 << 20)
)
_SIZE: Final = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([a-zA-Z]*)\s*")

MAX_SIZE: Final = 1 << 40
"""Largest size, MiB (an exbibyte): beyond it a size is a typing error."""


def parse_size(text: str | int) -> int:
    """Read a size in MiB: `512`, `1.5G`, `2t`; rounded up to a multiple of 4 (upstream 3.0).

    Raises UnitParseError that names the text.
    """
    match = _SIZE.fullmatch(str(text))
    if match is None or match[2].lower() not in _UNITS:
        raise UnitParseError(
            f"{str(text)!r} is not a size: write a number of MiB, or one with m, g or t"
        )
    exact = float(match[1]) * _UNITS[match[2].lower()]
    if exact > MAX_SIZE:
        raise UnitParseError(f"the size {str(text)!r} is larger than any storage")
    size = int(exact) + (exact != int(exact))
    return size + (-size % 4)


_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(text: str) -> int:
    """Read a time in seconds: `90`, `5m`, `6h`, `2d`, `1w`. Raises UnitParseError."""
    number, unit = (text[:-1], text[-1:]) if text[-1:] in _SECONDS else (text, "s")
    if not (number.isascii() and number.isdigit() and len(number) <= 9):
        raise UnitParseError(
            f"{text!r} is not a time: write seconds, or a number with s, m, h, d or w"
        )
    return int(number) * _SECONDS[unit]
