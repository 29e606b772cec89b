"""Damage that tests do to a node's files, and mend."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ganeti_kernel.testing.devcluster import DevCluster


@contextlib.contextmanager
def kept(cluster: DevCluster, path: Path) -> Iterator[Path]:
    """Have a file or directory back as it was, whatever is done to it meanwhile."""
    aside = cluster.root / "aside"
    there = path.exists()
    if path.is_dir():
        shutil.copytree(path, aside, symlinks=True)
    elif there:
        shutil.copy2(path, aside)
    try:
        yield path
    finally:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if there:
            aside.rename(path)


def write(text: str) -> Callable[[Path], Any]:
    def change(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode if path.exists() else 0o600
        path.unlink(missing_ok=True)  # the mode may forbid to write it
        path.write_text(text)
        path.chmod(mode)

    return change


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def edit(old: str, new: str) -> Callable[[Path], Any]:
    def change(path: Path) -> None:
        text = path.read_text()
        assert old in text
        write(text.replace(old, new))(path)

    return change
