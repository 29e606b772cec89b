"""Starting and stopping this node's daemons by their pid files; no service manager is needed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ganeti_kernel.errors import CommandError
from ganeti_kernel.paths import ROOT_VARIABLE, Paths

NODE_DAEMONS: Final = ("ganeti-noded", "ganeti-confd", "ganeti-mond")
"""Daemons of every node, in the order in which they start."""

MASTER_DAEMONS: Final = ("ganeti-masterd",)

START_TIMEOUT: Final = 60.0
STOP_TIMEOUT: Final = 30.0


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


def start(
    paths: Paths,
    name: str,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    wrapper: Sequence[str] = (),
) -> None:
    """Start a daemon unless it runs; returns when it serves.

    `wrapper` is put before the command (to enter a network namespace, say). Raises CommandError
    with the daemon's own words.
    """
    if pid_of(paths, name) is not None:
        return
    env = dict(os.environ) | dict(environment or {})
    if paths.root != Path("/"):
        env[ROOT_VARIABLE] = str(paths.root)
    try:
        done = subprocess.run(
            [*wrapper, program(name), *options],
            env=env,
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
