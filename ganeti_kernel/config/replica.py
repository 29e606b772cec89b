"""Copies of the master's store on the candidates: where a copy stands, and making it the store.

A copy follows the master's transactions in order. Its *position* is the epoch of the master it
follows and the revision, in that master's store, of the last transaction it has. Applying a
transaction again changes nothing, so a position is written after what it stands for. Each run of
the master daemon writes a name of its own: a copy that has seen a run which the master's store
knows nothing of (because an older store was put back) cannot go on from where it is.

The *record* says which candidates have everything the master has ever acknowledged. It lies on all
nodes, so that a candidate that was left behind learns of it even when those that were not are gone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from ganeti_kernel.config.bootstrap import store_view
from ganeti_kernel.config.changes import Draft
from ganeti_kernel.config.keys import CONFIG_META, META_EPOCH, META_RUN, QUEUE_SERIAL
from ganeti_kernel.config.writer import ConfigMeta, ConfigWriter
from ganeti_kernel.errors import ConfigurationError, StoreError
from ganeti_kernel.files import write_durably
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.store import MAX_OPERATIONS, Change, Delete, Entry, Event, Put, Store

OWN_PREFIX: Final = "replica/"
"""Keys that belong to one copy and are not copied."""

POSITION_KEY: Final = "replica/position"

JOB_GAP: Final = 1_000_000
"""Job numbers skipped when a store is made without its predecessor's queue: none is used twice."""

Changes = list[tuple[str, str | None]]
"""Keys and their new values; None: deleted."""

Batch = tuple[int, Changes]
"""One transaction: its revision in the master's store, and what it changed."""


class Position(msgspec.Struct, frozen=True, order=True):
    """How far a copy has come."""

    epoch: int = 0
    revision: int = 0


class Record(msgspec.Struct, frozen=True, order=True):
    """Who has everything that was acknowledged: names of nodes. The highest record counts."""

    epoch: int = 0
    sequence: int = 0
    names: list[str] = []


# -- the master's side -----------------------------------------------------------------------------


def batches(events: Iterable[Event], limit: int) -> list[Batch]:
    """Group events by transaction; stops, at the end of one, beyond `limit` bytes of values."""
    out: list[Batch] = []
    size = 0
    for revision, group in itertools.groupby(events, key=lambda event: event.revision):
        if size > limit:
            break
        changes: Changes = []
        for event in group:
            if not event.key.startswith(OWN_PREFIX):
                changes.append((event.key, None if event.value is None else event.value.decode()))
                size += len(event.key) + len(event.value or b"")
        out.append((revision, changes))
    return out


def page(store: Store, after: str, count: int, limit: int) -> tuple[Changes, str | None]:
    """Some entries behind key `after`, and the key to go on from (None: that was all)."""
    entries: Sequence[Entry] = store.page(after, count)
    out: Changes = []
    size = 0
    for entry in entries:
        if size > limit:
            return out, out[-1][0] if out else after
        after = entry.key
        if not entry.key.startswith(OWN_PREFIX):
            out.append((entry.key, entry.value.decode()))
            size += len(entry.key) + len(entry.value)
    return out, after if len(entries) == count else None


# -- the candidate's side --------------------------------------------------------------------------


def read_position(store: Store) -> Position:
    """Where a copy stands; 0, 0 for one that never was complete."""
    entry = store.get(POSITION_KEY)
    return Position() if entry is None else msgspec.json.decode(entry.value, type=Position)


def read_run(store: Store) -> str:
    """The run of a master daemon that last wrote to a store, "" before the first one."""
    entry = store.get(META_RUN)
    return "" if entry is None else msgspec.json.decode(entry.value, type=str)


def read_serial(store: Store) -> int:
    """Serial number of the configuration a store holds, 0 without one."""
    entry = store.get(CONFIG_META)
    return 0 if entry is None else msgspec.json.decode(entry.value, type=ConfigMeta).serial_no


def apply(store: Store, transactions: Iterable[Changes], position: Position | None = None) -> None:
    """Write transactions in order and the position they lead to. Raises StoreError."""
    group: list[tuple[list[object], list[Change]]] = []
    for changes in transactions:
        group += [([], part) for part in _parts(changes)]
    if position is not None:
        group.append(([], [Put(POSITION_KEY, msgspec.json.encode(position))]))
    store.txn_group(group)  # type: ignore[arg-type] # the comparisons are all empty


def _parts(changes: Changes) -> Iterator[list[Change]]:
    for start in range(0, len(changes), MAX_OPERATIONS):
        yield [
            Delete(key) if value is None else Put(key, value.encode())
            for key, value in changes[start : start + MAX_OPERATIONS]
        ]


def take_over(store: Store, name: str, epoch: int) -> ConfigView:
    """Make node `name` the master in a store that is about to be the master's own.

    Raises ConfigurationError when the node cannot be, StoreError when the store is not whole.
    """
    writer = ConfigWriter(store)
    node = writer.view.find_node(name)
    if node is None or node.offline or node.drained or not node.master_candidate:
        raise ConfigurationError(f"node {name} is not a master candidate in this configuration")
    store.txn([], [Put(META_EPOCH, msgspec.json.encode(epoch))])
    if writer.view.cluster.master_node == node.uuid:
        return writer.view
    draft = Draft(writer.view)
    draft.replace_cluster(master_node=node.uuid)
    return writer.commit(draft.changes())


def start_over(store: Store, view: ConfigView, last_job: int) -> None:
    """Fill a new store from a `config.data`: the configuration, but no job.

    `last_job`: a job number that is known to have been given out.
    """
    store_view(store, view)
    store.txn([], [Put(QUEUE_SERIAL, str(last_job + JOB_GAP).encode())])


def read_epoch(store: Store) -> int:
    """The term of the master this store belongs to."""
    entry = store.get(META_EPOCH)
    try:
        return 0 if entry is None else msgspec.json.decode(entry.value, type=int)
    except msgspec.DecodeError as error:
        raise StoreError(f"the store's key {META_EPOCH} cannot be read: {error}") from None


# -- the record ------------------------------------------------------------------------------------


def read_record(paths: Paths) -> Record:
    """The newest record this node was told; a file that cannot be read counts as none."""
    try:
        return msgspec.json.decode(paths.replicas_file.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return Record()


def write_record(paths: Paths, record: Record) -> None:
    """Keep a record unless a newer one is there. Raises OSError."""
    if record > read_record(paths):
        write_durably(paths.replicas_file, msgspec.json.encode(record), 0o644)


def newest_record(records: Mapping[str, Record]) -> Record:
    """The record that counts among those that nodes know."""
    return max(records.values(), default=Record())
