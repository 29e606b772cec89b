"""The one writer of the configuration: prepare, commit with the store, accept.

The master daemon runs these three one at a time, and puts its own keys (a job's acknowledgement,
its journal) into the same store transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from ganeti_kernel.config.changes import (
    MAX_CHANGES,
    Change,
    ConfigConflict,
    Ident,
    apply,
    check_unique,
    describe,
    lookup,
)
from ganeti_kernel.config.history import DEFAULT_KEPT, store_changes
from ganeti_kernel.config.keys import (
    CLUSTER_ID,
    CLUSTER_TABLE,
    CONFIG_CLUSTER,
    CONFIG_META,
    CONFIG_PREFIX,
    META_CLUSTER,
    NOUNS,
    TABLES,
    object_class,
    object_key,
)
from ganeti_kernel.config.ports import keep_books
from ganeti_kernel.config.verify import problems_of
from ganeti_kernel.errors import ConfigurationError, StoreError
from ganeti_kernel.objects import Cluster, ConfigView, from_wire, to_wire
from ganeti_kernel.objects.secrets import SecretRules
from ganeti_kernel.specs.store import Change as StoreChange
from ganeti_kernel.specs.store import Compare, Delete, Entry, Put, Store

Decoded = TypeVar("Decoded", bound=msgspec.Struct)

CLUSTER: Final[Ident] = (CLUSTER_TABLE, CLUSTER_ID)


class ConfigMeta(msgspec.Struct, frozen=True):
    """`config/meta`: what `config.data` has at its top; `job` is the last writer (0: none)."""

    version: int
    serial_no: int
    ctime: float
    mtime: float
    job: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A change set ready to be written.

    `compare` and `changes` belong into one store transaction; `view` is the configuration after
    it, `serials` the new serial numbers of the objects that stay.
    """

    compare: Sequence[Compare]
    changes: Sequence[StoreChange]
    view: ConfigView
    serials: Mapping[Ident, int]


