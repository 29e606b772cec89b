"""The durable job queue: every state a job was told to be in is on disk first.

Keys: `jobs/<id>` the record, `joblog/<id>/<serial>` one log entry, `archive/<id>` the record of an
archived job (its log stays where it is), `queue/serial` the last id, `queue/drain` when drained.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from ganeti_kernel.config.keys import JOBS_PREFIX, QUEUE_SERIAL, job_key
from ganeti_kernel.errors import (
    ECODE_INVAL,
    GenericError,
    JobLost,
    JobQueueDrainError,
    JobQueueError,
    JobQueueFull,
    OpPrereqError,
    StoreError,
)
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.jobs.job import Job, LogEntry, OpRecord, now
from ganeti_kernel.jobs.opcodes import Opcode, encode_opcode, reason_name
from ganeti_kernel.specs.store import Change, Delete, Entry, Put, Store

log = logging.getLogger(__name__)

MAX_JOBS: Final = 5000
"""Jobs in the queue that are not archived (upstream 3.0's hard limit)."""

MAX_JOB_BYTES: Final = 512 << 10
MAX_MESSAGE_BYTES: Final = 64 << 10
MAX_RESULT_BYTES: Final = 256 << 10

JOBS_PER_TRANSACTION: Final = 100

ARCHIVE_PART: Final = 1000
"""Archived jobs that are read at once; a power of ten, because keys have decimal numbers."""

DRAIN_KEY: Final = "queue/drain"


def archive_key(job_id: int) -> str:
    return f"archive/{job_id:010d}"


def log_prefix(job_id: int) -> str:
    return f"joblog/{job_id:010d}/"


class JobQueue:
    """All jobs that are not archived, in memory and on disk."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._serial = 0
        self._logs: dict[int, list[tuple[int, LogEntry]]] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self._watchers: dict[int, set[asyncio.Future[None]]] = {}
        self.jobs: dict[int, Job] = {}
        self.secrets: dict[int, dict[int, dict[str, Any]]] = {}
        self.drained = False
        self.submitted: Callable[[], None] = lambda: None

    @property
    def last_id(self) -> int:
        """The newest job id that was given out."""
        return self._serial

    async def load(self) -> None:
        """Read everything from the store; raises StoreError for a record that cannot be read."""
        self.jobs, self._logs, self._serial, self.drained = await self._committer.read(_load)

    # -- reading -------------------------------------------------------------------------------

    def get(self, job_id: int) -> Job:
        """Return a job of the queue; raises JobLost."""
        job = self.jobs.get(job_id)
        if job is None:
            raise JobLost(f"Job {job_id} not found in queue")
        return job

    async def find_archived(self, job_id: int) -> Job | None:
        def read(store: Store) -> Job | None:
            entry = store.get(archive_key(job_id))
            return None if entry is None else _decode_job(entry.key, entry.value)

        return await self._committer.read(read)

    async def archived_jobs(self) -> AsyncIterator[Job]:
        """All archived jobs, oldest first, read in parts: there may be very many."""
        for part in range(self._serial // ARCHIVE_PART + 1):
            prefix = archive_key(part * ARCHIVE_PART)[: -len(str(ARCHIVE_PART - 1))]
            for entry in await self._committer.read(partial(_list, prefix)):
                yield _decode_job(entry.key, entry.value)

    def logs(self, job_id: int) -> dict[int, list[LogEntry]]:
        """Opcode index -> log entries, of a job in the queue."""
        return _by_opcode(self._logs.get(job_id, ()))

    async def archived_logs(self, job_id: int) -> dict[int, list[LogEntry]]:
        """The same of an archived job, from disk: the archive may be of any size."""
        return _by_opcode(await self._committer.read(lambda store: _load_log(store, job_id)))

    def log_entries(self, job_id: int, after: int = 0) -> list[LogEntry]:
        """All log entries of a job with a serial greater than `after`."""
        return [entry for _index, entry in self._logs.get(job_id, ()) if entry.serial > after]

    async def statuses(self, ids: Sequence[int]) -> dict[int, str]:
        """Status of each job, archived ones included; a lost one is left out."""
        out: dict[int, str] = {}
        for job_id in ids:
            job = self.jobs.get(job_id) or await self.find_archived(job_id)
            if job is not None:
                out[job_id] = job.status
        return out

    async def wait_change(self, job_id: int, timeout: float) -> None:
        """Wait until the job or its log changes, at most `timeout` seconds."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watchers = self._watchers.setdefault(job_id, set())
        watchers.add(future)
        try:
            await asyncio.wait([future], timeout=timeout)
        finally:
            watchers.discard(future)
            if not watchers:
                self._watchers.pop(job_id, None)

    # -- submitting ----------------------------------------------------------------------------

    async def submit(
        self,
        jobs: Sequence[Sequence[Opcode]],
        *,
        even_drained: bool = False,
        extra: Callable[[list[tuple[bool, int | str]]], Change] | None = None,
    ) -> list[tuple[bool, int | str]]:
        """Queue jobs; they are durable when this returns.

        The answer has (True, job id) or (False, why not) for each. `extra(answer)` is written in
        the same transaction as the jobs. Raises JobQueueDrainError, StoreError.
        """
        if self.drained and not even_drained:
            raise JobQueueDrainError("Job queue is drained, refusing job")
        if extra is not None and len(jobs) > JOBS_PER_TRANSACTION:
            raise JobQueueError(
                f"{len(jobs)} jobs at once, a job may submit at most {JOBS_PER_TRANSACTION}"
            )
        out: list[tuple[bool, int | str]] = []
        new: list[Job] = []
        for ops in jobs:
            try:
                job = self._new_job(ops, out, taken=len(new))
            except GenericError as error:
                out.append((False, str(error)))
                continue
            self._serial = job.id
            new.append(job)
            out.append((True, job.id))
        last = [extra(out)] if extra is not None else []
        writes: list[Awaitable[int | None]] = []
        for start in range(0, len(new), JOBS_PER_TRANSACTION):
            part = new[start : start + JOBS_PER_TRANSACTION]
            changes: list[Change] = [Put(job_key(job.id), msgspec.json.encode(job)) for job in part]
            changes.append(Put(QUEUE_SERIAL, str(part[-1].id).encode()))
            writes.append(self._committer.commit(changes + last))
        if not new and last:
            writes.append(self._committer.commit(last))
        await asyncio.gather(*writes)
        for job in new:
            self.jobs[job.id] = job
        if new:
            self.submitted()
        return out

    def _new_job(
        self, ops: Sequence[Opcode], before: Sequence[tuple[bool, int | str]], taken: int
    ) -> Job:
        if not ops:
            raise JobQueueError("a job needs at least one opcode")
        if len(self.jobs) + taken >= MAX_JOBS:
            raise JobQueueFull(f"Job queue has {MAX_JOBS} jobs and is full; archive some")
        job_id, stamp = self._serial + 1, now()
        records: list[OpRecord] = []
        secrets: dict[int, dict[str, Any]] = {}
        for index, op in enumerate(ops):
            value = encode_opcode(op)
            if value.get("osparams_secret"):
                secrets[index] = value["osparams_secret"]
                value["osparams_secret"] = None
            _refuse_secrets(value)
            value["depends"] = _absolute_dependencies(op, before, job_id)
            value["reason"] = [
                *(value["reason"] or ()),
                [
                    reason_name(value),
                    f"job={job_id};index={index}",
                    (stamp[0] * 1_000_000 + stamp[1]) * 1000,
                ],
            ]
            records.append(OpRecord(input=value, priority=op.priority))
        job = Job(id=job_id, ops=records, received_timestamp=stamp)
        size = len(msgspec.json.encode(job))
        if size > MAX_JOB_BYTES:
            raise JobQueueError(f"the job has {size} bytes, at most {MAX_JOB_BYTES} are taken")
        if secrets:
            self.secrets[job_id] = secrets
        return job

    # -- changing ------------------------------------------------------------------------------

    async def update(
        self, job_id: int, change: Callable[[Job], Job], extra: Sequence[Change] = ()
    ) -> Job:
        """Replace a job by `change(job)` once that is on disk; `extra` in the same transaction.

        Changes of one job happen one after the other. What `change` raises is passed on and
        nothing is written. Raises JobLost, StoreError.
        """
        async with self._locks.setdefault(job_id, asyncio.Lock()):
            old = self.get(job_id)
            new = change(old)
            changes = list(extra)
            if new != old:
                changes.insert(0, Put(job_key(job_id), msgspec.json.encode(new)))
            if changes:
                await self._committer.commit(changes)
            if new != old:
                self.jobs[job_id] = new
                self._notify(job_id)
            return new

    async def append_log(
        self, job_id: int, index: int, kind: str, message: Any, extra: Sequence[Change] = ()
    ) -> None:
        """Add a log entry to an opcode of a job."""
        async with self._locks.setdefault(job_id, asyncio.Lock()):
            entries = self._logs.setdefault(job_id, [])
            serial = entries[-1][1].serial + 1 if entries else 1
            entry = LogEntry(serial, now(), kind, _bounded(message))
            value = msgspec.json.encode([index, *entry])
            put = Put(f"{log_prefix(job_id)}{serial:06d}", value)
            await self._committer.commit([put, *extra])
            entries.append((index, entry))
            self._notify(job_id)

    async def set_drain(self, flag: bool) -> None:
        change: Change = Put(DRAIN_KEY, b"true") if flag else Delete(DRAIN_KEY)
        await self._committer.commit([change])
        self.drained = flag

    # -- archive -------------------------------------------------------------------------------

    async def archive(self, job_id: int) -> bool:
        """Move a finished job out of the queue; False when it is not finished or not there."""
        return bool(await self._archive([job_id]))

    async def auto_archive(self, age: float, timeout: float) -> tuple[int, int]:
        """Archive jobs that ended over `age` seconds ago (-1: all that ended).

        Stops after `timeout` seconds; returns (archived, jobs left unchecked).
        """
        deadline, limit = time.monotonic() + timeout, time.time() - age
        old = sorted(
            job.id
            for job in self.jobs.values()
            if job.end_timestamp is not None and (age < 0 or job.end_timestamp[0] <= limit)
        )
        archived = done = 0
        for start in range(0, len(old), 50):
            if start and time.monotonic() > deadline:
                break
            part = old[start : start + 50]
            archived += await self._archive(part)
            done += len(part)
        return archived, len(old) - done

    async def _archive(self, ids: Sequence[int]) -> int:
        changes: list[Change] = []
        done: list[int] = []
        for job_id in ids:
            job = self.jobs.get(job_id)
            if job is not None and job.end_timestamp is not None:
                changes += [
                    Delete(job_key(job_id)),
                    Put(archive_key(job_id), msgspec.json.encode(job)),
                ]
                done.append(job_id)
        if changes:
            await self._committer.commit(changes)
        for job_id in done:
            for mapping in (self.jobs, self._logs, self._locks, self.secrets):
                mapping.pop(job_id, None)
            self._notify(job_id)
        return len(done)

    def _notify(self, job_id: int) -> None:
        for future in self._watchers.get(job_id, ()):
            if not future.done():
                future.set_result(None)


def check_result(result: Any) -> Any:
    """Replace a result that is too large to keep; raises TypeError for what is no JSON."""
    size = len(msgspec.json.encode(result))
    if size > MAX_RESULT_BYTES:
        raise GenericError(f"the result has {size} bytes, at most {MAX_RESULT_BYTES} are kept")
    return result


def _bounded(message: Any) -> Any:
    size = len(msgspec.json.encode(message))
    if size <= MAX_MESSAGE_BYTES:
        return message
    text = message if isinstance(message, str) else str(message)
    return f"{text[: MAX_MESSAGE_BYTES // 4]} […{size} bytes in all]"


def _refuse_secrets(value: Any) -> None:
    """Raise OpPrereqError for secret OS parameters inside of an opcode's values.

    Those of the opcode itself are kept in memory only; these would be written to the disk.
    """
    if isinstance(value, dict):
        if value.get("osparams_secret"):
            raise OpPrereqError(
                "secret OS parameters (osparams_secret) can be given for an opcode itself, not "
                "inside its other parameters, which are stored with the job",
                ECODE_INVAL,
            )
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _refuse_secrets(item)


def _absolute_dependencies(
    op: Opcode, before: Sequence[tuple[bool, int | str]], own: int
) -> list[list[Any]] | None:
    """Negative ids count back through the jobs of the same submission.

    A job can wait only for older ones than itself, `own`: so none waits in a circle.
    """
    if op.depends is None:
        return None
    out: list[list[Any]] = []
    for job_id, statuses in op.depends:
        target: int | str = job_id
        if job_id < 0:
            if -job_id > len(before):
                raise JobQueueError(f"dependency {job_id} is before the first job submitted")
            ok, target = before[job_id]
            if not ok:
                raise JobQueueError(f"the job that dependency {job_id} means was not taken")
        elif job_id == 0:
            raise JobQueueError("0 is no job id")
        elif job_id >= own:
            raise JobQueueError(f"job {job_id}, on which job {own} would depend, is no older one")
        out.append([target, list(statuses)])
    return out


def _load(
    store: Store,
) -> tuple[dict[int, Job], dict[int, list[tuple[int, LogEntry]]], int, bool]:
    jobs = {job.id: job for job in (_decode_job(e.key, e.value) for e in store.list(JOBS_PREFIX))}
    logs = {job_id: _load_log(store, job_id) for job_id in jobs}
    serial = store.get(QUEUE_SERIAL)
    last = max([int(serial.value) if serial else 0, *jobs])
    return jobs, logs, last, store.get(DRAIN_KEY) is not None


def _list(prefix: str, store: Store) -> Sequence[Entry]:
    return store.list(prefix)


def _by_opcode(entries: Iterable[tuple[int, LogEntry]]) -> dict[int, list[LogEntry]]:
    out: dict[int, list[LogEntry]] = {}
    for index, entry in entries:
        out.setdefault(index, []).append(entry)
    return out


def _load_log(store: Store, job_id: int) -> list[tuple[int, LogEntry]]:
    out = []
    for entry in store.list(log_prefix(job_id)):
        index, serial, stamp, kind, message = msgspec.json.decode(
            entry.value, type=tuple[int, int, tuple[int, int], str, Any]
        )
        out.append((index, LogEntry(serial, stamp, kind, message)))
    return out


def _decode_job(key: str, value: bytes) -> Job:
    try:
        return msgspec.json.decode(value, type=Job)
    except msgspec.DecodeError as error:
        raise StoreError(f"{key} in the store cannot be read: {error}") from error
