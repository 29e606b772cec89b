"""A store that is a file of this node: the master's own, and the copies that candidates keep."""

from __future__ import annotations

from pathlib import Path

from ganeti_kernel.files import sync_directory
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.specs.store import Store, StoreBackend
from ganeti_kernel.store.opening import DEFAULT_BACKEND
from ganeti_kernel.store.url import file_url


def open_file(registry: Registry, path: Path, *, create: bool) -> Store:
    """Open or make the store in a file; raises StoreError, PluginError."""
    backend: StoreBackend = registry.get("store", DEFAULT_BACKEND)
    return backend.open(file_url(DEFAULT_BACKEND, path), create=create)


def companions(path: Path) -> list[Path]:
    """Files that a store may have beside its own."""
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")]


def remove(path: Path) -> None:
    """Remove a store's files, those of a half-removed one too. Raises OSError."""
    for item in (path, *companions(path)):
        item.unlink(missing_ok=True)


def move(source: Path, target: Path) -> None:
    """Give a closed store another name, in place of one that may be there. Raises OSError."""
    remove(target)
    for old, new in zip((*companions(source), source), (*companions(target), target), strict=True):
        if old.exists():
            old.rename(new)
    sync_directory(target.parent)
