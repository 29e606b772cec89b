"""Waiting for a node daemon that is away for a moment, where giving up would leave things behind.

Before a step was begun, a node that does not answer is a reason to fail at once. While a job
undoes its steps, or past a pivot, it is not: a restarted daemon is back within seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from ganeti_kernel.errors import RemoteError

NODE_PATIENCE: Final = 60.0
"""Seconds for which a node that does not answer is asked again."""

FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 5.0


def patiently(
    act: Callable[[], Any],
    *,
    patience: float = NODE_PATIENCE,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Any:
    """Return what `act` returns; on RemoteError call it again until `patience` seconds are over."""
    deadline = clock() + patience
    delay = FIRST_DELAY
    while True:
        try:
            return act()
        except RemoteError:
            if clock() + delay > deadline:
                raise
        sleep(delay)
        delay = min(delay * 2, LONGEST_DELAY)
