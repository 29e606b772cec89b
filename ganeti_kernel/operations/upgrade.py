"""Upgrading the cluster's software in one step: what is noted, kept and converted on the master.

The command drives it (`gnt-cluster upgrade`); while it goes on the master daemon does not run.
"""

from __future__ import annotations

import contextlib
import os
import re
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from ganeti_kernel.config import conversion, datafile
from ganeti_kernel.config.bootstrap import store_view
from ganeti_kernel.config.keys import META_WATCHER_PAUSE
from ganeti_kernel.config.ssconf import ssconf_values, write_ssconf
from ganeti_kernel.config.writer import load_view
from ganeti_kernel.errors import ECODE_INVAL, ECODE_STATE, GenericError, OpPrereqError
from ganeti_kernel.files import sync_directory, write_durably
from ganeti_kernel.jobs.queue import DRAIN_KEY
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.store import Delete
from ganeti_kernel.store.opening import open_store

STEPS: Final = ("drain", "stop", "backup", "convert", "restart", "verify")
"""What an upgrade does, in order; each can be done again."""

CHANGED: Final = ("convert", "restart")
"""Steps in which a failure has the archive brought back."""

_VERSION: Final = re.compile(r"\d+(\.\d+){1,3}[A-Za-z0-9.~+-]*")
_SHOWN: Final = re.compile(r"\(ganeti-kernel (\S+)\)")


class Intent(NamedTuple):
    """A pending upgrade: from and to which version, by which process, and the step it is at."""

    old: str
    new: str
    pid: int
    step: str

    @classmethod
    def parse(cls, text: str) -> Intent:
        """Read the file's content; raises ValueError."""
        words = text.split()
        if len(words) == 3:  # upstream's form
            words.append(STEPS[0])
        old, new, pid, step = words
        if step not in STEPS:
            raise ValueError(f"step {step!r} is not known")
        return cls(old, new, int(pid), step)

    def __str__(self) -> str:
        return f"{self.old} {self.new} {self.pid}\n{self.step}\n"

    @property
    def left(self) -> tuple[str, ...]:
        return STEPS[STEPS.index(self.step) :]


def intent_file(paths: Paths) -> Path:
    return paths.data_dir / "intent-to-upgrade"


def read_intent(paths: Paths) -> Intent | None:
    """The pending upgrade; raises GenericError for a file that says none."""
    path = intent_file(paths)
    try:
        return Intent.parse(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise GenericError(
            f"{path} cannot be read ({error}); remove it if no upgrade is under way"
        ) from None


def note(paths: Paths, intent: Intent) -> None:
    """Write down how far the upgrade is."""
    write_durably(intent_file(paths), str(intent).encode(), 0o600)


def forget(paths: Paths) -> None:
    intent_file(paths).unlink(missing_ok=True)
    sync_directory(paths.data_dir)


def check_target(wanted: str, installed: str) -> None:
    """Refuse a version that is not the one installed on this node."""
    if _VERSION.fullmatch(wanted) is None:
        raise OpPrereqError(
            f"'{wanted}' is not a version; write for example 3.1 or 3.1.2", ECODE_INVAL
        )
    if not matches(wanted, installed):
        raise OpPrereqError(
            f"version {wanted} is not installed on this node but {installed}; install it on all "
            "nodes first (their daemons go on with the old one meanwhile)",
            ECODE_STATE,
        )


def matches(wanted: str, installed: str) -> bool:
    """Whether `3.1` or `3.1.2` is what `3.1.2` is."""
    return f"{installed}.".startswith(f"{wanted}.")


def installed_version(output: str) -> str | None:
    """The version in what `gnt-cluster --version` prints; None when it is not ours."""
    found = _SHOWN.search(output)
    return found[1] if found else None


def wrong_versions(wanted: str, found: Mapping[str, str | None]) -> list[str]:
    """Problems with what nodes have installed (name -> version, None: none). Pure."""
    return [
        f"node {name} has {version or 'no ganeti-kernel'}"
        for name, version in sorted(found.items())
        if version is None or not matches(wanted, version)
    ]


def backup_file(paths: Paths, intent: Intent) -> Path:
    return paths.data_dir.parent / f"ganeti-before-upgrade-{intent.old}-to-{intent.new}.tar"


def back_up(paths: Paths, intent: Intent) -> Path:
    """Put the data directory into an archive, readable by its owner only.

    One of an earlier attempt is replaced: nothing has been converted since. Raises GenericError.
    """
    target = backup_file(paths, intent)
    part = target.with_name(f"{target.name}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "wb") as stream:
            with tarfile.open(fileobj=stream, mode="w") as archive:
                archive.add(paths.data_dir, arcname=paths.data_dir.name)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
        sync_directory(target.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise GenericError(f"cannot write the backup {target}: {error.strerror}") from None
    return target


def convert_store(paths: Paths) -> list[str]:
    """Convert the configuration in the store; returns what was done, nothing when it was so.

    Raises ConfigurationError, StoreError.
    """
    store = open_store(paths)
    try:
        view, _revision = load_view(store)
        converted, notes = conversion.convert(view)
        if notes:
            store_view(store, converted, replace=True)
            write_durably(paths.config_file, datafile.dump(converted), 0o640)
            write_ssconf(paths, ssconf_values(converted))
    finally:
        store.close()
    return notes


# Python before 3.11.4, Debian 12's for one, knows no filters; the archive is one we wrote.
_EXTRACTION: Final[dict[str, Any]] = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}


def restore(paths: Paths, intent: Intent) -> None:
    """Bring back what this upgrade's archive has. Raises GenericError.

    Only for steps after the backup: before, there may be the archive of another attempt.
    """
    source = backup_file(paths, intent)
    try:
        with tarfile.open(source) as archive:
            for name in _companions(paths.store_file):
                name.unlink(missing_ok=True)
            archive.extractall(paths.data_dir.parent, **_EXTRACTION)  # noqa: S202 - ours
        sync_directory(paths.data_dir)
    except (OSError, tarfile.TarError) as error:
        raise GenericError(f"the state could not be brought back from {source}: {error}") from None


def open_queue(paths: Paths) -> None:
    """Take the drain and the watcher's pause off while no master daemon runs."""
    store = open_store(paths)
    try:
        store.txn([], [Delete(DRAIN_KEY), Delete(META_WATCHER_PAUSE)])
    finally:
        store.close()


def _companions(store: Path) -> Iterable[Path]:
    return [store.with_name(store.name + suffix) for suffix in ("-wal", "-shm", "-journal")]
