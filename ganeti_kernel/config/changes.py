"""A change set: what one job wants different, and what it saw when it decided so."""

from __future__ import annotations

import uuid as uuidlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from ganeti_kernel.config.keys import CLUSTER_ID, CLUSTER_TABLE, NOUNS, TABLES, table_of
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.objects import Cluster, ConfigView, to_wire

Object = TypeVar("Object", bound=msgspec.Struct)
Ident = tuple[str, str]
"""(table, UUID); the cluster is ("cluster", "cluster")."""

MAX_CHANGES: Final = 100
"""Objects in one change set; the store's transaction must hold the writer's own keys as well."""


CARRIED: Final = ("version", "serial_no", "ctime", "mtime", "secrets")
"""What a changed view takes over from the one before."""


class ConfigConflict(ConfigurationError):
    """An object is not what the job saw; read the configuration again and decide anew."""


class Change(msgspec.Struct, frozen=True):
    """One object made different.

    `expect` is the `serial_no` the job saw, 0 when the object must not exist; `value` is the
    object's JSON value, None to delete it. Serial numbers and times in it are the writer's to set.
    """

    table: str
    uuid: str
    expect: int
    value: dict[str, Any] | None

    @property
    def ident(self) -> Ident:
        return self.table, self.uuid


def new_uuid() -> str:
    """Return a UUID for a new object."""
    return str(uuidlib.uuid4())


def ident_of(value: msgspec.Struct) -> Ident:
    table = table_of(value)
    return (table, CLUSTER_ID) if table == CLUSTER_TABLE else (table, value.uuid)  # type: ignore[attr-defined]


class Draft:
    """Changes on top of a view, before anybody else sees them.

    An object that was read from an older view keeps that view's serial number, so the writer
    notices if someone changed it in between.
    """

    def __init__(self, view: ConfigView) -> None:
        self.base = view
        self._pending: dict[Ident, tuple[int, msgspec.Struct | None]] = {}
        self._view: ConfigView | None = view

    @property
    def view(self) -> ConfigView:
        """The view with all changes so far applied."""
        if self._view is None:
            self._view = apply(self.base, {key: item for key, (_, item) in self._pending.items()})
        return self._view

    def put(self, value: Object) -> Object:
        """Add or replace an object; returns it."""
        ident = ident_of(value)
        pending = self._pending.get(ident)
        if pending is not None and pending[1] is None:
            expect = pending[0]  # deleted in this draft and made anew
        else:
            expect = value.serial_no if lookup(self.base, ident) is not None else 0  # type: ignore[attr-defined]
        self._pending[ident] = (expect, value)
        self._view = None
        return value

    def replace(self, value: Object, **fields: Any) -> Object:
        """Put a copy of the object with other values in these fields; returns the copy."""
        return self.put(msgspec.structs.replace(value, **fields))

    def delete(self, value: msgspec.Struct) -> None:
        """Remove an object; one that is not there is no error."""
        ident = ident_of(value)
        if ident[0] == CLUSTER_TABLE:
            raise ConfigurationError("the cluster object cannot be removed")
        if lookup(self.base, ident) is None:
            self._pending.pop(ident, None)
        else:
            self._pending[ident] = (value.serial_no, None)  # type: ignore[attr-defined]
        self._view = None

    def replace_cluster(self, **fields: Any) -> Cluster:
        """Put the cluster with other values in these fields."""
        return self.replace(self.view.cluster, **fields)

    def changes(self) -> list[Change]:
        """What differs from the base; an object put back unchanged is left out."""
        return [
            Change(*ident, expect, None if value is None else to_wire(value))
            for ident, (expect, value) in self._pending.items()
            if value is None or value != lookup(self.base, ident)
        ]


def lookup(view: ConfigView, ident: Ident) -> Any:
    """Return the object or None."""
    table, uuid = ident
    return view.cluster if table == CLUSTER_TABLE else getattr(view, table).get(uuid)


def apply(
    view: ConfigView, changed: Mapping[Ident, msgspec.Struct | None], **meta: Any
) -> ConfigView:
    """Return a view with these objects replaced or (None) removed; `meta` as ConfigView's."""
    tables: dict[str, Any] = {name: getattr(view, name) for name in TABLES}
    cluster: Any = view.cluster
    for table in {table for table, _ in changed} & TABLES.keys():
        tables[table] = dict(tables[table])
    for (table, uuid), value in changed.items():
        if table == CLUSTER_TABLE:
            cluster = value
        elif value is None:
            tables[table].pop(uuid, None)
        else:
            tables[table][uuid] = value
    kept = {name: getattr(view, name) for name in CARRIED}
    return ConfigView(cluster=cluster, **tables, **(kept | meta))


def describe(view: ConfigView, ident: Ident) -> str:
    """Name an object for a message: `instance web1.example.com`."""
    noun = NOUNS.get(ident[0], ident[0])
    value = lookup(view, ident) if ident[0] in NOUNS else None
    name = getattr(value, "name", None) or getattr(value, "cluster_name", None) or ident[1]
    return f"{noun} {name}"


def check_unique(changes: Iterable[Change]) -> None:
    """Raise ConfigurationError when one object is changed twice."""
    seen: set[Ident] = set()
    for change in changes:
        if change.ident in seen:
            raise ConfigurationError(f"{change.table}/{change.uuid} is changed twice at once")
        seen.add(change.ident)
