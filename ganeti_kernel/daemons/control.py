"""Starting and stopping this node's daemons by their pid files; no service manager is needed."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from ganeti_kernel.config.ssconf import read_ssconf
from ganeti_kernel.errors import CommandError, ConfigurationError
from ganeti_kernel.paths import Paths, host_name

NODE_DAEMONS: Final = ("ganeti-noded", "ganeti-confd", "ganeti-mond")
"""Daemons of every node, in the order in which they start."""

MASTER_DAEMONS: Final = ("ganeti-masterd",)

START_TIMEOUT: Final = 120.0
"""Longer than a starting master waits for enough nodes to answer."""

STOP_TIMEOUT: Final = 30.0


def arguments(paths: Paths, name: str) -> list[str]:
    """Options an administrator gives a daemon: `NODED_ARGS="-b ADDRESS"` for ganeti-noded.

    Source: `/etc/default/ganeti` of upstream's Debian packages. Raises CommandError for a line
    that cannot be read.
    """
    key = name.removeprefix("ganeti-").upper() + "_ARGS"
    try:
        text = paths.under("/etc/default/ganeti").read_text()
    except FileNotFoundError:
        return []
    for line in text.splitlines():
        found, equals, value = line.strip().partition("=")
        if equals and found == key:
            try:
                return shlex.split(shlex.split(value)[0]) if value else []
            except (ValueError, IndexError):
                raise CommandError(f"/etc/default/ganeti: cannot read {line!r}") from None
    return []


def program(name: str) -> str:
    """The program of a daemon: beside this Python, or on the search path."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise CommandError(f"{name} is not installed: it is neither in {beside.parent} nor in PATH")
    return found


def pid_of(paths: Paths, name: str) -> int | None:
    """The process of a running daemon, None when it does not run."""
    try:
        text = (paths.run_dir / f"{name}.pid").read_text().strip()
    except OSError:
        return None
    if not text.isdigit() or not _is_daemon(int(text), name):
        return None
    return int(text)


def _is_daemon(pid: int, name: str) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return name.encode() in command


def start(paths: Paths, name: str, options: Sequence[str] = ()) -> None:
    """Start a daemon unless it runs; returns when it serves. `options` go behind the node's own.

    Raises CommandError with the daemon's own words.
    """
    if pid_of(paths, name) is not None:
        return
    try:
        done = subprocess.run(
            [program(name), *arguments(paths, name), *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=START_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandError(f"{name} was not ready within {START_TIMEOUT:g} seconds") from None
    if done.returncode:
        text = done.stderr.decode("utf-8", "replace").strip()
        raise CommandError(text or f"{name} ended with exit code {done.returncode}")


def start_all(paths: Paths) -> list[str]:
    """Start what belongs on this node, at the same time; returns the daemons' names."""
    names = [NODE_DAEMONS[0], *(MASTER_DAEMONS if is_master(paths) else ()), *NODE_DAEMONS[1:]]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: start(paths, name), names))
    return names


def stop_all(paths: Paths) -> None:
    """Stop every daemon of this node, the master's first."""
    for name in (*MASTER_DAEMONS, *reversed(NODE_DAEMONS)):
        stop(paths, name)


def is_master(paths: Paths) -> bool:
    """Say whether this node is the master, as far as it knows."""
    try:
        return read_ssconf(paths, "master_node") == host_name()
    except ConfigurationError:
        return False


def stop(paths: Paths, name: str) -> None:
    """Stop a daemon and wait until it is gone; one that does not run is no error."""
    pid = pid_of(paths, name)
    if pid is None:
        return
    for sign, patience in ((signal.SIGTERM, STOP_TIMEOUT), (signal.SIGKILL, STOP_TIMEOUT)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not _is_daemon(pid, name):
                return
            time.sleep(0.02)
    raise CommandError(f"{name} (process {pid}) does not end")
