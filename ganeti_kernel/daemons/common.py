"""What every daemon does the same way: options, logging, pid file, signals, readiness.

A daemon module is thin:

    def main(argv: Sequence[str] | None = None) -> int:
        options = parse_options("ganeti-confd", "Answer queries.", argv, port=CONFD_PORT)
        return run_daemon("ganeti-confd", options, serve)

    async def serve(daemon: Daemon) -> None:
        server = await start_something(daemon.options.bind, daemon.options.port)
        daemon.on_reload(server.reload)
        daemon.ready("serving queries")
        await daemon.stop.wait()
        await server.close()

`run_daemon` returns the process's exit code. In the background (without `-f`) the command returns
only when the daemon called `ready`, or with the daemon's error text when it could not start.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvloop

from ganeti_kernel.constants import EXIT_FAILURE, EXIT_NOT_MASTER, EXIT_SUCCESS
from ganeti_kernel.errors import ConfigurationError, GenericError, MasterReplaced
from ganeti_kernel.paths import Paths
from ganeti_kernel.version import SOFTWARE_VERSION

LOG_FILES: Final = {
    "ganeti-confd": "conf-daemon",
    "ganeti-masterd": "master-daemon",
    "ganeti-mond": "monitoring-daemon",
    "ganeti-noded": "node-daemon",
    "ganeti-rapi": "rapi-daemon",
    "ganeti-watcher": "watcher",
}
"""Daemon -> its log file's name without `.log` (upstream 3.0)."""

STOP_GRACE: Final = 20.0
"""Seconds a daemon has to end by itself after SIGTERM before its main task is cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonOptions:
    """The options all daemons take; `extra` has what the daemon's own parser added."""

    foreground: bool = False
    debug: bool = False
    bind: str | None = None
    port: int | None = None
    user_checks: bool = True
    extra: argparse.Namespace = field(default_factory=argparse.Namespace)


@dataclass(slots=True)
class Daemon:
    """What the main coroutine gets: paths, options, the stop event, `ready`, `on_reload`."""

    name: str
    paths: Paths
    options: DaemonOptions
    stop: asyncio.Event
    _announce: Callable[[str], None]
    _reloaders: list[Callable[[], object]] = field(default_factory=list)

    def ready(self, status: str = "") -> None:
        """Say that the daemon serves: to systemd, to the waiting command, to the log."""
        self._announce(status)

    def on_reload(self, callback: Callable[[], object]) -> None:
        """Have `callback()` called in the event loop on SIGHUP; it must not block."""
        self._reloaders.append(callback)


MainCoroutine = Callable[[Daemon], Awaitable[None]]


def parse_options(
    name: str,
    description: str,
    argv: Sequence[str] | None = None,
    *,
    port: int | None = None,
    bind: str | None = None,
    add: Callable[[argparse.ArgumentParser], None] | None = None,
) -> DaemonOptions:
    """Parse a daemon's command line; `add(parser)` adds options of its own (found in `extra`).

    `port` and `bind` are defaults; a daemon without them does not offer `-p` and `-b`.
    A wrong option ends the process with exit code 2 and one line.
    """
    parser = argparse.ArgumentParser(prog=name, description=description, allow_abbrev=False)
    flag = parser.add_argument
    flag("-f", "--foreground", action="store_true", help="stay attached, log to standard error")
    flag("-d", "--debug", action="store_true", help="log details")
    flag("--no-user-checks", action="store_true", help="run as whatever user this is")
    flag("--version", action="version", version=f"{name} {SOFTWARE_VERSION}")
    if port is not None:
        flag("-p", "--port", type=_port, default=port, help=f"port to serve (default {port})")
        flag("-b", "--bind", metavar="ADDRESS", default=bind, help="address to serve")
    if add is not None:
        add(parser)
    values = parser.parse_args(argv)
    return DaemonOptions(
        foreground=values.foreground,
        debug=values.debug,
        bind=getattr(values, "bind", None),
        port=getattr(values, "port", None),
        user_checks=not values.no_user_checks,
        extra=values,
    )


