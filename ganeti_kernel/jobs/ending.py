"""The end of a job: whoever sees it ended finds its locks, reservations and journal gone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec

from ganeti_kernel.config.keys import JOURNAL_PREFIX, ack_key, journal_prefix
from ganeti_kernel.config.reservations import Reservations
from ganeti_kernel.errors import GenericError
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.jobs.job import Job, end_job, now
from ganeti_kernel.jobs.queue import JobQueue
from ganeti_kernel.specs.store import Change, Delete, Store

DELETES_AT_ONCE: Final = 100


class Ending:
    """Ends jobs; `ended(job id)` is called when all of one is on disk."""

    def __init__(
        self,
        committer: Committer,
        queue: JobQueue,
        reservations: Reservations,
        ended: Callable[[int], object],
    ) -> None:
        self._committer = committer
        self._queue = queue
        self._reservations = reservations
        self._ended = ended

    async def end(self, job_id: int, change: Callable[[Job], Job]) -> None:
        """Apply the change that ends a job's last opcode and free all that belonged to the job."""
        keys = await self._committer.read(lambda store: _leftovers(store, job_id))
        keys += [item.key for item in self._reservations.held(job_id)]
        first, rest = keys[:DELETES_AT_ONCE], keys[DELETES_AT_ONCE:]
        await self._queue.update(job_id, lambda job: _close(change(job)), _deletes(first))
        await self._delete(rest)
        self._reservations.release_job(job_id)
        self._queue.secrets.pop(job_id, None)
        self._ended(job_id)

    async def end_with(self, job_id: int, status: str, error: GenericError) -> None:
        """End a job that has no process."""
        await self.end(job_id, lambda job: end_job(job, status, error))

    async def sweep(self, live: Collection[int]) -> None:
        """Drop what is left of all jobs but these: the last deletions may have been cut off."""
        lost = [item for item in self._reservations.held() if item.job not in live]
        for item in lost:
            self._reservations.release(item)
        prefixes = tuple(journal_prefix(job_id) for job_id in live)
        entries = await self._committer.read(
            lambda store: [entry.key for entry in store.list(JOURNAL_PREFIX)]
        )
        stale = [key for key in entries if not key.startswith(prefixes)]
        await self._delete([item.key for item in lost] + stale)

    async def _delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), DELETES_AT_ONCE):
            await self._committer.commit(_deletes(keys[start : start + DELETES_AT_ONCE]))


def _deletes(keys: Sequence[str]) -> list[Change]:
    return [Delete(key) for key in keys]


def _leftovers(store: Store, job_id: int) -> list[str]:
    keys = [entry.key for entry in store.list(journal_prefix(job_id))]
    return [ack_key(job_id), *keys]


def _close(job: Job) -> Job:
    return msgspec.structs.replace(
        job, end_timestamp=job.end_timestamp or now(), held=[], process_id=None
    )
