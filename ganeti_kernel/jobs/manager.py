"""The life of jobs in the master daemon, put together from its parts.

Everything here runs in one event loop. What a job was told is in the queue (durable) before it
is told; the locks and the table of processes are rebuilt from the queue after a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from ganeti_kernel.config.reservations import Reservations
from ganeti_kernel.errors import JobCanceled, JobLost, LockError
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.jobs.configuration import SharedConfig
from ganeti_kernel.jobs.ending import Ending
from ganeti_kernel.jobs.grants import Grants
from ganeti_kernel.jobs.job import (
    CANCELED,
    CANCELING,
    FINAL,
    QUEUED,
    WAITING,
    Job,
    change_op,
)
from ganeti_kernel.jobs.livelock import Lives
from ganeti_kernel.jobs.opcodes.base import check_priority
from ganeti_kernel.jobs.queue import JobQueue
from ganeti_kernel.jobs.recovery import Recovery
from ganeti_kernel.jobs.running import Running, RunningJobs
from ganeti_kernel.jobs.starting import Starter
from ganeti_kernel.jobs.tasks import Tasks
from ganeti_kernel.jobs.waiting import describe, named

log = logging.getLogger(__name__)

CANCEL_TEXT = "Job canceled by request"


class JobManager:
    """Starts, watches and ends jobs; answers what users want of them."""

    def __init__(
        self,
        lives: Lives,
        committer: Committer,
        queue: JobQueue,
        config: SharedConfig,
        reservations: Reservations,
    ) -> None:
        self.queue = queue
        self.config = config
        self.reservations = reservations
        self.ended: Callable[[int], object] = lambda _job_id: None
        self._lives = lives
        self._tasks = Tasks()
        self.grants = Grants(queue)
        self.ending = Ending(committer, queue, reservations, self._after)
        self.running = RunningJobs(lives, self._tasks, self._died)
        self.starter = Starter(queue, config, self.running, self.ending)
        self._recovery = Recovery(queue, self.grants, self.starter, self.ending, self.running)
        queue.submitted = self.starter.kick
        config.listeners.append(self.starter.kick)

    # -- start and stop ------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up the queue as it was left: attach to what lives, recover what died."""
        live = [job for job in self.queue.jobs.values() if job.end_timestamp is None]
        for job in sorted(live, key=lambda item: item.id):
            self._reinstate(job)
            if self._lives.alive(job.id):
                self.running.add(Running(job.id, job.process_id or 0, known=True))
            elif self._is_lost(job):
                how = "while no master daemon ran"
                self.running.add(Running(job.id, known=True, how=how))
                self.running.check(job.id)
            elif job.cancel:
                await self.ending.end_with(job.id, CANCELED, JobCanceled(CANCEL_TEXT))
        unended = {job.id for job in live}
        await self.ending.sweep(unended)
        self._lives.forget_all_but(unended)
        self._tasks.spawn(self.starter.run())
        self.running.watch()
        self.starter.kick()

    async def stop(self) -> None:
        """Stop scheduling and watching; job processes are left alone."""
        await self._tasks.stop()

    def _is_lost(self, job: Job) -> bool:
        """Whether a job without a process was begun; its status between two opcodes is queued."""
        return not job.queued

    def _reinstate(self, job: Job) -> None:
        try:
            self.grants.locks.reinstate(job.id, job.held)
        except LockError as error:
            log.critical(
                "%s: the store is damaged; job %d goes on without its locks", error, job.id
            )

    # -- what happens to processes -------------------------------------------------------------

    def attach(self, job_id: int, pid: int) -> Running:
        """A process says it runs the job; raises JobLost when none is wanted."""
        if self.queue.get(job_id).end_timestamp is not None:
            raise JobLost(f"job {job_id} has ended")
        return self.running.attach(job_id, pid)

    async def _died(self, entry: Running) -> None:
        await self._recovery.died(entry)

    def _after(self, job_id: int) -> None:
        """A job has ended, and all of that is on disk."""
        self.running.table.pop(job_id, None)
        self._lives.forget(job_id)
        self.ended(job_id)
        self.grants.free(job_id)
        self.starter.kick()

    async def waits(self) -> dict[int, list[str]]:
        """For what the jobs wait that stand still now."""
        out = {job_id: [why] for job_id, why in (await self.starter.waits()).items()}
        name = named(self.config.view)
        for waiter in self.grants.locks.waiters():
            out[waiter.owner] = describe(self.grants.locks.blockers(waiter.owner), name)
        return out

    # -- requests of users ---------------------------------------------------------------------

    async def cancel(self, job_id: int, kill: bool = False) -> tuple[bool, str]:
        """Cancel a job, or end its process at once (`kill`) and have its work undone."""
        job = self.queue.jobs.get(job_id)
        if job is None:
            return False, f"Job {job_id} not found in queue"
        if job.final:
            return False, f"Job {job_id} has ended already with status {job.status}"
        entry = self.running.table.get(job_id)
        if entry is None:
            if await self.starter.end(job_id, CANCELED, JobCanceled(CANCEL_TEXT)):
                return True, f"Job {job_id} canceled"
            return False, f"Job {job_id} is just about to end"
        if (await self.queue.update(job_id, _mark_canceled)).final:
            return False, f"Job {job_id} has ended meanwhile"
        if kill and entry.pid and self._lives.alive(job_id):
            self._lives.kill(entry.pid)
            return True, f"Job {job_id} was killed; what it had begun is undone"
        if self.grants.interrupt(job_id, JobCanceled(CANCEL_TEXT)):
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
        self.grants.set_priority(job_id, priority)
        self.starter.kick()
        return True, f"Job {job_id} has priority {priority} now"


def _mark_canceled(job: Job) -> Job:
    index = job.current
    if index is None:
        return job
    if job.ops[index].status in (QUEUED, WAITING):
        job = change_op(job, index, status=CANCELING)
    return msgspec.structs.replace(job, cancel=True)
