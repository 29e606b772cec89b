"""Whether a job's process lives: it holds a lock on a file, and the kernel frees it when it dies.

Process ids are reused and a process may be nobody's child any more after a restart; the lock tells
the truth in every case.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Collection
from pathlib import Path

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