class ConfigWriter:
    """Holds the newest view and makes the next one; there is one in a cluster.

    `clock` gives seconds since the epoch for `ctime` and `mtime`; `secrets` goes into every view;
    so many earlier configurations as `history` says can be had again.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.time,
        secrets: SecretRules | None = None,
        history: int = DEFAULT_KEPT,
    ) -> None:
        self._store = store
        self._clock = clock
        self._history = history
        self._view, self._revision = load_view(store, secrets)

    @property
    def view(self) -> ConfigView:
        return self._view

    def prepare(self, changes: Iterable[Change], job: int = 0) -> Prepared:
        """Check a change set against the newest view and make the next one.

        Serial numbers grow by one in exactly the objects that change, in the cluster and in the
        configuration. Raises ConfigConflict when an object is not what the job saw, and
        ConfigurationError when the result would not be a sound configuration.
        """
        wanted = list(changes)
        if not wanted:
            return Prepared(compare=(), changes=(), view=self._view, serials={})
        if len(wanted) > MAX_CHANGES:
            raise ConfigurationError(
                f"a change of {len(wanted)} objects at once was refused, the limit is "
                f"{MAX_CHANGES}; split the operation"
            )
        check_unique(wanted)
        now = self._clock()
        changed = {change.ident: self._next(change, now) for change in wanted}
        cluster = changed.get(CLUSTER) or _stamp(self._view.cluster, self._view.cluster, now)
        before = [lookup(self._view, ident) for ident in changed]
        changed[CLUSTER] = keep_books(cluster, before, changed.values())
        view = apply(self._view, changed, serial_no=self._view.serial_no + 1, mtime=now)
        found = problems_of(view, (change.ident for change in wanted), self._view)
        if found:
            raise ConfigurationError("the configuration was not changed: " + "; ".join(found))
        renamed = view.cluster.cluster_name != self._view.cluster.cluster_name
        meta = ConfigMeta(view.version, view.serial_no, view.ctime, view.mtime, job)
        return Prepared(
            compare=[Compare(CONFIG_META, self._revision)],
            changes=[
                *(_store_change(ident, value) for ident, value in changed.items()),
                *([identity(view.cluster)] if renamed else []),
                *store_changes(self._view, view, changed, job, self._history),
                Put(CONFIG_META, msgspec.json.encode(meta)),
            ],
            view=view,
            serials={
                ident: value.serial_no for ident, value in changed.items() if value is not None
            },
        )

    def accept(self, prepared: Prepared, revision: int | None = None) -> ConfigView:
        """Take the prepared view as the newest, after its transaction was committed.

        `revision` is what the store answered; without it the store is asked.
        """
        if prepared.changes:
            if revision is None:
                entry = self._store.get(CONFIG_META)
                revision = entry.revision if entry else 0
            self._view, self._revision = prepared.view, revision
        return self._view

    def commit(self, changes: Iterable[Change], job: int = 0) -> ConfigView:
        """Prepare, write and accept a change set that comes with nothing else."""
        prepared = self.prepare(changes, job)
        if not prepared.changes:
            return self._view
        revision = self._store.txn(prepared.compare, prepared.changes)
        if revision is None:
            raise ConfigConflict(
                "somebody else wrote the configuration in the store; this master must restart"
            )
        return self.accept(prepared, revision)

    def _next(self, change: Change, now: float) -> Any:
        """Check one change; return the object to write, or None."""
        if change.table not in NOUNS:
            raise ConfigurationError(f"the configuration has no table {change.table!r}")
        current = lookup(self._view, change.ident)
        serial = 0 if current is None else current.serial_no
        if serial != change.expect:
            raise ConfigConflict(_conflict_text(self._view, change, serial))
        if change.value is None:
            if change.table == CLUSTER_TABLE:
                raise ConfigurationError("the cluster object cannot be removed")
            return None
        try:
            value = from_wire(change.value, object_class(change.table), f"{change.table}")
        except ValueError as error:
            raise ConfigurationError(f"the configuration was not changed: {error}") from None
        return _stamp(value, current, now)


def load_view(store: Store, secrets: SecretRules | None = None) -> tuple[ConfigView, int]:
    """Read the whole configuration; returns it with the revision of `config/meta`.

    Raises StoreError when the store holds none or half of one, or an object cannot be read.
    """
    entries = {entry.key: entry for entry in store.list(CONFIG_PREFIX)}
    head = entries.pop(CONFIG_META, None)
    root = entries.pop(CONFIG_CLUSTER, None)
    if head is None or root is None:
        raise StoreError(
            "the store holds no complete configuration; initialise the cluster, or repeat the "
            "import if one was interrupted"
        )
    meta = _decode(head, ConfigMeta)
    tables: dict[str, dict[str, Any]] = {name: {} for name in TABLES}
    for key, entry in entries.items():
        table, _, uuid = key.removeprefix(CONFIG_PREFIX).partition("/")
        if table not in tables:
            raise StoreError(f"the store holds a key {key!r} that this version does not know")
        tables[table][uuid] = _decode(entry, TABLES[table])
    view = ConfigView(
        cluster=_decode(root, Cluster),
        version=meta.version,
        serial_no=meta.serial_no,
        ctime=meta.ctime,
        mtime=meta.mtime,
        secrets=secrets,
        **tables,  # type: ignore[arg-type]
    )
    return view, head.revision


def _decode(entry: Entry, cls: type[Decoded]) -> Decoded:
    try:
        return msgspec.json.decode(entry.value, type=cls)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"the store's key {entry.key} cannot be read: {error}") from None


def _stamp(value: Any, current: Any, now: float) -> Any:
    """Return the object with the serial number and times the writer gives it."""
    if current is None:
        return msgspec.structs.replace(value, serial_no=1, ctime=now, mtime=now)
    return msgspec.structs.replace(
        value, serial_no=current.serial_no + 1, ctime=current.ctime, mtime=now
    )


def identity(cluster: Cluster) -> Put:
    """The store's note of whose it is."""
    value = {"uuid": cluster.uuid, "name": cluster.cluster_name}
    return Put(META_CLUSTER, msgspec.json.encode(value))


def _store_change(ident: Ident, value: Any) -> StoreChange:
    key = object_key(*ident)
    return Delete(key) if value is None else Put(key, msgspec.json.encode(to_wire(value)))


def _conflict_text(view: ConfigView, change: Change, serial: int) -> str:
    name = describe(view, change.ident)
    if not serial:
        return f"{name} does not exist any more"
    if not change.expect:
        return f"{name} exists already"
    return f"{name} was changed by another job (serial {serial}, {change.expect} expected)"
