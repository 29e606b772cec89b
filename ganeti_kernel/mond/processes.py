"""Forking collector processes from the daemon, keeping them small, and ending them whole."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, NoReturn

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36

MAX_FILES: Final = 256
MEMORY: Final = 128
"""MiB of address space a plugin may take while it is imported."""
MAX_MEMORY: Final = 4096
NICENESS: Final = 5
"""Collectors yield to the daemon that serves their reports."""
OOM_SCORE: Final = 500
"""When memory runs out, the kernel takes a collector rather than an instance."""
SWEEPS: Final = 20
PAUSE: Final = 0.001
"""Seconds between two looks for strays; all looks together may hold up the daemon for 20 ms."""

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Have orphans of this process's descendants become its children instead of init's."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def fork(serve: Callable[[socket.socket], object], *, verbose: bool) -> tuple[int, socket.socket]:
    """Fork a process that runs `serve(its end of a socket pair)` and ends.

    `verbose` keeps its standard error. Returns its process id and our end.

    The daemon's only other threads are libuv's for name look-ups: they hold no lock that the
    process could want, and libuv and malloc mend themselves after a fork.
    """
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    child = os.fork()
    if child:
        theirs.close()
        return child, ours
    try:
        ours.close()
        _settle(parent, theirs, verbose=verbose)
        serve(theirs)
    except BaseException:  # nothing may climb up into the daemon's frames, which this process has
        if verbose:
            import traceback

            traceback.print_exc()
    finally:
        _leave()


def _leave() -> NoReturn:
    os._exit(0)


def _settle(parent: int, keep: socket.socket, *, verbose: bool) -> None:
    """Make the forked copy of the daemon a process of its own."""
    gc.freeze()  # a collection would write to, and so copy, every page that is shared
    os.setsid()
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the daemon died before the line above
        _leave()
    become_subreaper()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    _close_others(keep.fileno(), verbose=verbose)
    os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    for limit, value in ((resource.RLIMIT_NOFILE, MAX_FILES), (resource.RLIMIT_CORE, 0)):
        _limit(limit, value)
    limit_memory(MEMORY)


def limit_memory(mebibytes: int) -> None:
    """Refuse this process more address space than that beyond what it has now."""
    _limit(resource.RLIMIT_AS, _address_space() + (min(mebibytes, MAX_MEMORY) << 20))


def _limit(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (soft, hard))


def _close_others(keep: int, *, verbose: bool) -> None:
    """Close the daemon's sockets in the copy: a client must see the end when the daemon says so."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1) if verbose else (0, 1, 2):
        os.dup2(null, standard)
    for descriptor in open_descriptors():
        if descriptor > 2 and descriptor != keep:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def open_descriptors() -> list[int]:
    """This process's descriptors, the one for the look itself included."""
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]


def _address_space() -> int:
    """Bytes of address space this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def kill_group(pid: int) -> None:
    """End a collector's process and all that stayed in its group."""
    for end in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(pid, signal.SIGKILL)


def has_living_children() -> bool:
    """Whether this process has children; dead ones are reaped on the way."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def reap(pids: set[int]) -> None:
    """Take leave of those of these children that are dead."""
    for pid in list(pids):
        try:
            gone = os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            gone = True
        if gone:
            pids.discard(pid)


def kill_strays(keep: Collection[int]) -> int:
    """Kill and reap every child but those in `keep`; returns how many were met.

    Their own children become ours meanwhile, so it looks again until there is none.
    """
    killed = 0
    for _attempt in range(SWEEPS):
        strays = [pid for pid in _children() if pid not in keep]
        if not strays:
            break
        for pid in strays:
            kill_group(pid)
            killed += 1
        time.sleep(PAUSE)
        for pid in strays:
            # without waiting: one that sleeps in the kernel is met again by the next sweep
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
    return killed


def _children() -> list[int]:
    me = b"%d" % os.getpid()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # bytes: a process may give itself any name, one that is no text included
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                if fields[1] == me:
                    found.append(int(entry.name))
    return found
