"""Restricted commands: what an administrator allows the master to run on this node.

Off until the file `enable-restricted-commands` is there. It, the directory `restricted-commands`
and each command in it must belong to the user and group of the node daemon (root) and be writable
by nobody else. A command gets no arguments and an empty environment. Whoever asks for what is not
allowed waits, and learns nothing of the reason; the node's log has it (upstream 3.0).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Final

from ganeti_kernel.errors import CommandError, OpExecError
from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.registry import Arguments, node_call
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins import process

log = logging.getLogger(__name__)

NAME_MASK: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
MAX_MODE: Final = 0o755
LOCK_PATIENCE: Final = 8.0
PENALTY: Final = 10.0
"""Seconds that a refused request waits for its answer (upstream's figure)."""
SECONDS: Final = 3500.0
MAX_OUTPUT: Final = 1 << 20


class Refused(Exception):
    """Why a command is not run; for the log only."""


def _command(args: Arguments) -> str | None:
    return f"restricted command {args['command']}"


@node_call("restricted_command", subject=_command)
def restricted_command(context: NodeContext, command: str) -> str:
    """Run a restricted command; returns what it printed. Raises OpExecError."""
    try:
        with _exclusive(context.paths):
            path = check(context.paths, command)
    except Refused as error:
        log.error("restricted command %r is refused: %s", command[:128], error)
        sleep(PENALTY)
        raise OpExecError(f"Executing command '{command[:128]}' failed") from None
    try:
        done = process.run(
            [str(path)], timeout=SECONDS, env={}, cwd="/", merge=True, limit=MAX_OUTPUT
        )
    except CommandError as error:
        raise OpExecError(f"Executing command '{command}' failed: {error}") from None
    if done.code:
        how = f"exit code {done.code}" if done.code > 0 else f"signal {-done.code}"
        said = done.tail() or "it said nothing"
        raise OpExecError(f"Executing command '{command}' failed with {how}: {said}")
    return done.output


def check(paths: Paths, command: str) -> Path:
    """Where a command lies that may be run; raises Refused."""
    if NAME_MASK.fullmatch(command) is None:
        raise Refused("its name has other characters than letters, digits, _ and -")
    _owned(paths.restricted_switch, stat.S_ISREG, "switched off: no regular file")
    _owned(paths.restricted_dir, stat.S_ISDIR, "no directory")
    path = paths.restricted_dir / command
    mode = _owned(path, stat.S_ISREG, "no regular file")
    if not mode & stat.S_IXUSR:
        raise Refused(f"{path} cannot be executed by its owner")
    return path


def _owned(path: Path, is_kind: object, otherwise: str) -> int:
    """The mode of a path that belongs to us alone; links are not followed."""
    try:
        status = path.lstat()
    except OSError as error:
        raise Refused(f"{otherwise} {path}: {error.strerror}") from None
    if not is_kind(status.st_mode):  # type: ignore[operator] # one of stat's predicates
        raise Refused(f"{otherwise} {path}")
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        raise Refused(f"{path} belongs to {status.st_uid}:{status.st_gid}")
    mode = stat.S_IMODE(status.st_mode)
    if mode & ~MAX_MODE:
        raise Refused(f"the mode {mode:o} of {path} is beyond {MAX_MODE:o}")
    return mode


@contextlib.contextmanager
def _exclusive(paths: Paths) -> Iterator[None]:
    """One look at a time, so that nobody tries names faster than that."""
    path = paths.lock_dir / "ganeti-restricted-commands.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Refused(f"cannot open {path}: {error.strerror}") from None
    try:
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Refused(f"{path} was not free within {LOCK_PATIENCE:g} s") from None
                sleep(0.05)
        yield
    finally:
        os.close(fd)
