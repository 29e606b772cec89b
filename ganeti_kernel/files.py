"""Writing a file so that a crash leaves the old or the new one, never a mixture."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_durably(path: Path, content: bytes, mode: int, *, uid: int = -1, gid: int = -1) -> None:
    """Replace `path`; content and name are on disk when this returns. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
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


def sync_directory(path: Path) -> None:
    """Put the names in a directory on disk. Raises OSError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
