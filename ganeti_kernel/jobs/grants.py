"""Jobs that wait for locks: the lock manager's decisions, on disk before anybody acts on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from ganeti_kernel.errors import ECODE_TEMP_NORES, GenericError, JobCanceled, JobLost, OpPrereqError
from ganeti_kernel.jobs.job import QUEUED, WAITING, Job, set_status
from ganeti_kernel.jobs.locks import LockManager
from ganeti_kernel.jobs.operation import Lock, Pick
from ganeti_kernel.jobs.queue import JobQueue
from ganeti_kernel.specs.store import Change

PICK_PATIENCE: Final = 30.0
"""Seconds that a job waits for something to be free of what it may pick (upstream 3.0's interval
between two looks)."""


class Grants:
    """Asks for and frees the locks of jobs."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self.locks = LockManager()

    async def acquire(
        self, job_id: int, index: int, locks: Sequence[Lock], pick: Pick | None = None
    ) -> list[Lock]:
        """Wait until a job has these locks, and return what it has; durable when it returns.

        Raises JobCanceled when the job is cancelled meanwhile, OpPrereqError when too little of
        what it may pick was free for PICK_PATIENCE seconds.
        """
        job = self._queue.get(job_id)
        check_cancel(job)
        if job.ops[index].status == QUEUED:
            await self._queue.update(job_id, lambda old: set_status(old, index, WAITING))
        self.interrupt(job_id, JobLost(f"job {job_id} asked again"))
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[job_id] = waiting
        try:
            priority = job.ops[index].priority
            self._wake(self.locks.request(job_id, locks, priority, pick=pick, now=time.time()))
            await self._granted(job_id, waiting, pick)
        finally:
            if self._waiting.get(job_id) is waiting:
                del self._waiting[job_id]
                self.withdraw(job_id)
        held = self.locks.held(job_id)
        await self._queue.update(
            job_id, lambda old: msgspec.structs.replace(check_cancel(old), held=held)
        )
        return held

    async def _granted(self, job_id: int, waiting: asyncio.Future[None], pick: Pick | None) -> None:
        if pick is None:
            return await waiting
        while True:
            await asyncio.wait([waiting], timeout=PICK_PATIENCE)
            if waiting.done():
                return waiting.result()
            if self.locks.lacks_bundles(job_id):
                raise OpPrereqError(self._too_few(job_id, pick), ECODE_TEMP_NORES)

    def _too_few(self, job_id: int, pick: Pick) -> str:
        owners = sorted({item.owner for item in self.locks.blockers(job_id)})
        busy = f" (jobs {', '.join(map(str, owners))} use them)" if owners else ""
        return (
            f"fewer than {pick.least} of {len(pick.bundles)} nodes became free within "
            f"{PICK_PATIENCE:g} seconds{busy}; try again later, or without opportunistic locking"
        )

    async def release(self, job_id: int, extra: Sequence[Change] = ()) -> None:
        """Free a job's locks, first on disk."""
        await self._queue.update(job_id, lambda old: msgspec.structs.replace(old, held=[]), extra)
        self.free(job_id)

    async def narrow(
        self, job_id: int, locks: Collection[Lock], extra: Sequence[Change] = ()
    ) -> None:
        """Free a job's locks but these, first on disk. Raises LockError for one it has not."""
        keep = sorted(locks)
        self.locks.check_held(job_id, keep)
        await self._queue.update(job_id, lambda old: msgspec.structs.replace(old, held=keep), extra)
        self._wake(self.locks.narrow(job_id, keep))

    def free(self, job_id: int) -> None:
        """Free a job's locks in memory; its record must say so already."""
        self._wake(self.locks.release(job_id))

    def withdraw(self, job_id: int) -> None:
        """Forget what a job waits for; what it holds it keeps."""
        self._wake(self.locks.withdraw(job_id))

    def set_priority(self, job_id: int, priority: int) -> None:
        self._wake(self.locks.set_priority(job_id, priority))

    def interrupt(self, job_id: int, error: GenericError) -> bool:
        """End a job's waiting with an error; False when it does not wait."""
        waiting = self._waiting.get(job_id)
        if waiting is None or waiting.done():
            return False
        waiting.set_exception(error)
        return True

    def _wake(self, owners: Sequence[int]) -> None:
        for owner in owners:
            future = self._waiting.get(owner)
            if future is not None and not future.done():
                future.set_result(None)


def check_cancel(job: Job) -> Job:
    """Raise JobCanceled when somebody asked for it."""
    if job.cancel:
        raise JobCanceled("Job canceled by request")
    return job
