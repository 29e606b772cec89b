"""Samples of counters over a bounded window: what stateful collectors are made of."""

from __future__ import annotations

from collections import deque
from typing import Any


def increase(old: float, new: float) -> float:
    """How much a counter grew from one reading to the next.

    A counter that lost more than half began again at zero, so `new` is what it grew; one that
    lost less was corrected (the kernel does that to I/O wait) and did not grow.
    """
    if new >= old:
        return new - old
    return new if new < old / 2 else 0.0


class Window:
    """Readings of one counter, at most `size` of them and `span` seconds long.

    Stores the sum of increases, so that a roll-over does not show. A reading older than the last
    one means that the clock was set back: the readings before it are forgotten, for nobody knows
    how long ago they were taken.
    """

    def __init__(self, size: int, span: float) -> None:
        self.span = span
        self._points: deque[tuple[float, float]] = deque(maxlen=size)
        self._last = 0.0

    def __len__(self) -> int:
        return len(self._points)

    def add(self, now: float, reading: float) -> None:
        if self._points and now < self._points[-1][0]:
            self._points.clear()
        if not self._points:
            self._points.append((now, 0.0))
        elif now > self._points[-1][0]:
            grown = self._points[-1][1] + increase(self._last, reading)
            self._points.append((now, grown))
        else:
            return
        self._last = reading
        self.trim(now)

    def trim(self, now: float) -> None:
        """Forget what is older than the window, but keep two readings for a rate."""
        while len(self._points) > 2 and now - self._points[0][0] > self.span:
            self._points.popleft()

    @property
    def newest(self) -> float:
        """When the last reading was taken; raises IndexError without one."""
        return self._points[-1][0]

    @property
    def covered(self) -> float:
        """Seconds from the oldest reading to the newest."""
        return self._points[-1][0] - self._points[0][0] if self._points else 0.0

    def rate(self) -> float | None:
        """Growth per second over the window; None with fewer than two readings."""
        if self.covered <= 0:
            return None
        return (self._points[-1][1] - self._points[0][1]) / self.covered

    def save(self) -> Any:
        return [self._last, [list(point) for point in self._points]]

    def restore(self, state: Any) -> None:
        """Take over what `save` returned; raises ValueError for anything else."""
        try:
            last, points = state
            self._points.extend((float(when), float(value)) for when, value in points)
            self._last = float(last)
        except (TypeError, ValueError) as error:
            self._points.clear()
            raise ValueError(f"not a saved window: {error}") from None
