"""Following a file that others replace: inotify where it works, polling always.

The file's directory is watched, not the file: a file written by rename is another file each
time. A change is recognised by the file's identity (device, inode, time, size), so that a
notification too many costs one stat and a missed one (network file systems) a short delay.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from ganeti_kernel.config import datafile
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.objects.view import ConfigView

log = logging.getLogger(__name__)

RELOAD_GAP: Final = 0.25
"""Seconds between two readings of a file that changes all the time (upstream 3.0)."""

POLL_BLIND: Final = 0.25
"""Seconds between looks while the directory cannot be watched (upstream 3.0)."""

POLL_WATCHED: Final = 5.0
"""Seconds between looks in case a notification was lost (upstream 3.0: 17)."""

_IN_CLOSE_WRITE, _IN_MOVED_TO, _IN_CREATE, _IN_DELETE, _IN_DELETE_SELF, _IN_MOVE_SELF = (
    0x8, 0x80, 0x100, 0x200, 0x400, 0x800,
)  # fmt: skip
_EVENTS: Final = (
    _IN_CLOSE_WRITE | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE | _IN_DELETE_SELF | _IN_MOVE_SELF
)


class ConfigSource(Protocol):
    """Where a reader's configuration comes from, and how it learns of changes."""

    def start(self, changed: Callable[[ConfigView], None]) -> None:
        """Begin to follow; `changed` is called in the running event loop, at once if the source
        can be read, then after each change. A source that cannot be read is no error: see
        `problem`."""

    def refresh(self) -> None:
        """Read anew even if nothing seems to have changed."""

    def stop(self) -> None:
        """Release everything."""

    @property
    def cpu_seconds(self) -> float:
        """What the last successful reading cost."""

    @property
    def problem(self) -> str:
        """Why the last reading failed, "" when it did not. The last good view stays valid."""


class DataFile:
    """The ConfigSource of a `config.data`."""

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes, str], ConfigView] = datafile.parse,
        failed: Callable[[str], None] = lambda _problem: None,
    ) -> None:
        """`failed(problem)` is called for each reading that fails."""
        self.path = path
        self.problem = ""
        self.cpu_seconds = 0.0
        self._parse = parse
        self._failed = failed
        self._changed: Callable[[ConfigView], None] = lambda _view: None
        self._identity: tuple[int, ...] | None = None
        self._read_at = 0.0
        self._watch: Watch | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.TimerHandle | None = None

    def start(self, changed: Callable[[ConfigView], None]) -> None:
        self._changed = changed
        self._look()
        self._poll()

    def stop(self) -> None:
        for timer in (self._timer, self._soon):
            if timer is not None:
                timer.cancel()
        self._unwatch()

    def refresh(self) -> None:
        self._identity = None
        self._look()

    def _poll(self) -> None:
        if self._watch is None:
            self._watch = Watch.on(self.path.parent)
            if self._watch is not None:
                loop = asyncio.get_running_loop()
                loop.add_reader(self._watch.descriptor, self._notified)
        self._look()
        pause = POLL_BLIND if self._watch is None else POLL_WATCHED
        self._timer = asyncio.get_running_loop().call_later(pause, self._poll)

    def _notified(self) -> None:
        if self._watch is not None and not self._watch.drain():
            self._unwatch()
        self._look()

    def _unwatch(self) -> None:
        if self._watch is not None:
            with contextlib.suppress(RuntimeError):  # the loop may be closed already
                asyncio.get_running_loop().remove_reader(self._watch.descriptor)
            self._watch.close()
            self._watch = None

    def _look(self) -> None:
        """Read the file if it is another one than last time, but not too often."""
        try:
            with open(self.path, "rb") as stream:
                identity = _identity(stream.fileno())
                if identity == self._identity:
                    return
                wait = self._read_at + RELOAD_GAP - time.monotonic()
                if wait > 0 and self._identity is not None:
                    self._later(wait)
                    return
                self._identity, self._read_at = identity, time.monotonic()
                data = datafile.read_open(stream.fileno(), self.path)
        except FileNotFoundError:
            self._fail(f"{self.path} does not exist; only master candidates hold a copy of it")
            return
        except (OSError, ConfigurationError) as error:
            self._fail(str(error))
            return
        self._read(data)

    def _read(self, data: bytes) -> None:
        before = time.process_time()
        try:
            view = self._parse(data, str(self.path))
        except ConfigurationError as error:
            self._fail(str(error))
            return
        self.cpu_seconds = time.process_time() - before
        if self.problem:
            log.info("%s is readable again", self.path)
        self.problem = ""
        self._changed(view)

    def _later(self, wait: float) -> None:
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(wait, self._look_again)

    def _look_again(self) -> None:
        self._soon = None
        self._look()

    def _fail(self, problem: str) -> None:
        if problem != self.problem:
            log.error("%s; the last good configuration, if any, stays in use", problem)
            self._failed(problem)
        self.problem = problem


class Watch:
    """An inotify descriptor on one directory (the kernel's interface, no library needed)."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def on(cls, directory: Path) -> Watch | None:
        """Watch a directory; None when that cannot be done."""
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            return None
        if libc.inotify_add_watch(descriptor, os.fsencode(directory), _EVENTS) < 0:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def drain(self) -> bool:
        """Take all notifications; False when the watch has ended (directory gone)."""
        alive = True
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.descriptor, 65536):
                alive = alive and not _ended(data)
        return alive

    def close(self) -> None:
        os.close(self.descriptor)


def _ended(events: bytes) -> bool:
    position = 0
    while position + 16 <= len(events):
        mask = int.from_bytes(events[position + 4 : position + 8], "little")
        length = int.from_bytes(events[position + 12 : position + 16], "little")
        if mask & (0x8000 | _IN_DELETE_SELF | _IN_MOVE_SELF):  # 0x8000: the watch was removed
            return True
        position += 16 + length
    return False


def _identity(descriptor: int) -> tuple[int, ...]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
