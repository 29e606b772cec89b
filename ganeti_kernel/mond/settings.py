"""Which collectors the cluster wants, and how often. Source: upstream 3.0's confd type 11."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

POLL_INTERVAL: Final = 15.0
"""Seconds between two questions to confd (upstream's)."""

MIN_INTERVAL: Final = 0.5
MAX_INTERVAL: Final = 86400.0
MICROSECONDS: Final = 1_000_000


class Setting(msgspec.Struct, frozen=True):
    """What the cluster says of one collector; `interval` in microseconds."""

    active: bool = True
    interval: int | None = None

    def seconds(self, default: float) -> float:
        wanted = default if self.interval is None else self.interval / MICROSECONDS
        return min(max(wanted, MIN_INTERVAL), MAX_INTERVAL)


Settings = Mapping[str, Setting]
Source = Callable[[], Awaitable[Any]]
"""Asks confd: returns the answer to type 11, None when there is none."""

DEFAULT: Final = Setting()


def parse_settings(answer: Any) -> dict[str, Setting]:
    """Read an answer; what is not well formed in it counts as not said."""
    settings: dict[str, Setting] = {}
    for name, value in answer.items() if isinstance(answer, dict) else ():
        try:
            settings[str(name)] = msgspec.convert(value, Setting)
        except msgspec.ValidationError:
            continue
    return settings
