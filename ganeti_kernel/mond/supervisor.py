"""One collector's keeper: starts its process, has it report on time, ends it when it must.

Nothing here waits for anything but its own collector, so what one does costs only its own report.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ganeti_kernel.mond import frames, processes, settings, worker
from ganeti_kernel.mond.board import ACTIVE, DISABLED, INACTIVE, Board
from ganeti_kernel.mond.channel import Ended, Process
from ganeti_kernel.mond.report import encode_failure, timestamp_now
from ganeti_kernel.specs.collector import BAD, UNKNOWN, Collector

log = logging.getLogger(__name__)

LOAD_DEADLINE: Final = 20.0
"""Seconds a plugin may take to be imported and made."""
MAX_DEADLINE: Final = 60.0
RETRY_INACTIVE: Final = 60.0
"""Seconds until an inactive or unusable collector is tried again."""
MAX_BACKOFF: Final = 60.0
GATHER: Final = 0.004
"""Seconds a fresh round waits for others who want it: many clients then share one round instead
of the first having one of its own and all others the next."""
TIRED: Final = 3
"""Failures in a row after which the process is replaced: it may have used up descriptors."""

Load = Callable[[str], Collector]


@dataclass(frozen=True, slots=True)
class Frame:
    """What all keepers share. `load` runs in the forked process."""

    board: Board
    load: Load
    metrics_wanted: Callable[[], bool]
    buried: set[int] = field(default_factory=set)
    """Processes that were killed and not reaped yet."""
    verbose: bool = False


class Supervisor:
    """Keeps one collector until it is cancelled. `setting` may be changed with `apply`."""

    def __init__(self, name: str, frame: Frame) -> None:
        self.name = name
        self.frame = frame
        self.standing = frame.board.add(name)
        self.setting = settings.DEFAULT
        self._process: Process | None = None
        self._state: bytes | None = None
        self._interval = 5.0
        self._deadline = 10.0
        self._due = 0.0
        self._in_a_row = 0
        self._renew = False
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._first = asyncio.Event()

    # -- from outside ----------------------------------------------------------------------------

    def apply(self, setting: settings.Setting) -> None:
        """Take over what the cluster says."""
        if setting != self.setting:
            self.setting = setting
            self.standing.interval = setting.seconds(self._interval)
            self._due = min(self._due, time.monotonic() + self.standing.interval)
            self._wake.set()

    def renew(self) -> None:
        """Start the process anew, and try again what was unusable; the samples are kept."""
        self._renew = True
        self._due = min(self._due, time.monotonic())
        self._wake.set()

    async def first(self) -> None:
        """Wait until the first report, or until there will be none."""
        await self._first.wait()

    async def fresh(self) -> None:
        """Wait for a round that starts after this call. Callers meanwhile share the next one."""
        if self.standing.state != ACTIVE or self._process is None:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wake.set()
        await future

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    # -- its life --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the collector; ends only by cancellation."""
        try:
            while True:
                try:
                    await self._once()
                except Ended as problem:
                    self._failed(str(problem), UNKNOWN)
                    self._replace()
                except Exception:  # a defect here must cost one report, not all that follow
                    log.exception("collector %s: defect of its supervisor", self.name)
                    self._failed("internal error of the daemon; see its log", UNKNOWN)
                    self._replace()
                self._release()
        finally:
            self._replace()
            self._release()

    async def _once(self) -> None:
        if not self.setting.active:
            self._stand(DISABLED, "switched off in the cluster's configuration")
            self._replace()
            await self._pause(MAX_BACKOFF)
            return
        if self._renew:
            self._renew = False
            self._replace()
        if self._process is None:
            await self._pause(self._due - time.monotonic())
            if not await self._start():
                return
        process = self._process
        await self._pause(self._due - time.monotonic())
        if process is not None and process.gone:
            raise Ended(f"its process ended{process.how()}")
        if (
            self.setting.active
            and not self._renew
            and (self._waiting or time.monotonic() >= self._due)
        ):
            await self._round()

    async def _pause(self, seconds: float) -> None:
        """Wait until something is due or somebody wants a fresh report."""
        if seconds > 0 and not self._waiting:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
        self._wake.clear()

    async def _start(self) -> bool:
        """Start the process; False when there will be no report for now."""
        name, load, state = self.name, self.frame.load, self._state

        def serve(sock: socket.socket) -> None:
            worker.serve(sock, name, lambda: load(name), state)

        pid, sock = processes.fork(serve, verbose=self.frame.verbose)
        self._process = Process(pid, sock, self._wake.set)
        answer = await self._process.receive(LOAD_DEADLINE)
        if isinstance(answer, frames.Ready):
            self.standing.identity = answer.identity
            self._interval = answer.interval
            self._deadline = min(max(answer.deadline, 0.1), MAX_DEADLINE)
            self.standing.interval = self.setting.seconds(answer.interval)
            if answer.inactive is None:
                self.standing.state = ACTIVE
                self._due = time.monotonic()
                return True
            self._stand(INACTIVE, answer.inactive)
        elif isinstance(answer, frames.Unusable):
            self._failed(f"cannot be used: {answer.reason}", BAD)
        else:
            raise Ended("its process sent the wrong message and was ended")
        self._replace()
        self._due = time.monotonic() + RETRY_INACTIVE
        return False

    async def _round(self) -> None:
        process = self._process
        assert process is not None
        if self._waiting:
            await asyncio.sleep(GATHER)
        waiting, self._waiting = self._waiting, []
        now = time.monotonic()
        regular = now >= self._due
        if regular:
            self._due += self.standing.interval
            if self._due <= now:  # it was late by more than an interval
                self._due = now + self.standing.interval
        try:
            process.send(frames.Collect(update=regular, metrics=self.frame.metrics_wanted()))
            answer = await process.receive(self._deadline)
            if not isinstance(answer, frames.Round):
                raise Ended("its process sent the wrong message and was ended")
            self._publish(answer)
        finally:
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    # -- what comes of it ------------------------------------------------------------------------

    def _publish(self, answer: frames.Round) -> None:
        standing = self.standing
        standing.identity = answer.identity
        standing.report = answer.report
        standing.metrics = answer.metrics
        standing.timestamp = answer.timestamp
        standing.published = time.monotonic()
        standing.duration = answer.duration
        standing.rounds += 1
        standing.ok = answer.error is None
        standing.reason = answer.error or ""
        if answer.error is None:
            self._in_a_row = 0
            self._state = answer.state
            standing.state_bytes = len(answer.state or b"")
        else:
            self._count_failure(answer.error)
            if answer.exhausted or self._in_a_row % TIRED == 0:
                self._replace()
        self._reported()

    def _failed(self, text: str, code: int) -> None:
        """The process gave no report: make one that says so."""
        standing = self.standing
        standing.state = ACTIVE
        standing.ok = False
        standing.reason = text
        standing.timestamp = timestamp_now()
        standing.published = time.monotonic()
        standing.rounds += 1
        standing.metrics = []
        standing.report = encode_failure(
            standing.identity, standing.timestamp, code, f"collector {self.name}: {text}"
        )
        self._count_failure(text)
        self._due = time.monotonic() + self._backoff()
        self._reported()

    def _count_failure(self, text: str) -> None:
        self.standing.failures += 1
        self._in_a_row += 1
        if self._in_a_row in (1, TIRED) or self._in_a_row % 100 == 0:
            log.warning("collector %s failed (%d in a row): %s", self.name, self._in_a_row, text)

    def _backoff(self) -> float:
        """Seconds until the next attempt: the interval, longer with every failure in a row."""
        longer = self.standing.interval or self._interval
        return float(min(MAX_BACKOFF, longer * 2 ** min(self._in_a_row - 1, 8)))

    def _stand(self, state: str, reason: str) -> None:
        standing = self.standing
        if (standing.state, standing.reason) != (state, reason):
            log.info("collector %s is %s: %s", self.name, state, reason)
        standing.state, standing.reason, standing.ok = state, reason, True
        standing.report = standing.metrics = None
        self._reported()

    def _reported(self) -> None:
        self._first.set()
        self.frame.board.changed()

    def _release(self) -> None:
        """Nobody must wait for a fresh report that will not come."""
        if self._process is None:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def _replace(self) -> None:
        if self._process is not None:
            self._process.end()
            self.frame.buried.add(self._process.pid)
            self._process = None
            if self.standing.state == ACTIVE:
                self.standing.restarts += 1
