"""The master daemon's side of job processes: keeps a warm parent running, asks it for forks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from typing import Final, Protocol

import msgspec

from ganeti_kernel.errors import JobQueueError
from ganeti_kernel.jobs.runner import JobStart
from ganeti_kernel.jobs.warm import WarmSpec
from ganeti_kernel.paths import ROOT_VARIABLE, Paths

log = logging.getLogger(__name__)

RESTART_DELAY: Final = (0.05, 5.0)
"""Seconds before a lost warm parent is started again: usually, and at most when it fails."""

START_SECONDS: Final = 30.0
"""How long the first warm parent may take to import everything."""


class ProcessEvents(Protocol):
    """Who wants to know what becomes of job processes. Called in the event loop."""

    def started(self, job_id: int, pid: int) -> None:
        """A process for the job was forked."""

    def held(self, job_id: int) -> None:
        """A process for the job lives already and will connect."""

    def exited(self, job_id: int, pid: int, how: str) -> None:
        """A job's process ended."""

    def parent_lost(self) -> None:
        """The warm parent died; requests it had not answered will be sent again."""


class JobProcesses:
    """Keeps one warm parent alive."""

    def __init__(self, paths: Paths, spec: WarmSpec, events: ProcessEvents) -> None:
        self._paths = paths
        self._spec = spec
        self._events = events
        self._asked: dict[int, JobStart] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self.pid: int | None = None

    async def start(self) -> None:
        """Start the warm parent; returns when it can fork.

        Raises JobQueueError when it does not start: a module of operations cannot be imported.
        """
        self._task = asyncio.create_task(self._keep())
        waiting = asyncio.create_task(self._ready.wait())
        done, _ = await asyncio.wait([waiting], timeout=START_SECONDS)
        if not done:
            waiting.cancel()
            await self.stop()
            raise JobQueueError("job processes cannot be started; the log has the reason")

    async def stop(self) -> None:
        """End the warm parent; job processes live on."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def fork(self, start: JobStart) -> None:
        """Ask for a process; the answer comes as an event."""
        self._asked[start.job] = start
        self._send(start)

    def _send(self, start: JobStart) -> None:
        if self._writer is not None:
            self._writer.write(msgspec.json.encode(start) + b"\n")

    async def _keep(self) -> None:
        delay, longest = RESTART_DELAY
        while True:
            self._ready.clear()
            try:
                await self._run_parent()
            except OSError as error:  # no memory, no process: jobs wait, they are not lost
                log.error("the parent of job processes cannot be started: %s", error)
            if self._ready.is_set():  # it had worked; one that cannot even start must not spin
                delay = RESTART_DELAY[0]
            log.warning("the parent of job processes died; starting another")
            self._events.parent_lost()
            await asyncio.sleep(delay)
            delay = min(longest, delay * 2)

    async def _run_parent(self) -> None:
        with contextlib.ExitStack() as undo:
            await self._serve_parent(undo)

    async def _serve_parent(self, undo: contextlib.ExitStack) -> None:
        ours, theirs = socket.socketpair()
        undo.enter_context(ours)
        environment = dict(os.environ)
        environment[ROOT_VARIABLE] = str(self._paths.root)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "ganeti_kernel.jobs.warm",
                str(theirs.fileno()),
                msgspec.json.encode(self._spec).decode(),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        self.pid = process.pid
        reader, self._writer = await asyncio.open_connection(sock=ours)
        try:
            for start in self._asked.values():
                self._send(start)
            while line := await reader.readline():
                self._dispatch(json.loads(line))
        except (ConnectionError, ValueError) as error:
            log.warning("the parent of job processes: %s", error)
        finally:
            self._writer.close()
            self._writer = None
            self.pid = None
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            await process.wait()

    def _dispatch(self, event: dict[str, object]) -> None:
        if event["event"] == "ready":
            self._ready.set()
            return
        job_id, pid = int(str(event["job"])), int(str(event.get("pid", 0)))
        if event["event"] == "started":
            self._asked.pop(job_id, None)
            self._events.started(job_id, pid)
        elif event["event"] == "held":
            self._asked.pop(job_id, None)
            self._events.held(job_id)
        elif event["event"] == "exit":
            self._events.exited(job_id, pid, str(event["how"]))
