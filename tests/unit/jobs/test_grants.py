"""Waiting for locks: what is granted is on disk; picking what is free; giving back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ganeti_kernel.errors import JobCanceled, LockError, OpPrereqError
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.jobs.grants import PICK_PATIENCE, Grants
from ganeti_kernel.jobs.opcodes import decode_opcode
from ganeti_kernel.jobs.operation import Lock, Pick
from ganeti_kernel.jobs.queue import JobQueue
from tests.simulation.clock import MemoryStore, VirtualLoop

OPERATION = decode_opcode({"OP_ID": "OP_TEST_DELAY", "duration": 0})
NODES = ("a", "b", "c")
ANY = Pick([[Lock("node", name), Lock("node-res", name, exclusive=True)] for name in NODES])


def used(name: str) -> list[Lock]:
    return [Lock("node-res", name, exclusive=True)]


def instance(name: str) -> list[Lock]:
    return [Lock("instance", name, exclusive=True)]


def run(body: Callable[[Grants, JobQueue], Awaitable[None]]) -> None:
    """Run `body` with five queued jobs, in virtual time."""

    async def main() -> None:
        queue = JobQueue(Committer(MemoryStore()))
        await queue.submit([[OPERATION]] * 5)
        await body(Grants(queue), queue)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def test_what_is_granted_is_in_the_record() -> None:
    async def body(grants: Grants, queue: JobQueue) -> None:
        assert await grants.acquire(1, 0, used("a")) == used("a")
        assert queue.get(1).held == used("a")
        assert queue.get(1).status == "waiting"
        await grants.release(1)
        assert queue.get(1).held == []

    run(body)


def test_busy_nodes_are_left_out() -> None:
    async def body(grants: Grants, queue: JobQueue) -> None:
        await grants.acquire(1, 0, used("b"))
        held = await grants.acquire(2, 0, instance("i"), ANY)
        assert {lock.name for lock in held if lock.level == "node-res"} == {"a", "c"}
        assert await grants.acquire(2, 0, instance("i"), ANY) == held, "asked again after a crash"

    run(body)


def test_it_waits_a_while_for_a_node_then_says_who_is_in_the_way() -> None:
    async def body(grants: Grants, queue: JobQueue) -> None:
        loop = asyncio.get_running_loop()
        for job_id, name in enumerate(NODES, 1):
            await grants.acquire(job_id, 0, used(name))
        began = loop.time()
        with pytest.raises(OpPrereqError, match=r"jobs 1, 2, 3 use them") as caught:
            await grants.acquire(4, 0, instance("i"), ANY)
        assert caught.value.args[1] == "temp_insufficient_resources"
        assert PICK_PATIENCE <= loop.time() - began < PICK_PATIENCE + 1
        waiting = asyncio.create_task(grants.acquire(5, 0, instance("i"), ANY))
        await asyncio.sleep(PICK_PATIENCE / 2)
        await grants.release(2)
        assert {lock.name for lock in await waiting if lock.level == "node"} == {"b"}

    run(body)


def test_for_what_it_must_have_it_waits_without_end() -> None:
    async def body(grants: Grants, queue: JobQueue) -> None:
        await grants.acquire(1, 0, instance("i"))
        waiting = asyncio.create_task(grants.acquire(2, 0, instance("i"), ANY))
        await asyncio.sleep(10 * PICK_PATIENCE)
        assert not waiting.done()
        await grants.release(1)
        assert len(await waiting) == 1 + 2 * len(NODES)

    run(body)


def test_locks_that_are_given_back_serve_others() -> None:
    async def body(grants: Grants, queue: JobQueue) -> None:
        held = await grants.acquire(1, 0, instance("i"), ANY)
        waiting = asyncio.create_task(grants.acquire(2, 0, used("c")))
        await asyncio.sleep(1)
        keep = [lock for lock in held if lock.name in ("i", "a")]
        await grants.narrow(1, keep)
        assert await waiting == used("c")
        assert queue.get(1).held == sorted(keep)
        with pytest.raises(LockError, match="does not hold"):
            await grants.narrow(1, used("c"))

    run(body)


def test_a_cancel_ends_the_waiting() -> None:
    async def body(grants: Grants, queue: JobQueue) -> None:
        await grants.acquire(1, 0, used("a"))
        waiting = asyncio.create_task(grants.acquire(2, 0, used("a")))
        await asyncio.sleep(1)
        assert grants.interrupt(2, JobCanceled("no"))
        with pytest.raises(JobCanceled):
            await waiting
        assert not grants.locks.is_waiting(2)
        assert not grants.interrupt(2, JobCanceled("no"))

    run(body)


def test_asking_again_ends_the_first_question() -> None:
    async def body(grants: Grants, queue: JobQueue) -> None:
        await grants.acquire(1, 0, used("a"))
        first: asyncio.Task[Any] = asyncio.create_task(grants.acquire(2, 0, used("a")))
        await asyncio.sleep(1)
        second = asyncio.create_task(grants.acquire(2, 0, used("a")))
        await asyncio.wait([first])
        assert "asked again" in str(first.exception())
        await grants.release(1)
        assert await second == used("a")

    run(body)
