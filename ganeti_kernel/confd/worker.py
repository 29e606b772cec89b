"""Further processes of the daemon: each has sockets of its own on the same port.

The kernel spreads senders over the sockets (SO_REUSEPORT). A worker is started with its sockets
and a pipe as standard input: one line of settings, then "reload" lines; its end is the worker's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
from typing import Any, Final

import msgspec

from ganeti_kernel.confd.counters import Counters, Memory
from ganeti_kernel.confd.service import Service, Settings
from ganeti_kernel.paths import Paths

log = logging.getLogger(__name__)

RESTART_PAUSE: Final = 1.0
"""Seconds before a worker that died is started again."""

STOP_GRACE: Final = 5.0

_LEVELS: Final = logging.getLevelNamesMapping()


class Workers:
    """Starts worker processes and keeps them alive."""

    def __init__(self, settings: Settings, memory: Memory, port: int, debug: bool) -> None:
        self._settings = settings
        self._memory = memory
        self._port = port
        self._debug = debug
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self, rows: dict[int, list[socket.socket]]) -> None:
        """Start one worker for each row of counters, with its sockets."""
        for row, sockets in rows.items():
            self._keepers.append(asyncio.create_task(self._keep(row, sockets)))

    def reload(self) -> None:
        for process in self._processes.values():
            if process.stdin is not None and not process.stdin.is_closing():
                process.stdin.write(b"reload\n")

    async def stop(self) -> None:
        self._stopping = True
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.close()
        if self._keepers:
            _done, late = await asyncio.wait(self._keepers, timeout=STOP_GRACE)
            for process in self._processes.values():
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            for task in late:
                await task

    async def _keep(self, row: int, sockets: list[socket.socket]) -> None:
        while not self._stopping:
            process = await self._launch(row, sockets)
            self._processes[row] = process
            await _relay(process)
            code = await process.wait()
            del self._processes[row]
            if not self._stopping:
                log.error("worker %d ended (code %d), starting it again", row, code)
                await asyncio.sleep(RESTART_PAUSE)

    async def _launch(self, row: int, sockets: list[socket.socket]) -> asyncio.subprocess.Process:
        descriptors = [sock.fileno() for sock in sockets]
        order = {
            "settings": msgspec.to_builtins(self._settings),
            "row": row,
            "rows": self._memory.rows,
            "memory": self._memory.descriptor,
            "sockets": descriptors,
            "port": self._port,
            "debug": self._debug,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ganeti_kernel.confd.worker",
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(*descriptors, self._memory.descriptor),
        )
        if process.stdin is not None:
            process.stdin.write(json.dumps(order).encode() + b"\n")
        return process


async def _relay(process: asyncio.subprocess.Process) -> None:
    """Put what a worker says into this daemon's log, until it ends: it has no log of its own."""
    assert process.stderr is not None
    while True:
        try:
            line = await process.stderr.readline()
        except ValueError:  # longer than a line may be; what is left of it comes next
            continue
        if not line:
            return
        word, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
        level = _LEVELS.get(word)
        if level is None:
            word, rest, level = "", f"{word} {rest}", logging.ERROR
        log.log(level, "pid=%d %s", process.pid, rest)


async def run(order: dict[str, Any], lines: asyncio.StreamReader) -> None:
    """A worker's life, until its standard input ends."""
    memory = Memory(order["rows"], order["memory"])
    sockets = [socket.socket(fileno=descriptor) for descriptor in order["sockets"]]
    settings = msgspec.convert(order["settings"], Settings)
    counters = Counters(memory, order["row"])
    service = Service(Paths.from_environment(), settings, sockets, counters, order["port"])
    service.start()
    try:
        while await lines.readline():
            service.reload()
    finally:
        service.stop()


async def _main() -> None:
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    order = json.loads(await lines.readline())
    logging.basicConfig(
        level=logging.DEBUG if order["debug"] else logging.INFO,
        format="%(levelname)s %(message)s",  # see _relay
    )
    # the daemon's own process ends its workers, by closing the pipe
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    await run(order, lines)


if __name__ == "__main__":
    asyncio.run(_main())
