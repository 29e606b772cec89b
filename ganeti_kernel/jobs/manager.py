"""The life of jobs in the master daemon: started, locked, cancelled, found dead, brought to an end.

Everything here runs in one event loop. What a job was told is in the queue (durable) before it
is told; the lock manager and the table of processes are rebuilt from the queue after a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ganeti_kernel.config.keys import JOURNAL_PREFIX, ack_key, journal_prefix
from ganeti_kernel.config.reservations import Reservations
from ganeti_kernel.errors import GenericError, JobCanceled, JobLost, LockError, OpExecError
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.jobs.configuration import SharedConfig
from ganeti_kernel.jobs.job import (
    CANCELED,
    CANCELING,
    ERROR,
    FINAL,
    QUEUED,
    WAITING,
    Job,
    change_op,
    end_job,
    now,
    set_status,
)
from ganeti_kernel.jobs.livelock import is_alive, livelock_files, livelock_path, remove_stale
from ganeti_kernel.jobs.locks import LockManager
from ganeti_kernel.jobs.opcodes.base import check_priority
from ganeti_kernel.jobs.operation import Lock
from ganeti_kernel.jobs.queue import JobQueue
from ganeti_kernel.jobs.runner import JobStart
from ganeti_kernel.jobs.scheduler import Judge, decide
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.store import Change, Delete, Store

log = logging.getLogger(__name__)

MAX_RECOVERIES: Final = 3
"""Processes that are started to end a job whose process died, before it is given up."""

MAX_STARTS: Final = 3
"""Processes that may die before they said hello, before their job is given up."""

WATCH_SECONDS: Final = 1.0
"""How often it is looked whether the jobs' processes live, besides when a sign of death comes."""

DEATH_CHECKS: Final = 40
"""Times 25 ms to look whether a process is gone after its connection closed."""

DELETES_AT_ONCE: Final = 100


@dataclass(slots=True)
class Running:
    """A job that has, or is about to have, a process."""

    job_id: int
    pid: int = 0
    known: bool = False
    """A process was forked or has connected: a free livelock means it is dead."""

    starts: int = 0
    how: str = ""


