"""QEMU processes: a pid file is believed only when /proc agrees."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

POLL: Final = 0.05
KILL_SECONDS: Final = 10.0
MAX_BYTES: Final = 128 << 10
PF_EXITING: Final = 0x4
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Qemu:
    """What a QEMU process says of itself: memory in MiB, CPU time in seconds."""

    pid: int
    memory: int
    vcpus: int
    cpu_time: float


def parse_command_line(data: bytes) -> dict[str, str]:
    """Options of QEMU (`-name x`) from /proc/PID/cmdline; the last of its kind wins."""
    words = data.decode("utf-8", "replace").split("\0")
    return {option: value for option, value in itertools.pairwise(words) if option.startswith("-")}


def parse_cpu_time(stat: str) -> float:
    """Seconds of CPU from /proc/PID/stat; the program's name there may hold anything."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def is_zombie(stat: str) -> bool:
    return stat.rpartition(")")[2].split()[0] in ("Z", "X")


def is_ending(stat: str) -> bool:
    """Say whether the kernel is taking the process down (and it is no kernel thread)."""
    return bool(int(stat.rpartition(")")[2].split()[6]) & PF_EXITING)


def look(pid: int | None, pidfile: Path, proc: Path = Path("/proc")) -> Qemu | None:
    """Return the QEMU that wrote this pid file, None when it is gone or somebody else's."""
    if pid is None:
        return None
    try:
        with (proc / str(pid) / "cmdline").open("rb") as stream:
            options = parse_command_line(stream.read(MAX_BYTES))
        stat = (proc / str(pid) / "stat").read_text(errors="replace")
        if options.get("-pidfile") != str(pidfile) or is_zombie(stat):
            return None
        return Qemu(
            pid=pid,
            memory=int(options.get("-m", "0").partition(",")[0]),
            vcpus=int(options.get("-smp", "0").partition(",")[0]),
            cpu_time=parse_cpu_time(stat),
        )
    except (OSError, ValueError, IndexError):
        return None  # it ended while we looked


def find(pidfile: Path, proc: Path = Path("/proc")) -> list[int]:
    """Return the processes that have, or are about to have, this pid file.

    A QEMU whose start was cut off may not have written it yet.
    """
    wanted = f"\0-pidfile\0{pidfile}\0".encode()
    found = []
    for entry in proc.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            with (entry / "cmdline").open("rb") as stream:
                if wanted in stream.read(MAX_BYTES):
                    found.append(int(entry.name))
        except OSError:
            continue  # it ended while we looked
    return sorted(found)


def holds_on(pid: int, pidfile: Path, proc: Path = Path("/proc")) -> bool:
    """Say whether this QEMU still has anything open.

    A process that ends loses its command line first and its files (taps, disks) later, with its
    last thread; the first thread can be a zombie before that.
    """
    try:
        stat = (proc / str(pid) / "stat").read_text(errors="replace")
        if is_zombie(stat):
            return sum(1 for _ in (proc / str(pid) / "task").iterdir()) > 1
        with (proc / str(pid) / "cmdline").open("rb") as stream:
            data = stream.read(MAX_BYTES)
        if not data:
            return is_ending(stat)
    except (OSError, ValueError, IndexError):
        return False
    return parse_command_line(data).get("-pidfile") == str(pidfile)


def wait_gone(pid: int, pidfile: Path, seconds: float) -> bool:
    """Wait until the process is gone; False when it still runs after `seconds`."""
    deadline = time.monotonic() + seconds
    while holds_on(pid, pidfile):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def kill(pid: int, pidfile: Path) -> bool:
    """End the process at once; False when it does not go (it hangs in the kernel)."""
    if look(pid, pidfile) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return wait_gone(pid, pidfile, KILL_SECONDS)
