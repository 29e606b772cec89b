"""Has queued jobs started: looks when something changed, decides, asks for processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from ganeti_kernel.errors import GenericError
from ganeti_kernel.jobs.configuration import SharedConfig
from ganeti_kernel.jobs.ending import Ending
from ganeti_kernel.jobs.job import Job
from ganeti_kernel.jobs.queue import JobQueue
from ganeti_kernel.jobs.ratelimit import RateLimits
from ganeti_kernel.jobs.runner import JobStart
from ganeti_kernel.jobs.running import Running, RunningJobs
from ganeti_kernel.jobs.scheduler import Decision, Judge, decide

log = logging.getLogger(__name__)


class Starter:
    """Starts queued jobs. `judges()` gives the job filters, `fork` asks for a process."""

    def __init__(
        self, queue: JobQueue, config: SharedConfig, running: RunningJobs, ending: Ending
    ) -> None:
        self._queue = queue
        self._config = config
        self._running = running
        self._ending = ending
        self._kicked = asyncio.Event()
        self._ends: set[int] = set()
        self.judges: Callable[[], Sequence[Judge]] = lambda: ()
        self.fork: Callable[[JobStart], None] = lambda _start: None

    def kick(self) -> None:
        """Look soon whether a job can start."""
        self._kicked.set()

    async def run(self) -> None:
        while True:
            await self._kicked.wait()
            self._kicked.clear()
            try:
                await self._look()
            except GenericError as error:  # the store may be full; the next change tries again
                log.error("cannot schedule jobs: %s", error)
                await asyncio.sleep(1)
                self.kick()

    async def end(self, job_id: int, status: str, error: GenericError) -> bool:
        """End a job that was not started, and do not start it meanwhile.

        False: somebody else ends it at this moment.
        """
        if job_id in self._ends:
            return False
        self._ends.add(job_id)
        try:
            await self._ending.end_with(job_id, status, error)
        finally:
            self._ends.discard(job_id)
        return True

    def process(self, job_id: int, recover: bool = False, reason: str = "") -> None:
        """Ask for a process that runs the job, or ends what the last one had begun."""
        self.fork(JobStart(job_id, recover, reason, self._config.view.serial_no))

    async def waits(self) -> dict[int, str]:
        """Why queued jobs have not been started."""
        return (await self._decide()).wait

    async def _look(self) -> None:
        if len(self._running.table) >= self._limit:
            return
        decision = await self._decide()
        for job_id in decision.start:
            self._running.add(Running(job_id))
            self.process(job_id)
        for verdict in decision.end:
            await self.end(verdict.job_id, verdict.status, verdict.error)

    @property
    def _limit(self) -> int:
        return self._config.view.cluster.max_running_jobs

    async def _decide(self) -> Decision:
        queued = self._queued()
        others = {other for job in queued for other, _accepted in job.depends()}
        statuses = await self._queue.statuses(sorted(others))
        # what happened while the archive was read counts
        queued, running = self._queued(), self.jobs()
        judges = [RateLimits(running), *self.judges()]
        return decide(queued, statuses, running, self._limit, judges)

    def _queued(self) -> list[Job]:
        jobs = self._queue.jobs.values()
        started = self._running.table.keys() | self._ends
        return [job for job in jobs if job.queued and job.id not in started]

    def jobs(self) -> list[Job]:
        """Jobs that have, or are about to have, a process."""
        jobs = self._queue.jobs
        return [jobs[job_id] for job_id in self._running.table if job_id in jobs]
