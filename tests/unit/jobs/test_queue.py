"""The durable queue: what was answered is on disk, what was not written did not happen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.errors import JobLost, JobQueueDrainError, JobQueueError, StoreError
from ganeti_kernel.jobs import queue as queue_module
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.jobs.job import CANCELED, Job, end_job, set_status
from ganeti_kernel.jobs.opcodes import Opcode, decode_opcode
from ganeti_kernel.jobs.queue import JobQueue
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.specs.store import Change, Compare, Put, Store
from ganeti_kernel.store.sqlite import SqliteBackend


class FullDisk:
    """A store that can be told to refuse writing; everything else is the real one's."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.full = False
        self.groups: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def txn_group(
        self, group: Sequence[tuple[Sequence[Compare], Sequence[Change]]]
    ) -> Sequence[int | None]:
        if self.full:
            raise StoreError("cannot write store: database or disk is full")
        self.groups.append(len(group))
        return self._store.txn_group(group)


def open_disk(tmp_path: Path) -> FullDisk:
    backend = SqliteBackend(PluginContext(paths=Paths(tmp_path)))
    path = tmp_path / "store.sqlite"
    return FullDisk(backend.open(f"sqlite://{path}", create=not path.exists()))


def run(tmp_path: Path, body: Callable[[JobQueue, FullDisk], Awaitable[None]]) -> None:
    """Run `body` on a queue read from the store at `tmp_path`."""

    async def main() -> None:
        disk = open_disk(tmp_path)
        committer = Committer(disk)  # type: ignore[arg-type] # a stand-in by delegation
        try:
            queue = JobQueue(committer)
            await queue.load()
            await body(queue, disk)
        finally:
            await committer.close()

    asyncio.run(main())


def op(**fields: Any) -> Opcode:
    return decode_opcode({"OP_ID": "OP_TEST_DELAY", "duration": 1} | fields)


def canceled(job: Job) -> Job:
    return end_job(job, CANCELED, JobQueueError("no more"))


def test_jobs_survive_with_log_and_serial(tmp_path: Path) -> None:
    async def first(queue: JobQueue, _disk: FullDisk) -> None:
        assert await queue.submit([[op()], [op(), op()]]) == [(True, 1), (True, 2)]
        await queue.update(1, lambda job: set_status(job, 0, "waiting"))
        await queue.append_log(1, 0, "message", "hello")
        await queue.append_log(1, 0, "message", "again")
        await queue.update(2, canceled)
        assert await queue.archive(2)
        await queue.set_drain(True)

    async def second(queue: JobQueue, _disk: FullDisk) -> None:
        assert list(queue.jobs) == [1]
        assert queue.get(1).status == "waiting"
        assert [(entry.serial, entry.message) for entry in queue.log_entries(1, 1)] == [
            (2, "again")
        ]
        archived = await queue.find_archived(2)
        assert archived is not None
        assert archived.status == "canceled"
        assert await queue.statuses([1, 2, 3]) == {1: "waiting", 2: "canceled"}
        with pytest.raises(JobQueueDrainError):
            await queue.submit([[op()]])
        assert await queue.submit([[op()]], even_drained=True) == [(True, 3)]
        with pytest.raises(JobLost, match="Job 2 not found"):
            queue.get(2)

    run(tmp_path, first)
    run(tmp_path, second)


def test_full_disk_changes_nothing(tmp_path: Path) -> None:
    async def body(queue: JobQueue, disk: FullDisk) -> None:
        await queue.submit([[op()]])
        disk.full = True
        for attempt in (
            lambda: queue.submit([[op()]]),
            lambda: queue.update(1, lambda job: set_status(job, 0, "running")),
            lambda: queue.append_log(1, 0, "message", "lost"),
            lambda: queue.set_drain(True),
        ):
            with pytest.raises(StoreError, match="full"):
                await attempt()
        assert list(queue.jobs) == [1]
        assert queue.get(1).status == "queued"
        assert queue.log_entries(1) == []
        assert not queue.drained
        disk.full = False
        ((ok, job_id),) = await queue.submit([[op()]])
        assert ok
        assert job_id not in (1, 0)

    run(tmp_path, body)