class JobManager:
    """Starts, watches and ends jobs. `fork` asks for a process (see `JobProcesses`)."""

    def __init__(
        self,
        paths: Paths,
        committer: Committer,
        queue: JobQueue,
        config: SharedConfig,
        reservations: Reservations,
    ) -> None:
        self.queue = queue
        self.config = config
        self.reservations = reservations
        self.locks = LockManager()
        self.running: dict[int, Running] = {}
        self.judge: Callable[[], Judge | None] = lambda: None
        self.fork: Callable[[JobStart], None] = lambda _start: None
        self.ended: Callable[[int], object] = lambda _job_id: None
        self._paths = paths
        self._committer = committer
        self._grants: dict[int, asyncio.Future[None]] = {}
        self._kicked = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        queue.submitted = self.kick
        config.listeners.append(self.kick)

    # -- start and stop ------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up the queue as it was left: attach to what lives, recover what died."""
        for job in sorted(self.queue.jobs.values(), key=lambda item: item.id):
            if job.end_timestamp is not None:
                continue
            alive = is_alive(livelock_path(self._paths, job.id))
            if job.held:
                self._reinstate(job)
            if alive:
                self.running[job.id] = Running(job.id, job.process_id or 0, known=True)
            elif job.status != QUEUED:
                how = "while no master daemon ran"
                self.running[job.id] = Running(job.id, known=True, how=how)
                self._spawn(self._check_death(job.id))
            elif job.cancel:
                await self._end(job.id, CANCELED, JobCanceled("Job canceled by request"))
        await self._sweep()
        self._spawn(self._schedule_loop())
        self._spawn(self._watch_loop())
        self.kick()

    async def stop(self) -> None:
        """Stop scheduling and watching; job processes are left alone."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _reinstate(self, job: Job) -> None:
        try:
            self.locks.reinstate(job.id, job.held)
        except LockError as error:
            log.critical(
                "%s: the store is damaged; job %d goes on without its locks", error, job.id
            )

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("job management: %s", error, exc_info=error)

    # -- scheduling ----------------------------------------------------------------------------

    def running_jobs(self) -> list[Job]:
        """Jobs that have a process."""
        return [self.queue.jobs[job_id] for job_id in self.running if job_id in self.queue.jobs]

    def kick(self) -> None:
        """Look soon whether a job can start."""
        self._kicked.set()

    async def _schedule_loop(self) -> None:
        while True:
            await self._kicked.wait()
            self._kicked.clear()
            try:
                await self._schedule()
            except GenericError as error:  # the store may be full; the next change tries again
                log.error("cannot schedule jobs: %s", error)
                await asyncio.sleep(1)
                self.kick()

    async def _schedule(self) -> None:
        limit = self.config.view.cluster.max_running_jobs
        if len(self.running) >= limit:
            return
        queued = [
            job for job in self.queue.jobs.values() if job.queued and job.id not in self.running
        ]
        if not queued:
            return
        others = {other for job in queued for other, _accepted in job.depends()}
        statuses = await self.queue.statuses(sorted(others))
        decision = decide(queued, statuses, self.running, limit, self.judge())
        for verdict in decision.end:
            await self._end(verdict.job_id, verdict.status, verdict.error)
        for job_id in decision.start:
            job = self.queue.jobs.get(job_id)
            if job is not None and job.queued and job_id not in self.running:
                self.running[job_id] = Running(job_id)
                self._fork(job_id)

    def _fork(self, job_id: int, recover: bool = False, reason: str = "") -> None:
        self.fork(JobStart(job_id, recover, reason, self.config.view.serial_no))

    # -- events of processes -------------------------------------------------------------------

    def started(self, job_id: int, pid: int) -> None:
        if job_id in self.running:
            entry = self.running[job_id]
            entry.pid, entry.known, entry.starts = pid, True, entry.starts + 1

    def held(self, job_id: int) -> None:
        if job_id in self.running:
            self.running[job_id].known = True

    def exited(self, job_id: int, pid: int, how: str) -> None:
        entry = self.running.get(job_id)
        if entry is None:
            remove_stale(livelock_path(self._paths, job_id))
        elif entry.pid == pid:
            entry.how = how
            self._spawn(self._check_death(job_id))

    def parent_lost(self) -> None:
        """Processes that were not seen may have died with it: the watch looks after the rest."""

    def attach(self, job_id: int, pid: int) -> Running:
        """A process says it runs the job; raises JobLost when none is wanted."""
        job = self.queue.get(job_id)
        entry = self.running.get(job_id)
        if job.end_timestamp is not None:
            raise JobLost(f"job {job_id} has ended")
        if entry is None:
            entry = self.running[job_id] = Running(job_id)
        entry.pid, entry.known = pid, True
        return entry

    def detach(self, entry: Running) -> None:
        """Its connection closed: it died, or will connect again."""
        if self.running.get(entry.job_id) is entry:
            self._spawn(self._check_death(entry.job_id))

    async def _watch_loop(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for entry in list(self.running.values()):
                if entry.known and not self._alive(entry.job_id):
                    await self._died(entry)

    async def _check_death(self, job_id: int) -> None:
        for _ in range(DEATH_CHECKS):
            entry = self.running.get(job_id)
            if entry is None or not entry.known:
                return
            if not self._alive(job_id):
                await self._died(entry)
                return
            await asyncio.sleep(0.025)

    def _alive(self, job_id: int) -> bool:
        return is_alive(livelock_path(self._paths, job_id))

    async def _died(self, entry: Running) -> None:
        """A job's process is gone: have the job started again, or recovered."""
        job_id = entry.job_id
        entry.known = False
        waiting = self._grants.get(job_id)
        if waiting is not None and not waiting.done():
            waiting.set_exception(JobLost(f"the process of job {job_id} died"))
        try:
            await self._replace(entry)
        except JobLost:
            self.running.pop(job_id, None)  # it ended meanwhile
        except GenericError as error:  # the store may be full: the watch tries again
            log.error("job %d: %s", job_id, error)
            entry.known = True

    async def _replace(self, entry: Running) -> None:
        job_id = entry.job_id
        job = self.queue.get(job_id)
        if job.end_timestamp is not None:
            raise JobLost(f"job {job_id} has ended")
        if not job.queued or job.process_id is not None:
            await self._recover(job_id, f"its process died ({entry.how or 'killed'})")
        elif entry.starts < MAX_STARTS:
            self._fork(job_id)
        else:
            text = f"its process died {entry.starts} times before it began ({entry.how})"
            await self._end(job_id, ERROR, OpExecError(text))

    async def _recover(self, job_id: int, reason: str) -> None:
        self._wake(self.locks.withdraw(job_id))
        job = self.queue.get(job_id)
        if job.recoveries >= MAX_RECOVERIES:
            text = f"{reason}; {job.recoveries} attempts to undo what it had begun died as well"
            log.error("job %d is given up: %s", job_id, text)
            await self._end(job_id, ERROR, OpExecError(text))
            return
        log.warning("job %d: %s; recovering", job_id, reason)
        await self.queue.update(
            job_id,
            lambda old: msgspec.structs.replace(
                old, recoveries=old.recoveries + 1, process_id=None
            ),
        )
        self._fork(job_id, recover=True, reason=reason)

    # -- ends ----------------------------------------------------------------------------------

    async def _end(self, job_id: int, status: str, error: GenericError) -> None:
        """End a job that has no process."""
        await self.end(job_id, lambda job: end_job(job, status, error))

    async def end(self, job_id: int, change: Callable[[Job], Job]) -> None:
        """Apply the change that ends a job's last opcode and free all that belonged to the job.

        Whoever sees the job ended finds its locks, reservations and journal gone.
        """
        keys = await self._committer.read(lambda store: _leftovers(store, job_id))
        keys += [item.key for item in self.reservations.held(job_id)]
        first, rest = keys[:DELETES_AT_ONCE], keys[DELETES_AT_ONCE:]
        await self.queue.update(job_id, lambda job: _close(change(job)), _deletes(first))
        await self._delete(rest)
        self.reservations.release_job(job_id)
        self.running.pop(job_id, None)
        self.queue.secrets.pop(job_id, None)
        livelock_path(self._paths, job_id).unlink(missing_ok=True)
        self.ended(job_id)
        self.free_locks(job_id)
        self.kick()

    async def _delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), DELETES_AT_ONCE):
            await self._committer.commit(_deletes(keys[start : start + DELETES_AT_ONCE]))

    async def _sweep(self) -> None:
        """Drop what is left of jobs that have ended: the last deletions may have been cut off."""
        live = {job.id for job in self.queue.jobs.values() if job.end_timestamp is None}
        lost = [item for item in self.reservations.held() if item.job not in live]
        for item in lost:
            self.reservations.release(item)
        prefixes = tuple(journal_prefix(job_id) for job_id in live)
        entries = await self._committer.read(
            lambda store: [entry.key for entry in store.list(JOURNAL_PREFIX)]
        )
        stale = [key for key in entries if not key.startswith(prefixes)]
        await self._delete([item.key for item in lost] + stale)
        for path in livelock_files(self._paths, live):
            remove_stale(path)

    # -- locks ---------------------------------------------------------------------------------

    async def acquire(self, job_id: int, index: int, locks: Sequence[Lock]) -> None:
        """Wait until a job has these locks; durable when it returns.

        Raises JobCanceled when the job is cancelled meanwhile.
        """
        job = self.queue.get(job_id)
        _check_cancel(job)
        if job.ops[index].status == QUEUED:
            await self.queue.update(job_id, lambda old: set_status(old, index, WAITING))
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._grants[job_id] = waiting
        try:
            self._wake(self.locks.request(job_id, locks, job.ops[index].priority))
            await waiting
        finally:
            if self._grants.get(job_id) is waiting:
                del self._grants[job_id]
            if self.locks.is_waiting(job_id):
                self._wake(self.locks.withdraw(job_id))
        held = self.locks.held(job_id)
        await self.queue.update(
            job_id, lambda old: msgspec.structs.replace(_check_cancel(old), held=held)
        )

    async def release(self, job_id: int, extra: Sequence[Change] = ()) -> None:
        """Free a job's locks, first on disk."""
        await self.queue.update(job_id, lambda old: msgspec.structs.replace(old, held=[]), extra)
        self.free_locks(job_id)

    def free_locks(self, job_id: int) -> None:
        """Free a job's locks in memory; its record must say so already."""
        self._wake(self.locks.release(job_id))

    def _wake(self, owners: Sequence[int]) -> None:
        for owner in owners:
            future = self._grants.get(owner)
            if future is not None and not future.done():
                future.set_result(None)

    # -- requests of users ---------------------------------------------------------------------

    async def cancel(self, job_id: int, kill: bool = False) -> tuple[bool, str]:
        """Cancel a job, or end its process at once (`kill`) and have its work undone."""
        job = self.queue.jobs.get(job_id)
        if job is None:
            return False, f"Job {job_id} not found in queue"
        if job.final:
            return False, f"Job {job_id} has ended already with status {job.status}"
        entry = self.running.get(job_id)
        if entry is None:
            await self._end(job_id, CANCELED, JobCanceled("Job canceled by request"))
            return True, f"Job {job_id} canceled"
        await self.queue.update(job_id, _mark_canceled)
        if kill and entry.pid and self._alive(job_id):
            with contextlib.suppress(ProcessLookupError):  # it may end at this moment
                os.kill(entry.pid, signal.SIGKILL)
            return True, f"Job {job_id} was killed; what it had begun is undone"
        future = self._grants.get(job_id)
        if future is not None and not future.done():
            future.set_exception(JobCanceled("Job canceled by request"))
            return True, f"Job {job_id} will be canceled"
        return True, f"Job {job_id} is running and will be canceled before its next step"

    async def change_priority(self, job_id: int, priority: int) -> tuple[bool, str]:
        """Give the opcodes that have not ended another priority. Raises OpPrereqError."""
        check_priority(priority)
        job = self.queue.jobs.get(job_id)
        if job is None:
            return False, f"Job {job_id} not found in queue"
        if job.final:
            return False, f"Job {job_id} has ended already with status {job.status}"

        def change(old: Job) -> Job:
            for index, op in enumerate(old.ops):
                if op.status not in FINAL:
                    old = change_op(old, index, priority=priority)
            return old

        await self.queue.update(job_id, change)
        self._wake(self.locks.set_priority(job_id, priority))
        self.kick()
        return True, f"Job {job_id} has priority {priority} now"


def _deletes(keys: Sequence[str]) -> list[Change]:
    return [Delete(key) for key in keys]


def _leftovers(store: Store, job_id: int) -> list[str]:
    keys = [entry.key for entry in store.list(journal_prefix(job_id))]
    return [ack_key(job_id), *keys]


def _close(job: Job) -> Job:
    return msgspec.structs.replace(
        job, end_timestamp=job.end_timestamp or now(), held=[], process_id=None
    )


def _check_cancel(job: Job) -> Job:
    if job.cancel:
        raise JobCanceled("Job canceled by request")
    return job


def _mark_canceled(job: Job) -> Job:
    index = job.current
    if index is not None and job.ops[index].status in (QUEUED, WAITING):
        job = change_op(job, index, status=CANCELING)
    return msgspec.structs.replace(job, cancel=True)
