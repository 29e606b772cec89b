"""What QEMU's program on this node is: its version, the machines it knows."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Final

from ganeti_kernel.errors import CommandError, HypervisorError
from ganeti_kernel.plugins import process

TIMEOUT: Final = 10.0


def version(path: str) -> str:
    """Return e.g. "7.2.22"; raises HypervisorError when there is no QEMU there."""
    try:
        changed = Path(path).stat().st_mtime_ns
    except OSError as error:
        raise HypervisorError(
            f"QEMU is not there: {path}: {error.strerror}; install it or set kvm_path"
        ) from error
    return _version(path, changed)


@functools.lru_cache(maxsize=8)
def _version(path: str, _changed: int) -> str:
    """Kept until the program is replaced."""
    found = re.search(r"version (\d+(?:\.\d+)*)", _output(path, "--version"))
    if found is None:
        raise HypervisorError(f"{path} is no QEMU: it does not tell its version")
    return found[1]


def at_least(path: str, *wanted: int) -> bool:
    """Say whether this QEMU is of a version or a later one."""
    return tuple(int(part) for part in version(path).split(".")) >= wanted


def machines(path: str) -> frozenset[str]:
    """Return the names that `machine_version` can have."""
    lines = _output(path, "-machine", "help").splitlines()
    return frozenset(line.split()[0] for line in lines if line.split())


def _output(path: str, *arguments: str) -> str:
    try:
        return process.check([path, *arguments], timeout=TIMEOUT).output
    except CommandError as error:
        raise HypervisorError(str(error)) from error
