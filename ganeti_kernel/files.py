"""Writing a file so that a crash leaves the old or the new one, never a mixture."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from pathlib import Path
from typing import Final

_REMNANT: Final = re.compile(r"\..+\.[a-z0-9_]{8}")
"""Names of files that are not yet what they are to be (tempfile's)."""


def write_durably(path: Path, content: bytes, mode: int, *, uid: int = -1, gid: int = -1) -> None:
    """Replace `path`; content and name are on disk when this returns. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = new_file(path)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            if uid != -1 or gid != -1:
                os.fchown(descriptor, uid, gid)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
            os.replace(name, path)  # noqa: PTH105 # two plain names
    except BaseException:
        os.unlink(name)  # noqa: PTH108
        raise
    sync_directory(path.parent)


def new_file(path: Path) -> tuple[int, str]:
    """Make an empty file of mode 0600 beside `path`: a descriptor and its name. Raises OSError.

    It is locked as long as the descriptor is open, so that remove_remnants lets it be.
    """
    while True:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, name
        os.close(descriptor)  # removed before it was locked


def sync_directory(path: Path) -> None:
    """Put the names in a directory on disk. Raises OSError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def remove_remnants(folder: Path) -> None:
    """Remove what writers that were killed left in a folder; what is being written is locked.

    Raises nothing: what cannot be removed does no harm.
    """
    with contextlib.suppress(OSError):
        for path in [item for item in folder.iterdir() if _REMNANT.fullmatch(item.name)]:
            with contextlib.suppress(OSError):
                _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(descriptor)
