"""Running calls in threads: joined when repeated, in order per subject, never waited for too long.

A plugin may hang. Then the call ends with an error at its deadline while its thread goes on; the
same call repeated joins that thread instead of starting another; other calls are not disturbed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from ganeti_kernel.errors import RemoteError

log = logging.getLogger(__name__)

MAX_RUNNING: Final = 128
"""Calls that run or wait at once; beyond it calls are refused."""


class _Job:
    """One call that waits for its turn or runs."""

    def __init__(
        self, name: str, subject: str | None, ends: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.name = name
        self.subject = subject
        self.begun = loop.time()
        self.ends = ends
        self.started = False
        self.result: asyncio.Future[Any] = loop.create_future()

    def __str__(self) -> str:
        return f"{self.name} of {self.subject}" if self.subject else self.name


class _Turn:
    """The queue of the calls on one subject."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.holder: _Job | None = None
        self.users = 0


class Workers:
    """Belongs to one event loop; the functions run in threads of their own."""

    def __init__(self, limit: int = MAX_RUNNING) -> None:
        self._limit = limit
        self._jobs: set[_Job] = set()
        self._joinable: dict[str, _Job] = {}
        self._turns: dict[str, _Turn] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(
        self,
        name: str,
        function: Callable[[], Any],
        *,
        deadline: float,
        join: str | None = None,
        join_late_only: bool = False,
        subject: str | None = None,
    ) -> Any:
        """Return or raise what `function` does, within `deadline` seconds.

        `join`: calls with the same key share one run; with `join_late_only` only a run that has
        passed its deadline is shared (a call that reads must not see what was before it, but
        what hangs must not take a thread for every call). `subject`: what has the same one runs
        one after the other, but nobody waits for a call that has passed its own deadline. Raises
        RemoteError at the deadline and when too much is running.
        """
        now = asyncio.get_running_loop().time()
        ends = now + deadline
        job = self._joinable.get(join) if join is not None else None
        if job is None or job.result.done() or (join_late_only and now < job.ends):
            job = self._start(name, function, ends, join, subject)
        try:
            async with asyncio.timeout_at(ends):
                return await asyncio.shield(job.result)
        except TimeoutError:
            if job.result.done():  # the function itself raised it, or a moment ago it ended
                return job.result.result()
            if job.started:
                raise RemoteError(
                    f"{job} did not end within {deadline:g} seconds; it was left running "
                    "and a repeated call will wait for it"
                ) from None
            missed = RemoteError(
                f"{job} did not start within {deadline:g} seconds: "
                f"{self._holder(job)} is still running on this node"
            )
            job.result.set_exception(missed)
            raise missed from None

    async def drain(self, seconds: float) -> int:
        """Wait up to `seconds` for what is running; return how many calls are left."""
        if self._jobs:
            await asyncio.wait([job.result for job in self._jobs], timeout=seconds)
        return len(self._jobs)

    def _start(
        self,
        name: str,
        function: Callable[[], Any],
        ends: float,
        join: str | None,
        subject: str | None,
    ) -> _Job:
        loop = asyncio.get_running_loop()
        if len(self._jobs) >= self._limit:
            oldest = min(self._jobs, key=lambda item: item.begun)
            raise RemoteError(
                f"this node is busy with {len(self._jobs)} calls, the oldest {oldest} since "
                f"{loop.time() - oldest.begun:.0f} seconds; try again later"
            )
        job = _Job(name, subject, ends, loop)
        self._jobs.add(job)
        if join is not None:
            self._joinable[join] = job
        job.result.add_done_callback(lambda _result: self._ended(job, join))
        if subject is None:
            _start_thread(job, function)
        else:
            task = loop.create_task(self._take_turn(job, subject, function, ends))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return job

    async def _take_turn(
        self, job: _Job, subject: str, function: Callable[[], Any], ends: float
    ) -> None:
        turn = self._turns.setdefault(subject, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                if not job.result.done():  # else its callers have given up meanwhile
                    turn.holder = job
                    _start_thread(job, function)
                    left = ends - asyncio.get_running_loop().time()
                    await asyncio.wait([job.result], timeout=left)
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[subject]

    def _holder(self, job: _Job) -> _Job | None:
        turn = self._turns.get(job.subject or "")
        return turn.holder if turn is not None else None

    def _ended(self, job: _Job, join: str | None) -> None:
        job.result.exception()  # seen here, even if every caller has gone
        self._jobs.discard(job)
        if join is not None and self._joinable.get(join) is job:
            del self._joinable[join]


def _start_thread(job: _Job, function: Callable[[], Any]) -> None:
    job.started = True
    thread = threading.Thread(
        target=_work,
        args=(function, job.result, asyncio.get_running_loop()),
        name=f"call-{job.name}",
        daemon=True,  # a plugin that hangs must not keep the process from ending
    )
    try:
        thread.start()
    except RuntimeError as error:
        job.result.set_exception(RemoteError(f"this node cannot begin {job}: {error}"))


def _work(
    function: Callable[[], Any], result: asyncio.Future[Any], loop: asyncio.AbstractEventLoop
) -> None:
    try:
        value = function()
    except BaseException as error:  # a plugin's failure, sys.exit() included, is the call's answer
        # a future takes no StopIteration, and would take the others for its own end
        plain = isinstance(error, Exception) and not isinstance(error, StopIteration)
        failure = error if plain else RuntimeError(repr(error))
        _tell(loop, result.set_exception, failure)
    else:
        _tell(loop, result.set_result, value)


def _tell(loop: asyncio.AbstractEventLoop, setter: Callable[[Any], None], value: Any) -> None:
    try:
        loop.call_soon_threadsafe(setter, value)
    except RuntimeError:
        log.warning("a call ended after the daemon had stopped")
