"""What becomes of a job whose process died: started again, recovered by another, or given up."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from ganeti_kernel.errors import GenericError, JobLost, OpExecError
from ganeti_kernel.jobs.ending import Ending
from ganeti_kernel.jobs.grants import Grants
from ganeti_kernel.jobs.job import ERROR
from ganeti_kernel.jobs.queue import JobQueue
from ganeti_kernel.jobs.running import Running, RunningJobs
from ganeti_kernel.jobs.starting import Starter

log = logging.getLogger(__name__)

MAX_RECOVERIES: Final = 3
"""Processes that are started to end a job whose process died, before it is given up."""

MAX_STARTS: Final = 3
"""Processes that may die before they said hello, before their job is given up."""


class Recovery:
    """Looks after jobs whose process is gone."""

    def __init__(
        self,
        queue: JobQueue,
        grants: Grants,
        starter: Starter,
        ending: Ending,
        running: RunningJobs,
    ) -> None:
        self._queue = queue
        self._grants = grants
        self._starter = starter
        self._ending = ending
        self._running = running

    async def died(self, entry: Running) -> None:
        job_id = entry.job_id
        self._grants.interrupt(job_id, JobLost(f"the process of job {job_id} died"))
        try:
            await self._replace(entry)
        except JobLost:
            self._running.table.pop(job_id, None)  # it ended meanwhile
        except GenericError as error:  # the store may be full: the watch tries again
            log.error("job %d: %s", job_id, error)
            entry.known = True

    async def _replace(self, entry: Running) -> None:
        job_id = entry.job_id
        job = self._queue.get(job_id)
        if job.end_timestamp is not None:
            raise JobLost(f"job {job_id} has ended")
        if not job.queued or job.process_id is not None:
            await self._recover(job_id, f"its process died ({entry.how or 'killed'})")
        elif entry.starts < MAX_STARTS:
            self._starter.process(job_id)
        else:
            text = f"its process died {entry.starts} times before it began ({entry.how})"
            await self._ending.end_with(job_id, ERROR, OpExecError(text))

    async def _recover(self, job_id: int, reason: str) -> None:
        self._grants.withdraw(job_id)
        job = self._queue.get(job_id)
        if job.recoveries >= MAX_RECOVERIES:
            text = f"{reason}; {job.recoveries} attempts to undo what it had begun died as well"
            log.error("job %d is given up: %s", job_id, text)
            await self._ending.end_with(job_id, ERROR, OpExecError(text))
            return
        log.warning("job %d: %s; recovering", job_id, reason)
        await self._queue.update(
            job_id,
            lambda old: msgspec.structs.replace(
                old, recoveries=old.recoveries + 1, process_id=None
            ),
        )
        self._starter.process(job_id, recover=True, reason=reason)
