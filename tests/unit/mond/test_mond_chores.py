"""The daemon's chores go on whatever happens to one turn of them."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ganeti_kernel.mond import processes, service, settings
from ganeti_kernel.mond.channel import Process
from ganeti_kernel.mond.service import Options, Service
from ganeti_kernel.specs.collector import Collector

PR_SET_NAME = 15


class Nothing:
    """A catalogue without collectors."""

    def installed(self) -> list[str]:
        return []

    offered = installed

    def load(self, name: str) -> Collector:
        raise KeyError(name)

    def rescan(self) -> None:
        pass


@pytest.mark.parametrize(
    ("chore", "turn", "asynchronous"),
    [
        ("_keep_sweeping", "_sweep", False),
        ("_keep_looking", "_names", True),
        ("_keep_asking", "_ask_settings", True),
    ],
)
def test_a_chore_outlives_an_error(
    chore: str,
    turn: str,
    asynchronous: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for holder, name in (
        (service, "SWEEP_INTERVAL"),
        (service, "LOOK_INTERVAL"),
        (settings, "POLL_INTERVAL"),
    ):
        monkeypatch.setattr(holder, name, 0.001)

    async def run() -> None:
        mond = Service(Nothing(), Options(node_name="node1"))
        turns = 0
        again = asyncio.Event()

        def fail() -> list[str]:
            nonlocal turns
            turns += 1
            if turns > 2:
                again.set()
                return []
            raise OSError(errno.EMFILE, "Too many open files")

        async def fail_later() -> list[str]:
            return fail()

        monkeypatch.setattr(mond, turn, fail_later if asynchronous else fail)
        keep: Callable[[], Awaitable[Any]] = getattr(mond, chore)
        task = asyncio.ensure_future(keep())
        await asyncio.wait_for(again.wait(), 10)
        task.cancel()
        if chore == "_keep_asking":
            assert mond._asked.is_set()

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert len(caplog.records) == 2
    assert "OSError: [Errno 24]" in caplog.text


def test_a_process_whose_name_is_no_text() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        ctypes.CDLL(None).prctl(PR_SET_NAME, b"\xff\xfe) x", 0, 0, 0)
        os.write(writer, b".")
        signal.pause()
        os._exit(0)
    try:
        os.read(reader, 1)
        assert child in processes._children()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


def test_a_process_that_cannot_be_watched_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    child = os.fork()
    if not child:
        os.setsid()
        signal.pause()
        os._exit(0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(OSError, match="Too many"):
            Process(child, ours)
        assert ours.fileno() < 0
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
