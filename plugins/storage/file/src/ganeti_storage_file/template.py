"""The plugin class."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganeti_kernel.errors import BlockDeviceError
from ganeti_kernel.objects import BlockDevice, GuestDisk
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.disk_template import (
    DiskPlan,
    DiskRequest,
    DiskTemplate,
    StorageSpace,
    UnitState,
    Volume,
)
from ganeti_storage_file import __version__, allowed, listing

MIB = 1 << 20
DRIVERS = ("loop", "blktap", "blktap2")

DESCRIPTION = Description(
    name="file",
    version=__version__,
    summary="Disks are files on the primary node",
    features=frozenset({"file", "grow", "rename", "space", "units:file", "volumes"}),
)


class FileTemplate(DiskTemplate):
    """Disks are sparse files; the logical_id is [driver, path], as upstream's.

    Paths are those of the configuration; on a node they lie under its root directory.
    """

    API_VERSION = 2

    @hookimpl
    def describe(self) -> Description:
        return DESCRIPTION

    @hookimpl
    def check_request(self, request: DiskRequest) -> Sequence[str]:
        problems = [
            f"disk {request.index}: template file has no parameter {key!r}"
            for key in sorted(request.spec)
        ]
        if request.file_driver not in DRIVERS:
            problems.append(
                f"unknown file driver {request.file_driver!r}; use one of {', '.join(DRIVERS)}"
            )
        if request.size <= 0:
            problems.append(f"disk {request.index}: size must be at least 1 MiB")
        refusal = self._refusal(_plan_path(request))
        return [*problems, refusal] if refusal else problems

    @hookimpl
    def plan(self, request: DiskRequest) -> DiskPlan:
        return DiskPlan(logical_id=[request.file_driver, _plan_path(request)], size=request.size)

    @hookimpl
    def create(self, disk: GuestDisk) -> None:
        path = self._path(disk)
        wanted = disk.size * MIB
        there = _size(path)
        if there == wanted:
            return
        if there is not None:
            raise BlockDeviceError(
                f"{path} exists with {there} bytes instead of {wanted}; remove it first"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            _make(path, wanted)
        except OSError as error:
            raise BlockDeviceError(f"cannot create {path}: {error.strerror}") from error

    @hookimpl
    def remove(self, disk: GuestDisk) -> None:
        path = self._path(disk)
        try:
            path.unlink(missing_ok=True)
            _unfinished(path).unlink(missing_ok=True)
        except OSError as error:
            raise BlockDeviceError(f"cannot remove {path}: {error.strerror}") from error
        with contextlib.suppress(OSError):  # other disks of the instance, or gone already
            path.parent.rmdir()

    @hookimpl
    def exists(self, disk: GuestDisk) -> bool:
        return _size(self._path(disk)) is not None

    @hookimpl
    def attach(self, disk: GuestDisk) -> BlockDevice:
        path = self._path(disk)
        self._present(path)
        return BlockDevice(path=str(path))

    @hookimpl
    def detach(self, disk: GuestDisk) -> None:
        """A file needs nothing."""

    @hookimpl
    def actual_size(self, disk: GuestDisk) -> int:
        return self._present(self._path(disk))

    @hookimpl
    def grow(self, disk: GuestDisk, size: int) -> None:
        path = self._path(disk)
        wanted, there = size * MIB, self._present(path)
        if wanted < there:
            raise BlockDeviceError(f"{path} has {there} bytes; a disk cannot shrink to {wanted}")
        try:
            os.truncate(path, wanted)
        except OSError as error:
            raise BlockDeviceError(f"cannot grow {path}: {error.strerror}") from error

    @hookimpl
    def rename(self, disk: GuestDisk, logical_id: Sequence[Any]) -> None:
        source, target = self._path(disk), self._real(_logical_path(logical_id))
        there = _size(target)
        if _size(source) is None and there is not None:
            return
        if there is not None:
            raise BlockDeviceError(f"cannot rename {source}: {target} exists")
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            source.rename(target)
        except OSError as error:
            raise BlockDeviceError(f"cannot rename {source}: {error.strerror}") from error
        with contextlib.suppress(OSError):  # other disks of the instance
            source.parent.rmdir()

    @hookimpl
    def space(self, params: Mapping[str, Any], directory: str) -> StorageSpace:
        path = self.context.paths.under(directory)
        try:
            stats = os.statvfs(path)
        except OSError as error:
            raise BlockDeviceError(f"cannot measure {path}: {error.strerror}") from error
        unit = stats.f_frsize
        return StorageSpace(
            name=directory,
            total=stats.f_blocks * unit // MIB,
            free=stats.f_bavail * unit // MIB,
        )

    @hookimpl
    def storage_units(
        self, kind: str, params: Mapping[str, Any], directory: str
    ) -> Sequence[UnitState]:
        if kind != "file":
            raise BlockDeviceError(f"template file has no storage units of type {kind!r}")
        space = self.space(params, directory)
        used = space.total - space.free
        return [UnitState(name=directory, size=space.total, used=used, free=space.free)]

    @hookimpl
    def list_volumes(self, params: Mapping[str, Any], directory: str) -> Sequence[Volume]:
        refusal = self._refusal(directory)
        if refusal:
            raise BlockDeviceError(refusal)
        return list(listing.volumes(self.context.paths.under(directory), directory, DRIVERS))

    # -- paths -----------------------------------------------------------------------------------

    def _refusal(self, path: str) -> str | None:
        return allowed.check(path, self.context.paths.file_storage_paths)

    def _path(self, disk: GuestDisk) -> Path:
        return self._real(_logical_path(disk.logical_id))

    def _real(self, path: str) -> Path:
        refusal = self._refusal(path)
        if refusal:
            raise BlockDeviceError(refusal)
        return self.context.paths.under(path)

    def _present(self, path: Path) -> int:
        size = _size(path)
        if size is None:
            raise BlockDeviceError(f"{path} does not exist on {self.context.node_name or 'node'}")
        return size


def _plan_path(request: DiskRequest) -> str:
    name = f"{request.uuid}.file.disk{request.index}"
    return f"{request.directory.rstrip('/')}/{request.instance}/{name}"


def _logical_path(logical_id: Sequence[Any]) -> str:
    match logical_id:
        case [str(driver), str(path)] if driver in DRIVERS:
            return path
    raise BlockDeviceError(f"{logical_id!r} is not the id of a file disk: [driver, path]")


def _size(path: Path) -> int | None:
    """Size in bytes, None when there is nothing; raises when it is not a plain file."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BlockDeviceError(f"cannot look at {path}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise BlockDeviceError(f"{path} is not a regular file; remove it")
    return status.st_size


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _make(path: Path, size: int) -> None:
    """Make a sparse file, under another name until it has its size."""
    temporary = _unfinished(path)
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
    try:
        os.ftruncate(fd, size)
        os.fsync(fd)
        os.link(temporary, path)
    finally:
        os.close(fd)
        temporary.unlink()
