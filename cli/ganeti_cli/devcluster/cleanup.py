"""Leaving nothing behind: processes, mounts and loop devices that belong to a root directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ganeti_kernel.errors import CommandError
from ganeti_kernel.paths import ROOT_VARIABLE
from ganeti_kernel.plugins import process

PATIENCE: Final = 10.0
TIMEOUT: Final = 20.0


def belongs(environ: bytes, root: Path) -> bool:
    """Say whether a process's environment puts it under a root directory. Pure."""
    marker = f"{ROOT_VARIABLE}={root}".encode()
    return any(entry == marker or entry.startswith(marker + b"/") for entry in environ.split(b"\0"))


def processes(root: Path) -> Iterator[int]:
    """Processes that were started for this root, but not this one."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if belongs((entry / "environ").read_bytes(), root):
                    yield int(entry.name)


def stop_processes(root: Path) -> int:
    """End all processes of this root, by force after a while; returns how many there were."""
    count = 0
    for sign in (signal.SIGTERM, signal.SIGKILL):
        found = list(processes(root))
        count = max(count, len(found))
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        deadline = time.monotonic() + PATIENCE
        while found and time.monotonic() < deadline:
            found = [pid for pid in found if _alive(pid)]
            time.sleep(0.02)
    return count


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"


def mounts_under(table: str, root: Path) -> list[str]:
    """Mount points below a root, deepest first, from the text of /proc/self/mounts. Pure."""
    points = [line.split()[1].encode().decode("unicode_escape") for line in table.splitlines()]
    return sorted((point for point in points if Path(point).is_relative_to(root)), reverse=True)


def remove_mounts(root: Path) -> None:
    for point in mounts_under(Path("/proc/self/mounts").read_text(), root):
        with contextlib.suppress(CommandError):
            process.run(["umount", "-l", point], timeout=TIMEOUT)


def loop_devices(root: Path) -> Iterator[str]:
    """Loop devices whose file lies below a root."""
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if Path(entry.read_text().strip()).is_relative_to(root):
                yield f"/dev/{entry.parent.parent.name}"


def remove_loop_devices(root: Path) -> None:
    for device in loop_devices(root):
        with contextlib.suppress(CommandError):
            process.run(["losetup", "-d", device], timeout=TIMEOUT)


def remove_everything(root: Path) -> int:
    """End, unmount, detach and delete all that belongs to a root; returns the processes ended."""
    count = stop_processes(root)
    remove_mounts(root)
    remove_loop_devices(root)
    shutil.rmtree(root, ignore_errors=True)
    return count
