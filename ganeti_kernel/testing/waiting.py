"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PAUSE = 0.02


def wait_until(
    condition: Callable[[], T | None], what: str | Callable[[], str], seconds: float = 60
) -> T:
    """Return the first true value of `condition`.

    Raises AssertionError with `what` when there is none in time; a function is called then, so
    it can tell what a log says by that time.
    """
    ends = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= ends:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {seconds:g} seconds: {told}")
        time.sleep(PAUSE)