def run_daemon(
    name: str,
    options: DaemonOptions,
    main: MainCoroutine,
    *,
    paths: Paths | None = None,
    owns_data: bool = True,
) -> int:
    """Run a daemon until SIGTERM or SIGINT and return its exit code.

    A daemon that only reads the cluster's data (`owns_data` false) may run as another user than
    its owner, as confd does under upstream's users.

    An error that the main coroutine raises ends the daemon with exit code 1 and one line on
    standard error and in the log; a defect (anything but GenericError, OSError) leaves its
    traceback in the log only.
    """
    try:
        place = paths or Paths.from_environment()
        if options.user_checks and owns_data:
            check_user(place)
        if options.foreground:
            return _serve(name, options, place, main, lambda _error: None)
        return _in_background(name, options, place, main)
    except (GenericError, OSError, ValueError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return EXIT_FAILURE


def check_user(paths: Paths) -> None:
    """Refuse to run as a user who does not own the cluster's data: files would change owner."""
    try:
        owner = paths.data_dir.stat().st_uid
    except FileNotFoundError:
        return
    if owner != os.geteuid():
        raise ConfigurationError(
            f"{paths.data_dir} belongs to user {owner}, but this process runs as user "
            f"{os.geteuid()}; start it as that user or with --no-user-checks"
        )


def notify(message: str) -> None:
    """Tell the service manager (systemd's notification protocol); silent when there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(message.encode(), address)


def take_pid_file(path: Path) -> int:
    """Write and lock the pid file; the lock lasts as long as the returned descriptor.

    Raises ConfigurationError when another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise ConfigurationError(f"already running as process {other} ({path})") from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                return descriptor
        os.close(descriptor)  # the previous daemon removed the file between our open and lock


def setup_logging(name: str, options: DaemonOptions, paths: Paths) -> Callable[[], None]:
    """Log to standard error in the foreground, else to the daemon's file; returns `reopen`."""
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    handler: logging.Handler
    if options.foreground:
        handler = logging.StreamHandler()
    else:
        paths.log_dir.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(paths.log_dir / f"{LOG_FILES.get(name, name)}.log")
    handler.setFormatter(
        logging.Formatter(f"%(asctime)s: {name} pid=%(process)d %(levelname)s %(message)s")
    )
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if options.debug else logging.INFO)
    # aiohttp tells every request, asyncio every slow callback: only when asked for
    for noisy in ("aiohttp.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.DEBUG if options.debug else logging.WARNING)

    def reopen() -> None:
        if isinstance(handler, logging.FileHandler):
            handler.acquire()
            try:
                handler.close()  # the next record opens the file again, by name
            finally:
                handler.release()

    return reopen


def _port(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0-65535)")
    return value


def _serve(
    name: str,
    options: DaemonOptions,
    paths: Paths,
    main: MainCoroutine,
    started: Callable[[str | None], None],
) -> int:
    """The daemon's life in this process. `started(None)`: it serves; a text: it failed."""
    reopen = setup_logging(name, options, paths)
    log = logging.getLogger(name)
    pid_file = paths.run_dir / f"{name}.pid"
    try:
        lock = take_pid_file(pid_file)
    except (GenericError, OSError) as error:
        started(str(error))
        raise
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_supervise(name, options, paths, main, started, reopen))
        return EXIT_SUCCESS
    except (GenericError, OSError, ValueError) as error:
        log.error("%s", error)
        started(str(error))
        if not options.foreground:
            print(f"{name}: {error}", file=sys.stderr)
        return EXIT_NOT_MASTER if isinstance(error, MasterReplaced) else EXIT_FAILURE
    except Exception as error:  # a defect: the log has where, the user one line
        log.critical("defect: %s", traceback.format_exc())
        started(f"internal error: {type(error).__name__}: {error}")
        return EXIT_FAILURE
    finally:
        pid_file.unlink(missing_ok=True)
        os.close(lock)


async def _supervise(
    name: str,
    options: DaemonOptions,
    paths: Paths,
    main: MainCoroutine,
    started: Callable[[str | None], None],
    reopen: Callable[[], None],
) -> None:
    loop = asyncio.get_running_loop()
    log = logging.getLogger(name)

    def announce(status: str) -> None:
        notify("READY=1" + (f"\nSTATUS={status}" if status else ""))
        log.info("ready%s", f": {status}" if status else "")
        started(None)

    daemon = Daemon(name, paths, options, asyncio.Event(), announce)
    task: asyncio.Future[Any] = asyncio.ensure_future(main(daemon))

    def stop() -> None:
        if daemon.stop.is_set():
            task.cancel()
            return
        log.info("stopping")
        notify("STOPPING=1")
        daemon.stop.set()
        loop.call_later(STOP_GRACE, task.cancel)

    def reload() -> None:
        log.info("reloading")
        notify("RELOADING=1")
        reopen()
        for callback in daemon._reloaders:
            try:
                callback()
            except Exception:  # a bad new setting must not end a serving daemon
                log.exception("reload failed, the old settings stay")
        notify("READY=1")

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        await task
    except asyncio.CancelledError:
        if not daemon.stop.is_set():
            raise
        log.warning("did not stop within %g seconds and was ended", STOP_GRACE)


def _in_background(name: str, options: DaemonOptions, paths: Paths, main: MainCoroutine) -> int:
    """Detach from the terminal; wait for the daemon's first word and pass it on."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        with open(reader, "rb") as pipe:
            answer = pipe.read().decode("utf-8", "replace")
        os.wait()
        if answer == "ok":
            return EXIT_SUCCESS
        print(f"{name}: {answer or 'ended before it was ready; see its log'}", file=sys.stderr)
        return EXIT_FAILURE
    os.close(reader)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    os.umask(0o022)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.close(null)
    pending = [writer]

    def started(error: str | None) -> None:
        while pending:
            descriptor = pending.pop()
            os.write(descriptor, (error or "ok").encode()[:4096])
            os.close(descriptor)

    code = EXIT_FAILURE
    try:
        code = _serve(name, options, paths, main, started)
    except (GenericError, OSError, ValueError) as error:
        started(str(error))
    finally:
        os._exit(code)
