"""The watcher's files: lock, state of a group, and what the instances' states are."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from ganeti_kernel.daemons.watcher.state import State
from ganeti_kernel.errors import ConfigurationError, LockError
from ganeti_kernel.files import write_durably
from ganeti_kernel.paths import Paths

log = logging.getLogger(__name__)

MAX_STATE: Final = 16 << 20
STATUS_LOCK_SECONDS: Final = 10.0


def state_file(paths: Paths, group: str) -> Path:
    return paths.data_dir / f"watcher.{group}.data"


def status_file(paths: Paths, group: str) -> Path:
    return paths.data_dir / f"watcher.{group}.instance-status"


def all_status_file(paths: Paths) -> Path:
    """All groups' instances, a line each: name and status (upstream 3.0)."""
    return paths.run_dir / "instance-status"


def read_state(paths: Paths, group: str) -> State:
    """Read a group's state. One that cannot be read is begun anew: counters start at zero."""
    path = state_file(paths, group)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_STATE)
        return msgspec.json.decode(data, type=State) if data.strip() else State()
    except FileNotFoundError:
        return State()
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("%s cannot be read and is begun anew: %s", path, error)
        return State()


def write_state(paths: Paths, group: str, state: State) -> None:
    write_durably(state_file(paths, group), msgspec.json.encode(state) + b"\n", 0o600)


@contextlib.contextmanager
def locked(path: Path, what: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock file; raises LockError when another process has it for longer than `patience`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        ends = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= ends:
                    raise LockError(f"{what} is at work already (lock {path})") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def merge_status(paths: Paths, group: str, groups: Iterable[str], lines: Iterable[str]) -> None:
    """Write a group's states and put all groups' together; groups that are gone are left out."""
    own = "".join(f"{line}\n" for line in sorted(lines))
    write_durably(status_file(paths, group), own.encode(), 0o644)
    target = all_status_file(paths)
    with locked(paths.lock_dir / "ganeti-instance-status.lock", "a writer of instance states",
                STATUS_LOCK_SECONDS):  # fmt: skip
        together: list[bytes] = []
        for item in {*groups, group}:
            with contextlib.suppress(FileNotFoundError):
                together += status_file(paths, item).read_bytes().splitlines(keepends=True)
        write_durably(target, b"".join(sorted(together)), 0o644)


def remove_strangers(paths: Paths, groups: Iterable[str]) -> None:
    """Remove files of groups that are not there any more."""
    known = set(groups)
    for path in paths.data_dir.glob("watcher.*.*"):
        if path.name.split(".")[1] not in known and path.suffix in (".data", ".instance-status"):
            path.unlink(missing_ok=True)


def paused_until(paths: Paths, now: float) -> float | None:
    """The end of the pause, seconds since the epoch; None when there is none.

    Raises ConfigurationError for a file that cannot be read: nobody knows then what is wanted.
    """
    path = paths.watcher_pause
    try:
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    try:
        until = float(text)
    except ValueError:
        raise ConfigurationError(
            f"{path} holds {text[:40]!r} instead of a time; remove it, or pause the watcher anew"
        ) from None
    return until if until > now else None
