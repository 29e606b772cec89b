"""Earlier configurations: what each commit changed, kept backwards.

For every configuration the store keeps what the commit that made it replaced, in the transaction of
the commit itself. Going back from the newest one rebuilds any that is not older than the history.
Nothing here reads a store or a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from ganeti_kernel.config.changes import Ident, apply, lookup
from ganeti_kernel.config.keys import CLUSTER_TABLE, NOUNS, object_class
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.objects import ConfigView, from_wire, to_wire
from ganeti_kernel.specs.store import MAX_VALUE_BYTES, Change, Delete, Put

HISTORY_PREFIX: Final = "history/"
DEFAULT_KEPT: Final = 50
"""Earlier configurations that can be had."""

MOST_KEPT: Final = 10_000
BOOKKEEPING: Final = ("serial_no", "mtime", "ctime")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What made configuration `serial`: when, which job (0: none), and what was there before.

    `before` has [table, UUID, object or null (it did not exist)] of each object that changed; null
    itself when it was too large to be kept, so that nothing before it can be had.
    """

    serial: int
    mtime: float
    job: int
    before: list[tuple[str, str, dict[str, Any] | None]] | None
    mtime_before: float = 0.0


class Past(NamedTuple):
    """A commit with the configurations before and after it."""

    entry: Entry
    before: ConfigView
    after: ConfigView


def history_key(serial: int) -> str:
    return f"{HISTORY_PREFIX}{serial:012d}"


def store_changes(
    old: ConfigView, new: ConfigView, changed: Iterable[Ident], job: int, kept: int
) -> list[Change]:
    """What a commit from `old` to `new` writes to the history; `kept` 0: nothing."""
    if not kept:
        return []
    before: list[tuple[str, str, dict[str, Any] | None]] = []
    for table, uuid in changed:
        value = lookup(old, (table, uuid))
        before.append((table, uuid, None if value is None else to_wire(value)))
    entry = Entry(
        serial=new.serial_no, mtime=new.mtime, job=job, before=before, mtime_before=old.mtime
    )
    data = msgspec.json.encode(entry)
    if len(data) > MAX_VALUE_BYTES:
        data = msgspec.json.encode(msgspec.structs.replace(entry, before=None))
    out: list[Change] = [Put(history_key(new.serial_no), data)]
    if new.serial_no > kept:
        out.append(Delete(history_key(new.serial_no - kept)))
    return out


def stale_keys(keys: Iterable[str], serial: int, kept: int) -> list[str]:
    """Keys that the history need not have when the newest configuration is `serial`."""
    first = history_key(max(0, serial - kept + 1))
    return sorted(key for key in keys if not kept or key < first or key > history_key(serial))


def decode(values: Iterable[bytes]) -> list[Entry]:
    """Entries, newest first; raises ConfigurationError for what is none."""
    try:
        found = [msgspec.json.decode(value, type=Entry) for value in values]
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"the history of the configuration is damaged: {error}") from None
    return sorted(found, key=lambda entry: -entry.serial)


def walk(newest: ConfigView, entries: Sequence[Entry]) -> Iterator[Past]:
    """Go back from the newest configuration; ends where the history does."""
    after = newest
    for entry in entries:
        if entry.serial != after.serial_no or entry.before is None:
            return
        changed: dict[Ident, Any] = {
            (table, uuid): None if value is None else from_wire(value, object_class(table), table)
            for table, uuid, value in entry.before
        }
        before = apply(after, changed, serial_no=entry.serial - 1, mtime=entry.mtime_before)
        yield Past(entry, before, after)
        after = before


def view_at(newest: ConfigView, entries: Sequence[Entry], serial: int) -> ConfigView:
    """The configuration `serial`; raises ConfigurationError that says which can be had."""
    oldest = newest
    if serial == newest.serial_no:
        return newest
    for past in walk(newest, entries):
        oldest = past.before
        if oldest.serial_no == serial:
            return oldest
    raise ConfigurationError(
        f"there is no configuration {serial} in the history: it reaches from {oldest.serial_no} "
        f"to {newest.serial_no}"
    )


# -- differences ---------------------------------------------------------------------------------


class Difference(NamedTuple):
    """An object that two configurations do not share; `old` or `new` is None when it is not there.

    `fields` has dotted names with old and new values, JSON values or None.
    """

    ident: Ident
    old: Any
    new: Any
    fields: list[tuple[str, Any, Any]]

    @property
    def title(self) -> str:
        """`instance web1.example.com`."""
        value = self.new if self.new is not None else self.old
        name = getattr(value, "name", None) or getattr(value, "cluster_name", None)
        noun = NOUNS.get(self.ident[0], self.ident[0])
        return f"{noun} {name or self.ident[1]}"


def differences(old: ConfigView, new: ConfigView) -> list[Difference]:
    """What is different, serial numbers and times aside."""
    idents: set[Ident] = {(CLUSTER_TABLE, CLUSTER_TABLE)}
    for view in (old, new):
        idents |= {(table, uuid) for table, uuid, _ in view.objects()}
    out = []
    for ident in sorted(idents):
        before, after = lookup(old, ident), lookup(new, ident)
        if before is after or before == after:
            continue
        fields = list(_fields(_plain(old, before), _plain(new, after), ""))
        if fields or before is None or after is None:
            out.append(Difference(ident, before, after, fields))
    return out


def _plain(view: ConfigView, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    wire = {key: item for key, item in to_wire(value).items() if key not in BOOKKEEPING}
    shown: dict[str, Any] = view.secrets.redact(wire)
    return shown


def _fields(old: Any, new: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping) and (old or new):
        for key in sorted({*old, *new}):
            yield from _fields(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield name, old, new


def summary(change: Difference) -> str:
    """One object's change in a line: `instance web1: hvparams.kernel_path`."""
    if change.old is None:
        return f"{change.title} added"
    if change.new is None:
        return f"{change.title} removed"
    return f"{change.title}: {', '.join(name for name, _old, _new in change.fields)}"
