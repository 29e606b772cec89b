"""Whether a job's process lives: it holds a lock on a file, and the kernel frees it when it dies.

Process ids are reused and a process may be nobody's child any more after a restart; the lock tells
the truth in every case.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from ganeti_kernel.paths import Paths


def livelock_path(paths: Paths, job_id: int) -> Path:
    return paths.run_dir / "livelocks" / f"job_{job_id}"


def take(path: Path) -> int | None:
    """Lock the file for this process and those it forks; None when another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return None
        raise
    return descriptor


def is_alive(path: Path) -> bool:
    """Whether a process holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return True
        raise
    finally:
        os.close(descriptor)
    return False


def livelock_files(paths: Paths, live: Collection[int]) -> list[Path]:
    """The files of all jobs but these."""
    keep = {livelock_path(paths, job_id) for job_id in live}
    return [path for path in livelock_path(paths, 0).parent.glob("job_*") if path not in keep]


def remove_stale(path: Path) -> None:
    """Remove a file that no process holds."""
    if not is_alive(path):
        path.unlink(missing_ok=True)


class Lives(Protocol):
    """What the master daemon asks and does about job processes; a simulation has its own."""

    def alive(self, job_id: int) -> bool:
        """Whether a process of the job lives."""

    def forget(self, job_id: int) -> None:
        """The job has ended; its process may still be on its way out."""

    def forget_dead(self, job_id: int) -> None:
        """Nothing is known of the job any more; forget it unless a process lives."""

    def forget_all_but(self, live: Collection[int]) -> None:
        """Forget every job but these, where no process lives."""

    def kill(self, pid: int) -> None:
        """End a process at once; one that is gone is no error."""


class Livelocks:
    """`Lives` of the processes on this machine."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def alive(self, job_id: int) -> bool:
        return is_alive(livelock_path(self._paths, job_id))

    def forget(self, job_id: int) -> None:
        livelock_path(self._paths, job_id).unlink(missing_ok=True)

    def forget_dead(self, job_id: int) -> None:
        remove_stale(livelock_path(self._paths, job_id))

    def forget_all_but(self, live: Collection[int]) -> None:
        for path in livelock_files(self._paths, live):
            remove_stale(path)

    def kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it may end at this moment
            os.kill(pid, signal.SIGKILL)
