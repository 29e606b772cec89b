"""Repeated, overlapping and hanging calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from ganeti_kernel.errors import RemoteError
from ganeti_kernel.rpc.work import Workers

SOON = 0.05


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a hanging call waits for; opened at the end so that no thread is left."""
    event = threading.Event()
    yield event
    event.set()


def within(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 30))


def test_a_repeated_call_joins_the_first(gate: threading.Event) -> None:
    runs = []

    def slow() -> int:
        runs.append(1)
        gate.wait(20)
        return len(runs)

    async def work() -> None:
        workers = Workers()
        calls = [
            asyncio.ensure_future(workers.run("c", slow, deadline=20, join="k")) for _ in range(3)
        ]
        await asyncio.sleep(SOON)
        gate.set()
        assert await asyncio.gather(*calls) == [1, 1, 1]
        assert await workers.run("c", slow, deadline=20, join="k") == 2  # ended: runs again

    within(work)


def test_a_hanging_call_ends_with_an_error_and_the_next_ones_work(gate: threading.Event) -> None:
    runs = []

    def hang() -> str:
        runs.append(1)
        gate.wait(20)
        return "late"

    async def work() -> None:
        workers = Workers()
        with pytest.raises(RemoteError, match=r"c of inst1 did not end within 0\.05 seconds"):
            await workers.run("c", hang, deadline=SOON, join="k", subject="inst1")
        assert await workers.run("d", lambda: 1, deadline=20) == 1
        assert await workers.run("d", lambda: 2, deadline=20, subject="inst2") == 2
        # past its deadline it holds nobody up, and a repetition starts no second thread
        assert await workers.run("d", lambda: 3, deadline=20, subject="inst1") == 3
        again = asyncio.ensure_future(workers.run("c", hang, deadline=20, join="k"))
        await asyncio.sleep(SOON)
        gate.set()
        assert await again == "late"
        assert len(runs) == 1
        assert await workers.drain(20) == 0

    within(work)


def test_a_reading_call_joins_only_what_hangs(gate: threading.Event) -> None:
    runs = []

    def read() -> int:
        runs.append(1)
        gate.wait(20)
        return len(runs)

    async def work() -> None:
        workers = Workers()
        options: dict[str, Any] = {"join": "k", "join_late_only": True}
        first = [
            asyncio.ensure_future(workers.run("r", read, deadline=SOON, **options))
            for _ in range(2)
        ]
        await asyncio.gather(*first, return_exceptions=True)
        assert len(runs) == 2  # at the same time: each its own
        late = asyncio.ensure_future(workers.run("r", read, deadline=20, **options))
        await asyncio.sleep(SOON)
        gate.set()
        await late
        assert len(runs) == 2

    within(work)


def test_calls_on_one_subject_run_in_order(gate: threading.Event) -> None:
    order = []

    def first() -> None:
        gate.wait(20)
        order.append("first")

    async def work() -> None:
        workers = Workers()
        one = asyncio.ensure_future(workers.run("a", first, deadline=20, subject="i"))
        await asyncio.sleep(0)
        two = asyncio.ensure_future(
            workers.run("b", lambda: order.append("second"), deadline=20, subject="i")
        )
        await workers.run("c", lambda: order.append("other"), deadline=20, subject="j")
        gate.set()
        await asyncio.gather(one, two)
        assert order == ["other", "first", "second"]

    within(work)


def test_a_call_that_never_gets_its_turn_says_for_whom_it_waited(gate: threading.Event) -> None:
    async def work() -> None:
        workers = Workers()
        one = asyncio.ensure_future(
            workers.run("os_create", lambda: gate.wait(20), deadline=20, subject="inst1")
        )
        await asyncio.sleep(0)
        waiting = [
            asyncio.ensure_future(
                workers.run("disk_remove", lambda: None, deadline=SOON, subject="inst1")
            )
            for _ in range(2)
        ]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        text = "disk_remove of inst1 did not start within 0.05 seconds: os_create of inst1"
        assert [str(item) for item in results] == [f"{text} is still running on this node"] * 2
        assert not one.done()
        gate.set()
        await one

    within(work)


def test_too_many_calls_are_refused_not_queued(gate: threading.Event) -> None:
    async def work() -> None:
        workers = Workers(limit=1)
        one = asyncio.ensure_future(workers.run("slow", lambda: gate.wait(20), deadline=20))
        await asyncio.sleep(0)
        with pytest.raises(RemoteError, match="busy with 1 calls, the oldest slow since 0 seconds"):
            await workers.run("d", lambda: None, deadline=20)
        gate.set()
        await one

    within(work)


def test_whatever_a_function_raises_is_the_calls_answer() -> None:
    def leave() -> None:
        raise SystemExit(3)

    def late() -> None:
        raise TimeoutError("inside")

    def stop() -> None:
        next(iter(()))

    async def work() -> None:
        workers = Workers()
        with pytest.raises(RuntimeError, match=r"SystemExit\(3\)"):
            await workers.run("c", leave, deadline=20)
        with pytest.raises(TimeoutError, match="inside"):
            await workers.run("c", late, deadline=20)
        with pytest.raises(RuntimeError, match=r"StopIteration\(\)"):
            await workers.run("c", stop, deadline=20)

    within(work)


def test_a_node_that_can_have_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def work() -> None:
        workers = Workers()
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RemoteError, match="cannot begin c: can't start new thread"):
            await workers.run("c", lambda: 1, deadline=20, join="k")
        monkeypatch.undo()
        assert await workers.run("c", lambda: 2, deadline=20, join="k") == 2

    within(work)
