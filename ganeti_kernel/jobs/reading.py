"""Jobs as clients see them: of the queue and of the archive, with secrets hidden."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final

from ganeti_kernel.jobs.job import Job
from ganeti_kernel.jobs.manager import JobManager
from ganeti_kernel.jobs.values import JobRow
from ganeti_kernel.objects.secrets import SecretRules

LOG: Final = "oplog"
WAITS: Final = "waiting_for"
"""Fields that cost more than a look at the record."""


class JobReader:
    """Makes the rows of queries. `rules()` gives what is secret now."""

    def __init__(self, manager: JobManager, rules: Callable[[], SecretRules]) -> None:
        self._manager = manager
        self._queue = manager.queue
        self._rules = rules

    async def row(self, job_id: int, fields: Iterable[str]) -> JobRow | None:
        """One job of the queue or the archive, with what these fields are made from."""
        job = self._queue.jobs.get(job_id)
        archived = job is None
        job = job or await self._queue.find_archived(job_id)
        return None if job is None else await self._row(job, archived, set(fields))

    async def rows(
        self, ids: Sequence[int] | None, fields: Iterable[str], *, archived: bool = False
    ) -> AsyncIterator[JobRow]:
        """The named jobs that exist, wherever they are; or the queue's, and the archive's first."""
        wanted = set(fields)
        if ids is not None:
            for job_id in ids:
                row = await self.row(job_id, wanted)
                if row is not None:
                    yield row
            return
        waits = await self._manager.waits() if WAITS in wanted else {}
        if archived:
            async for job in self._queue.archived_jobs():
                yield await self._row(job, True, wanted)
        for job_id in sorted(self._queue.jobs):
            current = self._queue.jobs.get(job_id)
            if current is not None:
                logs = self._queue.logs(job_id) if LOG in wanted else {}
                yield JobRow(current, logs, False, waits.get(job_id, ()), self._rules())

    async def _row(self, job: Job, archived: bool, fields: set[str]) -> JobRow:
        logs = {}
        if LOG in fields:
            logs = await self._queue.archived_logs(job.id) if archived else self._queue.logs(job.id)
        waits: Sequence[str] = ()
        if WAITS in fields and not archived:
            waits = (await self._manager.waits()).get(job.id, ())
        return JobRow(job, logs, archived, waits, self._rules())
