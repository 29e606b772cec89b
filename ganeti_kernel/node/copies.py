"""A master candidate's copy of the master's store, and how it becomes the store.

A copy that cannot follow any more is made anew beside the old one, which stays in use until the new
one is whole.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ganeti_kernel.config import datafile
from ganeti_kernel.config.keys import JOBS_PREFIX, QUEUE_SERIAL
from ganeti_kernel.config.replica import (
    JOB_GAP,
    Batch,
    Changes,
    Position,
    apply,
    read_position,
    read_run,
    read_serial,
    start_over,
    take_over,
)
from ganeti_kernel.config.writer import load_view
from ganeti_kernel.errors import ConfigurationError, GenericError, StoreError
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.rpc.results import Promotion
from ganeti_kernel.specs.store import Store
from ganeti_kernel.store import local

log = logging.getLogger(__name__)


class Replica:
    """This node's copy. Methods raise StoreError and ConfigurationError; threads take turns."""

    def __init__(self, paths: Paths, plugins: Registry) -> None:
        self._paths = paths
        self._plugins = plugins
        self._turn = threading.Lock()
        self._store: Store | None = None
        self._draft: Store | None = None
        self._run = ""

    def state(self) -> tuple[Position, int, str]:
        """Where the copy stands, the serial number of its configuration, the run it has seen."""
        with self._turn, _plain():
            store = self._open()
            if store is None:
                return Position(), 0, ""
            return read_position(store), read_serial(store), read_run(store)

    def begin(self, run: str) -> None:
        """Begin a new copy beside the old one; `run` names this attempt."""
        with self._turn, _plain():
            self._drop_draft()
            path = self._draft_file
            local.remove(path)
            self._draft, self._run = local.open_file(self._plugins, path, create=True), run

    def add(self, run: str, changes: Changes) -> None:
        with self._turn, _plain():
            apply(self._current_draft(run), [changes])

    def finish(self, run: str, transactions: list[Batch], position: Position) -> None:
        """Complete the new copy and put it in the place of the old one."""
        with self._turn, _plain():
            if self._draft is None and self._position() == position:
                return  # the answer was lost and the call is repeated
            draft = self._current_draft(run)
            apply(draft, [changes for _revision, changes in transactions], position)
            self._drop_draft()
            self._close_store()
            local.move(self._draft_file, self._paths.replica_file)
            log.info("this node has a copy of the master's state now")

    def follow(self, after: Position, transactions: list[Batch]) -> Position:
        """Apply transactions to a copy that stands at `after`; returns where it stands then."""
        with self._turn, _plain():
            store = self._open()
            if store is None:
                return Position()
            if read_position(store) == after and transactions:
                last = Position(after.epoch, transactions[-1][0])
                apply(store, [changes for _revision, changes in transactions], last)
                return last
            return read_position(store)

    def promote(self, name: str, epoch: int, with_jobs: bool) -> tuple[Promotion, ConfigView]:
        """Make the copy this node's store, with node `name` as the master; see node call."""
        with self._turn, _plain():
            store, stale = self._open(), self._paths.store_file
            jobs = 0
            if with_jobs:
                if store is None:
                    raise ConfigurationError("this node has no copy of the master's state")
                view, source = take_over(store, name, epoch), self._paths.replica_file
                jobs = _unfinished(store)
            else:
                view, source = self._without_jobs(store, name, epoch), self._draft_file
            self._drop_draft()
            self._close_store()
            set_aside(self._paths)
            local.move(source, stale)
            return Promotion(serial=view.serial_no, jobs=jobs), view

    def discard(self) -> None:
        """Remove the copy: this node is no candidate any more, or the master."""
        with self._turn, _plain():
            self._drop_draft()
            self._close_store()
            remove_copy(self._paths)

    def close(self) -> None:
        """Let go of the files; they stay."""
        with self._turn, _plain():
            self._drop_draft()
            self._close_store()

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _without_jobs(self, store: Store | None, name: str, epoch: int) -> ConfigView:
        """Make a store of the newest configuration there is here."""
        views = []
        with contextlib.suppress(GenericError):  # nothing usable there
            views.append(datafile.load(self._paths.config_file))
        last_job = epoch * JOB_GAP
        if store is not None:
            with contextlib.suppress(StoreError):
                views.append(load_view(store)[0])
            entry = store.get(QUEUE_SERIAL)
            last_job = max(last_job, int(entry.value) if entry else 0)
        if not views:
            raise ConfigurationError(
                f"neither {self._paths.config_file} nor this node's copy of the state is usable"
            )
        self._drop_draft()
        local.remove(self._draft_file)
        self._draft = local.open_file(self._plugins, self._draft_file, create=True)
        start_over(self._draft, max(views, key=lambda view: view.serial_no), last_job)
        return take_over(self._draft, name, epoch)

    @property
    def _draft_file(self) -> Path:
        return draft_file(self._paths)

    def _open(self) -> Store | None:
        if self._store is None and self._paths.replica_file.exists():
            self._store = local.open_file(self._plugins, self._paths.replica_file, create=False)
        return self._store

    def _position(self) -> Position:
        store = self._open()
        return Position() if store is None else read_position(store)

    def _current_draft(self, run: str) -> Store:
        if self._draft is None or run != self._run:
            raise StoreError("this copy was given up; it must be begun again")
        return self._draft

    def _drop_draft(self) -> None:
        if self._draft is not None:
            self._draft.close()
            self._draft = None


def remove_copy(paths: Paths) -> None:
    """Remove a copy, finished or not, that nobody has open."""
    local.remove(draft_file(paths))
    local.remove(paths.replica_file)


def draft_file(paths: Paths) -> Path:
    """A copy that is being made."""
    return paths.replica_file.with_name("replica.new.sqlite")


def set_aside(paths: Paths) -> None:
    """Keep a store of a former master beside its place: it may hold what nobody else has."""
    store = paths.store_file
    if store.exists():
        number = 1
        while (kept := store.with_name(f"{store.name}.replaced-{number}")).exists():
            number += 1
        local.move(store, kept)
        log.warning("the store of this node's time as master is kept as %s", kept)


def _unfinished(store: Store) -> int:
    jobs = (msgspec.json.decode(entry.value) for entry in store.list(JOBS_PREFIX))
    return sum(job.get("end_timestamp") is None for job in jobs)


@contextlib.contextmanager
def _plain() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot keep the copy of the master's state: {error.strerror} ({error.filename})"
        ) from error
