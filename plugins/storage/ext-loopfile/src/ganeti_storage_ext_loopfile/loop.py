"""Loop devices, through util-linux's `losetup`."""

from __future__ import annotations

import os
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


def attach(path: Path) -> str:
    """Return the file's device, the one that exists if there is one."""
    names = parse_names(_losetup("--find", "--show", "--nooverlap", str(path), path=path))
    if len(names) != 1:
        raise BlockDeviceError(f"losetup gave no device for {path}")
    return names[0]


def detach(path: Path) -> None:
    """Detach every device of the file; one that is in use goes when its user closes it."""
    for name in attached(path):
        _losetup("--detach", name, path=path)


def refresh(path: Path) -> None:
    """Let devices of the file see its new size."""
    for name in attached(path):
        _losetup("--set-capacity", name, path=path)


def _losetup(*arguments: str, path: Path) -> str:
    """Run losetup while nobody else does for a file of this directory.

    It looks for a file's device and makes one in two steps. The lock belongs to losetup itself,
    so that it is held until losetup ends, even when this process is killed meanwhile.
    """
    lock = ["flock", "--timeout", f"{TIMEOUT:g}", str(path.parent)]
    try:
        return process.check([*lock, "losetup", *arguments], timeout=2 * TIMEOUT).output
    except CommandError as error:
        raise BlockDeviceError(f"loop device of {path}: {error}") from error
