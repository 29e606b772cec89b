"""The warm parent: a process that has imported everything and forks job processes on request.

It is a program of its own (`python -m ganeti_kernel.jobs.warm FD SPEC`) and not a fork of the
master daemon, so that the daemon can have threads and an event loop. Requests and events are JSON
lines on the socket `FD`: `{"job", "recover", "reason"}` comes in; `{"event": "ready"}`,
`{"event": "started", "job", "pid"}`, `{"event": "held", "job"}` (a process for that job lives
already) and `{"event": "exit", "job", "pid", "how"}` go out. When the socket closes it ends; its
children live on and connect to the next master daemon.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ganeti_kernel.config import datafile
from ganeti_kernel.errors import GenericError
from ganeti_kernel.jobs.configuration import HISTORY
from ganeti_kernel.jobs.livelock import livelock_path, take
from ganeti_kernel.jobs.runner import JobStart, run_job
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.paths import Paths

HELD_RETRIES: Final = 50
"""Times 10 ms to wait for a dead process's lock to go before a fork."""

MAX_BEHIND: Final = HISTORY // 2
"""Serial numbers that the configuration kept here may be behind the newest."""


class WarmSpec(msgspec.Struct, frozen=True):
    """What the warm parent has to know: modules whose import registers operations and steps, and
    `module:function` that makes a NodeCalls from Paths."""

    imports: list[str]
    node_calls: str


def load_factory(name: str) -> Callable[[Paths], Any]:
    """`module:attribute` -> the attribute."""
    module, _, attribute = name.partition(":")
    factory: Callable[[Paths], Any] = getattr(importlib.import_module(module), attribute)
    return factory


class WarmParent:
    """The loop of the warm parent."""

    def __init__(self, line: socket.socket, spec: WarmSpec, paths: Paths) -> None:
        self._line = line
        self._paths = paths
        self._children: dict[int, int] = {}
        for module in spec.imports:
            importlib.import_module(module)
        self._factory = load_factory(spec.node_calls)
        self._view: ConfigView | None = None
        self._look_at_configuration()

    def serve(self) -> None:
        """Fork on request until the master daemon's end of the line closes."""
        wake_reader, wake_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._tell({"event": "ready"})
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._line, selectors.EVENT_READ)
            selector.register(wake_reader, selectors.EVENT_READ)
            while True:
                for key, _mask in selector.select():
                    if key.fd == wake_reader:
                        os.read(wake_reader, 4096)
                        self._reap()
                        continue
                    data = self._line.recv(65536)
                    if not data:
                        return
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self._start(msgspec.json.decode(line, type=JobStart))

    def _look_at_configuration(self) -> None:
        """Read this node's copy, so that job processes need to ask only for what changed since."""
        with contextlib.suppress(GenericError):  # they ask for the whole then
            self._view = datafile.load(self._paths.config_file)
        gc.collect()
        gc.freeze()  # children share these objects; the collector would copy their pages

    def _start(self, start: JobStart) -> None:
        if self._view is None or start.serial - self._view.serial_no > MAX_BEHIND:
            self._look_at_configuration()
        path = livelock_path(self._paths, start.job)
        lock = take(path)
        attempts = 0
        while lock is None and start.recover and attempts < HELD_RETRIES:
            signal.sigtimedwait([], 0.01)
            lock, attempts = take(path), attempts + 1
        if lock is None:
            self._tell({"event": "held", "job": start.job})
            return
        pid = os.fork()
        if pid == 0:
            self._become_job(start, lock)
        os.close(lock)
        self._children[pid] = start.job
        self._tell({"event": "started", "job": start.job, "pid": pid})

    def _become_job(self, start: JobStart, lock: int) -> None:
        """In the child: run the job and never return."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self._line.close()
            os.setsid()
            os.set_inheritable(lock, False)
            code = run_job(start, self._paths, self._factory, self._view)
        except BaseException:  # nothing may get back into the parent's loop
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            job = self._children.pop(pid, None)
            code = os.waitstatus_to_exitcode(status)
            how = f"exit code {code}" if code >= 0 else f"signal {-code}"
            if job is not None:
                self._tell({"event": "exit", "job": job, "pid": pid, "how": how})

    def _tell(self, event: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the master daemon is gone; the next recv says so
            self._line.sendall(json.dumps(event).encode() + b"\n")


def main() -> None:
    line = socket.socket(fileno=int(sys.argv[1]))
    spec = msgspec.json.decode(sys.argv[2], type=WarmSpec)
    # the master daemon decides when this process ends, not a terminal's Ctrl-C
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    WarmParent(line, spec, Paths.from_environment()).serve()


if __name__ == "__main__":
    main()
