"""The order in which names are shown: numbers inside them count as numbers."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_PARTS: Final = re.compile(r"(\d+)")


@lru_cache(maxsize=1 << 16)
def natural_key(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Sort key that puts `web9` before `web14`."""
    return tuple(
        (False, int(part), "") if part.isdecimal() else (True, 0, part)
        for part in _PARTS.split(name)
        if part
    )
