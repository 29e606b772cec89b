"""The plugin class."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganeti_kernel.errors import BlockDeviceError, CommandError
from ganeti_kernel.objects import BlockDevice
from ganeti_kernel.plugins import process
from ganeti_kernel.specs import Description, Parameter, hookimpl
from ganeti_kernel.specs.extstorage import ExtStorageProvider, Volume
from ganeti_storage_ext_loopfile import __version__, loop

MIB = 1 << 20
DIRECTORY = "/srv/ganeti/loopfile"
POOL_PATTERN = "[A-Za-z0-9_-]{1,64}"
VOLUME_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,200}")
COPY_TIMEOUT = 600.0

DESCRIPTION = Description(
    name="loopfile",
    version=__version__,
    summary="Volumes in files, on loop devices where that is possible",
    parameters=(
        Parameter(
            name="pool",
            default="default",
            pattern=POOL_PATTERN,
            help=f"sub-directory of {DIRECTORY} that holds the volume",
        ),
        Parameter(
            name="sparse",
            type="bool",
            default=True,
            help="false takes the room on the disk when the volume is made",
        ),
    ),
    features=frozenset({"snapshot"}),
)


class LoopfileProvider(ExtStorageProvider):
    """A volume is the file `<directory>/<pool>/<volume name>`."""

    API_VERSION = 1

    @hookimpl
    def describe(self) -> Description:
        return DESCRIPTION

    @hookimpl
    def verify(self, params: dict[str, str]) -> Sequence[str]:
        try:
            directory = self._pool(params)
        except BlockDeviceError as error:
            return [str(error)]
        existing = next((p for p in (directory, *directory.parents) if p.exists()), Path("/"))
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            return [f"{existing} is no directory that can be written to"]
        return []

    @hookimpl
    def create(self, volume: Volume) -> None:
        path, wanted = self._path(volume), volume.size * MIB
        there = _size(path)
        if there == wanted:
            return
        if there is not None:
            raise BlockDeviceError(
                f"{path} exists with {there} bytes instead of {wanted}; remove it first"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _make(path, wanted, sparse=is_sparse(volume.params))
        except OSError as error:
            raise BlockDeviceError(f"cannot create {path}: {error.strerror}") from error

    @hookimpl
    def remove(self, volume: Volume) -> None:
        path = self._path(volume)
        # Under its own name nobody attaches it any more, not even a call that was cut off.
        doomed = path.with_name(f".{path.name}.removed")
        try:
            if path.exists():
                path.rename(doomed)
            if doomed.exists() and loop.usable():
                loop.detach(doomed)
            for part in (doomed, _unfinished(path), _remark(path)):
                part.unlink(missing_ok=True)
        except OSError as error:
            raise BlockDeviceError(f"cannot remove {path}: {error.strerror}") from error

    @hookimpl
    def attach(self, volume: Volume) -> BlockDevice:
        path = self._present(volume)
        device = loop.attach(path) if loop.usable() else str(path)
        return BlockDevice(path=device, uris={"kvm": f"file:{path}"})

    @hookimpl
    def detach(self, volume: Volume) -> None:
        path = self._path(volume)
        if loop.usable() and path.exists():
            loop.detach(path)

    @hookimpl
    def grow(self, volume: Volume, size: int) -> None:
        path, wanted = self._present(volume), size * MIB
        there = path.stat().st_size
        if wanted < there:
            raise BlockDeviceError(f"{path} has {there} bytes; it cannot shrink to {wanted}")
        try:
            with path.open("r+b") as stream:
                if wanted > there and not is_sparse(volume.params):
                    os.posix_fallocate(stream.fileno(), there, wanted - there)
                os.truncate(stream.fileno(), wanted)
        except OSError as error:
            raise BlockDeviceError(f"cannot grow {path}: {error.strerror}") from error
        if loop.usable():
            loop.refresh(path)

    @hookimpl
    def set_info(self, volume: Volume, text: str) -> None:
        path = _remark(self._present(volume))
        try:
            path.write_text(text + "\n")
        except OSError as error:
            raise BlockDeviceError(f"cannot write {path}: {error.strerror}") from error

    @hookimpl
    def snapshot(self, volume: Volume, name: str, size: int) -> None:
        source = self._present(volume)
        target = source.with_name(_checked(name))
        if target.exists():
            return
        temporary = _unfinished(target)
        try:
            process.check(
                ["cp", "--reflink=auto", "--sparse=always", "--", str(source), str(temporary)],
                timeout=COPY_TIMEOUT,
            )
            os.truncate(temporary, size * MIB)
            temporary.rename(target)
        except (CommandError, OSError) as error:
            temporary.unlink(missing_ok=True)
            raise BlockDeviceError(f"cannot copy {source} to {target}: {error}") from error

    # -- paths -----------------------------------------------------------------------------------

    def _pool(self, params: Mapping[str, str]) -> Path:
        pool = params.get("pool") or "default"
        if not re.fullmatch(POOL_PATTERN, pool):
            raise BlockDeviceError(f"pool {pool!r} must match {POOL_PATTERN}")
        return self.context.paths.under(DIRECTORY) / pool

    def _path(self, volume: Volume) -> Path:
        return self._pool(volume.params) / _checked(volume.name)

    def _present(self, volume: Volume) -> Path:
        path = self._path(volume)
        if _size(path) is None:
            raise BlockDeviceError(f"volume {volume.name} does not exist: no file {path}")
        return path


def is_sparse(params: Mapping[str, str]) -> bool:
    return str(params.get("sparse", "true")).lower() not in ("false", "no", "off", "0")


def _checked(name: str) -> str:
    if not VOLUME_PATTERN.fullmatch(name):
        raise BlockDeviceError(f"{name!r} cannot be a volume's name")
    return name


def _remark(path: Path) -> Path:
    return path.with_name(path.name + ".info")


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BlockDeviceError(f"cannot look at {path}: {error.strerror}") from error


def _make(path: Path, size: int, *, sparse: bool) -> None:
    """Make the file under another name until it has its size (and room, if not sparse)."""
    temporary = _unfinished(path)
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if not sparse and size:
            os.posix_fallocate(fd, 0, size)
        os.ftruncate(fd, size)
        os.fsync(fd)
        os.link(temporary, path)
    finally:
        os.close(fd)
        temporary.unlink()
