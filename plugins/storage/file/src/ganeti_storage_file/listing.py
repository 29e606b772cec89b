"""Which files of disks lie in a storage directory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ganeti_kernel.errors import BlockDeviceError
from ganeti_kernel.specs.disk_template import Volume

MIB = 1 << 20
MAX_FILES = 100_000


def volumes(real: Path, directory: str, drivers: Sequence[str]) -> Iterator[Volume]:
    """The files below a directory by name; `real` is where `directory` lies on this node.

    Files that are still being made (`.NAME.new`), links and what is no file are left out. Raises
    BlockDeviceError for a directory that cannot be read, or one with more than MAX_FILES files.
    """
    count = 0
    for folder, folders, names in os.walk(real, onerror=_refuse):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            count += 1
            if count > MAX_FILES:
                raise BlockDeviceError(f"{real} holds more than {MAX_FILES} files")
            inside = path.relative_to(real)
            known = f"{directory.rstrip('/')}/{inside}"
            yield Volume(
                name=str(inside),
                pool=directory,
                size=path.stat().st_size // MIB,
                logical_ids=[[driver, known] for driver in drivers],
            )


def _refuse(error: OSError) -> None:
    if isinstance(error, FileNotFoundError):
        return  # nothing was ever made here, or it went while we looked
    raise BlockDeviceError(f"cannot list {error.filename}: {error.strerror}")
