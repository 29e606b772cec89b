"""The daemon's end of a collector's process: messages with a deadline, its end noticed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Final

from ganeti_kernel.mond import frames, processes

LAST_WORDS: Final = 0.1
"""Seconds to read what a process sent before it ended."""


class Ended(Exception):
    """The process is of no use any more; the text says why."""


class Process:
    """A running collector process and the connection to it."""

    def __init__(
        self, pid: int, sock: socket.socket, ended: Callable[[], object] = lambda: None
    ) -> None:
        """`ended()` is called when the process ends by itself."""
        self.pid = pid
        self._ended = ended
        self._sock = sock
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        # The end of the socket does not tell of the process's end: its children have it too.
        try:
            self._watch = os.pidfd_open(pid)
        except OSError:  # no descriptors left: nobody would end it later
            processes.kill_group(pid)
            sock.close()
            raise
        asyncio.get_running_loop().add_reader(self._watch, self._exited)

    async def receive(self, deadline: float) -> frames.Message:
        """Wait for a message; raises Ended when it does not come in `deadline` seconds."""
        try:
            async with asyncio.timeout(deadline):
                if self._reader is None:
                    self._sock.setblocking(False)
                    self._reader, self._writer = await asyncio.open_unix_connection(sock=self._sock)
                    if self.gone:
                        self._exited()
                return await frames.read_message(self._reader)
        except TimeoutError:
            raise Ended(f"it took longer than {deadline:g} seconds and was ended") from None
        except EOFError:
            for _look in range(20):  # its socket is closed a moment before the process is dead
                if self.gone:
                    break
                await asyncio.sleep(LAST_WORDS / 20)
            raise Ended(f"its process ended{self.how()}") from None
        except frames.Garbled as error:
            raise Ended(f"its process sent rubbish ({error}) and was ended") from None

    def send(self, command: frames.Collect) -> None:
        """Give a command; raises Ended when the process is gone."""
        assert self._writer is not None
        if self.gone:
            raise Ended(f"its process ended{self.how()}")
        self._writer.write(frames.pack(command))

    def _exited(self) -> None:
        """The process ended: what it still sent is read, then waiting has no point."""
        self._unwatch()
        self._ended()
        if self._writer is not None:
            asyncio.get_running_loop().call_later(LAST_WORDS, self._writer.transport.abort)

    def _unwatch(self) -> None:
        if self._watch >= 0:
            asyncio.get_running_loop().remove_reader(self._watch)
            os.close(self._watch)
            self._watch = -1

    def end(self) -> None:
        """Kill the process and what is in its group, without waiting until it is gone."""
        self._unwatch()
        processes.kill_group(self.pid)
        if self._writer is not None:
            self._writer.transport.abort()
        else:
            self._sock.close()

    @property
    def gone(self) -> bool:
        return self._watch < 0

    def how(self) -> str:
        """How the process ended, for a message; it is left for `end` to reap."""
        with contextlib.suppress(ChildProcessError):
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None:
                word = "with exit code" if found.si_code == os.CLD_EXITED else "by signal"
                return f" {word} {found.si_status}"
        return ""
