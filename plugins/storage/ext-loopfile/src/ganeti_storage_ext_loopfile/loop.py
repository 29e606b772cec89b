"""Loop devices, through util-linux's `losetup`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ganeti_kernel.errors import BlockDeviceError, CommandError
from ganeti_kernel.plugins import process

TIMEOUT = 30.0
CONTROL = Path("/dev/loop-control")


def usable() -> bool:
    """Say whether this process may make loop devices."""
    return os.geteuid() == 0 and CONTROL.exists()


def parse_names(text: str) -> list[str]:
    """Devices from the output of `losetup --associated FILE --output NAME --noheadings`."""
    return [line.strip() for line in text.splitlines() if line.strip().startswith("/dev/")]


def attached(path: Path) -> list[str]:
    """Devices on which a file lies now."""
    return parse_names(
        _losetup("--associated", str(path), "--output", "NAME", "--noheadings", path=path)
    )


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the file's lock: losetup looks for the file's device and makes one in two steps."""
    deadline = time.monotonic() + TIMEOUT
    try:
        with path.open("rb") as stream:
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise BlockDeviceError(
                            f"{path} is locked by another process for over {TIMEOUT:g} seconds"
                        ) from None
                    time.sleep(0.02)
            yield
    except OSError as error:
        raise BlockDeviceError(f"cannot lock {path}: {error.strerror}") from error


def attach(path: Path) -> str:
    """Return the file's device, the one that exists if there is one."""
    with alone(path):
        names = parse_names(_losetup("--find", "--show", "--nooverlap", str(path), path=path))
    if len(names) != 1:
        raise BlockDeviceError(f"losetup gave no device for {path}")
    return names[0]


def detach(path: Path) -> None:
    """Detach every device of the file; one that is in use goes when its user closes it."""
    with alone(path):
        for name in attached(path):
            _losetup("--detach", name, path=path)


def refresh(path: Path) -> None:
    """Let devices of the file see its new size."""
    for name in attached(path):
        _losetup("--set-capacity", name, path=path)


def _losetup(*arguments: str, path: Path) -> str:
    try:
        return process.check(["losetup", *arguments], timeout=TIMEOUT).output
    except CommandError as error:
        raise BlockDeviceError(f"loop device of {path}: {error}") from error
