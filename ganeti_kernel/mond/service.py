"""The daemon's rooms put together: collectors, their supervisors, the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ganeti_kernel.mond import exposition, processes, settings, worker
from ganeti_kernel.mond.board import Board
from ganeti_kernel.mond.channel import Ended, Process
from ganeti_kernel.mond.frames import Names
from ganeti_kernel.mond.http import Server
from ganeti_kernel.mond.routes import Routes
from ganeti_kernel.mond.supervisor import Frame, Supervisor
from ganeti_kernel.specs.collector import Collector

log = logging.getLogger(__name__)

SWEEP_INTERVAL: Final = 1.0
LOOK_INTERVAL: Final = 30.0
"""Seconds between two looks at what sources (directories) offer."""
LIST_DEADLINE: Final = 10.0
METRICS_MEMORY: Final = 600.0
"""Seconds after a read of `/metrics` during which reports come with metrics."""
SETTINGS_WAIT: Final = 1.0
"""Seconds the start waits for the cluster's settings; later ones are taken over when they come."""
FIRST_WAIT: Final = 1.0
"""Seconds the start waits for first reports, so that early readers find them."""
REFRESH_LIMIT: Final = 30.0
"""Seconds a request for fresh reports waits; then it gets what there is."""


class Catalogue(Protocol):
    """Which collectors there are and how to load one; the registry, as this room needs it.

    `installed()` must import no plugin. `offered()` (all names, those of sources too) and
    `load(name)` run in forked processes only. `rescan()` looks again at what is installed.
    """

    def installed(self) -> Sequence[str]: ...

    def offered(self) -> Sequence[str]: ...

    def load(self, name: str) -> Collector: ...

    def rescan(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`sweep`: this process has no other children than collectors, so strays may be killed."""

    node_name: str
    address: str | None = None
    port: int = 0
    sweep: bool = False
    verbose: bool = False


class Service:
    """All of mond. `start`, then `reload` as often as wanted, then `stop`."""

    def __init__(
        self, catalogue: Catalogue, options: Options, source: settings.Source | None = None
    ) -> None:
        self.board = Board()
        self.port = options.port
        self._catalogue = catalogue
        self._options = options
        self._source = source
        self._settings: settings.Settings = {}
        self._tasks: dict[str, tuple[Supervisor, asyncio.Task[None]]] = {}
        self._chores: list[asyncio.Task[None]] = []
        self._metrics_read = float("-inf")
        self._started = time.time()
        self._look_again = asyncio.Event()
        self._asked = asyncio.Event()
        self._frame = Frame(
            board=self.board,
            load=catalogue.load,
            metrics_wanted=self._metrics_wanted,
            verbose=options.verbose,
        )
        routes = Routes(self.board, options.node_name, self.refresh, self._want_metrics, self._own)
        self._server = Server(routes.handle, lambda: self.board.version)

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Serve. Raises OSError when the address cannot be had."""
        if self._options.sweep:
            processes.become_subreaper()
        self.port = await self._server.start(self._options.address, self._options.port)
        self._chores = [
            asyncio.ensure_future(chore)
            for chore in (self._keep_asking(), self._keep_sweeping(), self._keep_looking())
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTINGS_WAIT):
                await self._asked.wait()
        self._adjust(await self._names())
        waits = [supervisor.first() for supervisor, _task in self._tasks.values()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_WAIT):
                await asyncio.gather(*waits)

    def reload(self) -> None:
        """Look at what is installed and start every collector anew; they keep their samples."""
        self._catalogue.rescan()
        for supervisor, _task in self._tasks.values():
            supervisor.renew()
        self._look_again.set()

    async def stop(self) -> None:
        await self._server.stop()
        tasks = [*self._chores, *(task for _supervisor, task in self._tasks.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        deadline = time.monotonic() + 1
        while self._frame.buried and time.monotonic() < deadline:
            self._sweep()
            await asyncio.sleep(0.01)
        if self._options.sweep:
            processes.kill_strays(())

    # -- collectors ------------------------------------------------------------------------------

    async def refresh(self, names: Sequence[str] | None) -> None:
        """Have these collectors (None: all) make new reports, side by side."""
        chosen = [
            supervisor
            for name, (supervisor, _task) in self._tasks.items()
            if names is None or name in names
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REFRESH_LIMIT):
                await asyncio.gather(*(supervisor.fresh() for supervisor in chosen))

    async def _names(self) -> Sequence[str]:
        """All collectors' names, asked in a process of its own: sources are strangers' code."""
        catalogue = self._catalogue
        pid, sock = processes.fork(
            lambda theirs: worker.serve_names(theirs, catalogue.offered),
            verbose=self._options.verbose,
        )
        self._frame.buried.add(pid)
        process = Process(pid, sock)
        try:
            answer = await process.receive(LIST_DEADLINE)
            if isinstance(answer, Names):
                return answer.names
            raise Ended("it sent the wrong message")
        except Ended as problem:
            log.warning("cannot list the collectors that sources offer: %s", problem)
            return sorted({*catalogue.installed(), *self._tasks})
        finally:
            process.end()

    def _adjust(self, names: Sequence[str]) -> None:
        """Start keepers of new collectors, stop those of collectors that went away."""
        for name in sorted(set(self._tasks) - set(names)):
            log.info("collector %s went away", name)
            self._tasks.pop(name)[1].cancel()
            self.board.remove(name)
        for name in sorted(set(names) - set(self._tasks)):
            log.info("collector %s found", name)
            supervisor = Supervisor(name, self._frame)
            supervisor.apply(self._settings.get(name, settings.DEFAULT))
            self._tasks[name] = supervisor, asyncio.ensure_future(supervisor.run())

    # -- chores ----------------------------------------------------------------------------------

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            try:
                self._sweep()
            except Exception:  # here and below: a chore that ends would not be missed until late
                log.exception("cannot sweep up dead collectors' processes")

    def _sweep(self) -> None:
        """Reap what was killed; when there was something, look for what it left behind."""
        buried = bool(self._frame.buried)
        processes.reap(self._frame.buried)
        if buried and self._options.sweep:
            living = {
                supervisor.pid for supervisor, _task in self._tasks.values() if supervisor.pid
            }
            processes.kill_strays(living | self._frame.buried)

    async def _keep_looking(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_INTERVAL):
                    await self._look_again.wait()
            self._look_again.clear()
            try:
                self._adjust(await self._names())
            except Exception:
                log.exception("cannot look at which collectors there are")

    async def _keep_asking(self) -> None:
        while True:
            try:
                await self._ask_settings()
            except Exception:
                log.exception("cannot take over the cluster's settings of collectors")
            self._asked.set()
            await asyncio.sleep(settings.POLL_INTERVAL)

    async def _ask_settings(self) -> None:
        """Take over what the cluster says; without an answer the last one holds."""
        answer = None if self._source is None else await self._source()
        if answer is None:
            return
        self._settings = settings.parse_settings(answer)
        for name, (supervisor, _task) in self._tasks.items():
            supervisor.apply(self._settings.get(name, settings.DEFAULT))

    # -- metrics ---------------------------------------------------------------------------------

    def _metrics_wanted(self) -> bool:
        return time.monotonic() - self._metrics_read < METRICS_MEMORY

    def _want_metrics(self) -> bool:
        """Note that metrics are read; say whether all active collectors have some."""
        self._metrics_read = time.monotonic()
        return all(item.metrics is not None for item in self.board if item.serves)

    def _own(self) -> exposition.Own:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return exposition.Own(
            started=self._started,
            requests=self._server.requests,
            connections=len(self._server.connections),
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            resident_bytes=pages * resource.getpagesize(),
            open_files=len(processes.open_descriptors()),
        )