def test_concurrent_submissions_share_commits(tmp_path: Path) -> None:
    async def body(queue: JobQueue, disk: FullDisk) -> None:
        answers = await asyncio.gather(*(queue.submit([[op()]]) for _ in range(200)))
        assert sorted(job_id for ((_ok, job_id),) in answers) == list(range(1, 201))
        assert len(disk.groups) < 20, "one wait for the disk for many"
        assert sum(disk.groups) == 200

    run(tmp_path, body)


def test_relative_dependencies_and_places_of_refused_jobs(tmp_path: Path) -> None:
    async def body(queue: JobQueue, _disk: FullDisk) -> None:
        answers = await queue.submit(
            [
                [op()],
                [],
                [op(depends=[[-2, []]])],
                [op(depends=[[-2, []]])],
                [op(depends=[[0, []]])],
            ]
        )
        assert answers == [
            (True, 1),
            (False, "a job needs at least one opcode"),
            (True, 2),
            (False, "the job that dependency -2 means was not taken"),
            (False, "0 is no job id"),
        ]
        assert queue.get(2).ops[0].input["depends"] == [[1, []]]

    run(tmp_path, body)


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(queue: JobQueue, _disk: FullDisk) -> None:
        ((ok, text),) = await queue.submit([[op(comment="x" * (600 << 10))]])
        assert not ok
        assert "bytes" in str(text)
        monkeypatch.setattr(queue_module, "MAX_JOBS", 1)
        one, (ok, text) = await queue.submit([[op()], [op()]])
        assert one == (True, 1)
        assert (ok, text) == (False, "Job queue has 1 jobs and is full; archive some")
        await queue.append_log(1, 0, "message", "y" * (1 << 20))
        (entry,) = queue.log_entries(1)
        assert len(entry.message) < 64 << 10

    run(tmp_path, body)


def test_secrets_are_not_stored(tmp_path: Path) -> None:
    async def body(queue: JobQueue, _disk: FullDisk) -> None:
        secret = {"OP_ID": "OP_TEST_OS_PARAMS", "osparams_secret": {"password": "hunter2"}}
        await queue.submit([[decode_opcode(secret)]])
        assert queue.secrets == {1: {0: {"password": "hunter2"}}}

    run(tmp_path, body)
    assert b"hunter2" not in b"".join(path.read_bytes() for path in tmp_path.glob("store*"))


def test_reason_trail_gets_the_jobs_own_entry(tmp_path: Path) -> None:
    async def body(queue: JobQueue, _disk: FullDisk) -> None:
        await queue.submit([[op(reason=[["gnt:user", "why", 5]])]])
        trail = queue.get(1).ops[0].input["reason"]
        assert tuple(trail[0]) == ("gnt:user", "why", 5)
        assert trail[1][:2] == ["gnt:opcode:test_delay", "job=1;index=0"]

    run(tmp_path, body)


def test_waiters_hear_of_a_change(tmp_path: Path) -> None:
    async def body(queue: JobQueue, _disk: FullDisk) -> None:
        await queue.submit([[op()]])
        waiter = asyncio.create_task(queue.wait_change(1, 60))
        await asyncio.sleep(0)
        await queue.append_log(1, 0, "message", "news")
        await asyncio.wait_for(waiter, 60)
        await queue.wait_change(1, 0.01)

    run(tmp_path, body)


def test_unreadable_record_is_named(tmp_path: Path) -> None:
    async def body(queue: JobQueue, _disk: FullDisk) -> None:
        await queue.submit([[op()]])

    run(tmp_path, body)
    store = open_disk(tmp_path)._store
    entry = store.get("jobs/0000000001")
    assert entry is not None
    store.txn([], [Put(entry.key, entry.value[:-5])])
    store.close()

    async def never(_queue: JobQueue, _disk: FullDisk) -> None:
        raise AssertionError

    with pytest.raises(StoreError, match="jobs/0000000001 in the store cannot be read"):
        run(tmp_path, never)
