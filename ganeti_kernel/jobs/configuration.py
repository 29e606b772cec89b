"""The configuration as the master daemon shares it: one change at a time, readers kept current.

A reader that has one version gets only what changed since, unless that is too long ago.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from ganeti_kernel.config import datafile
from ganeti_kernel.config.changes import Change, Ident, apply, lookup
from ganeti_kernel.config.keys import object_class
from ganeti_kernel.config.writer import ConfigWriter
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.objects import ConfigView, from_wire, to_wire
from ganeti_kernel.objects.document import TABLES
from ganeti_kernel.specs.store import Change as StoreChange

HISTORY: Final = 256
"""Configuration serials that a reader may be behind and still get only the difference."""


NOTHING: Final = msgspec.Raw(b"null")
"""msgspec takes no `Raw | None`."""


class ViewReply(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration, or (NOTHING) what differs from `since`; None is deleted."""

    serial_no: int
    mtime: float
    whole: msgspec.Raw = NOTHING
    changed: list[tuple[str, str, dict[str, Any] | None]] = []


class _Version(NamedTuple):
    """A configuration that was, and what the change to it touched."""

    serial: int
    mtime: float
    idents: tuple[Ident, ...]


class Text:
    """`config.data` of one view after the other; only objects that changed are encoded anew.

    A table that is the same mapping as in the view before is the same text.
    """

    def __init__(self) -> None:
        self._view: ConfigView | None = None
        self._text = b""
        self._pieces: dict[str, dict[str, tuple[Any, msgspec.Raw]]] = {}
        self._tables: dict[str, msgspec.Raw] = {}

    def of(self, view: ConfigView) -> bytes:
        """What `datafile.dump` gives."""
        if self._view is view:
            return self._text
        for name in TABLES:
            table = getattr(view, name)
            if self._view is None or table is not getattr(self._view, name):
                self._tables[name] = self._encode(name, table)
        tree = {name: self._tables[name] for name in TABLES}
        head = {"version": view.version, "cluster": to_wire(view.cluster)}
        tail = {"ctime": view.ctime, "mtime": view.mtime, "serial_no": view.serial_no}
        self._view = view
        self._text = msgspec.json.encode(head | tree | tail) + b"\n"
        return self._text

    def _encode(self, name: str, table: Mapping[str, Any]) -> msgspec.Raw:
        before = self._pieces.get(name, {})
        pieces: dict[str, tuple[Any, msgspec.Raw]] = {}
        for uuid, value in table.items():
            old = before.get(uuid)
            if old is None or old[0] is not value:
                old = (value, msgspec.Raw(msgspec.json.encode(to_wire(value))))
            pieces[uuid] = old
        self._pieces[name] = pieces
        return msgspec.Raw(msgspec.json.encode({uuid: raw for uuid, (_, raw) in pieces.items()}))


class SharedConfig:
    """The newest configuration and its recent history."""

    def __init__(self, writer: ConfigWriter, committer: Committer) -> None:
        self._writer = writer
        self._committer = committer
        self._turn = asyncio.Lock()
        self._text = Text()
        view = writer.view
        self._history: deque[_Version] = deque(
            [_Version(view.serial_no, view.mtime, ())], maxlen=HISTORY
        )
        self.listeners: list[Callable[[], object]] = []

    @property
    def view(self) -> ConfigView:
        return self._writer.view

    def text(self) -> bytes:
        """The newest configuration as `config.data`."""
        return self._text.of(self.view)

    async def change(
        self,
        changes: Sequence[Change],
        job: int = 0,
        extra: Callable[[int], Sequence[StoreChange]] = lambda _serial: (),
    ) -> int:
        """Commit a change set durably and return the configuration's new serial number.

        `extra(serial number)` is written in the same transaction. Raises ConfigConflict,
        ConfigurationError, StoreError; then nothing changed.
        """
        async with self._turn:
            prepared = self._writer.prepare(changes, job)
            serial = prepared.view.serial_no
            revision = await self._committer.commit(
                [*prepared.changes, *extra(serial)], prepared.compare
            )
            if revision is None:
                raise ConfigurationError(
                    "somebody else wrote the configuration in the store; restart the master daemon"
                )
            if not prepared.changes:
                return serial
            self._writer.accept(prepared, revision)
            deleted = [change.ident for change in changes if change.value is None]
            idents = (*prepared.serials, *deleted)
            self._history.append(_Version(serial, self.view.mtime, idents))
        for listener in self.listeners:
            listener()
        return serial

    def since(self, serial: int, mtime: float) -> ViewReply:
        """What a reader needs that has the configuration of this serial number and time (0: none).

        The time tells a configuration that was put in place of another one apart from it.
        """
        view = self.view
        if not any(item.serial == serial and item.mtime == mtime for item in self._history):
            whole = msgspec.Raw(self.text())
            return ViewReply(serial_no=view.serial_no, mtime=view.mtime, whole=whole)
        idents = {ident for item in self._history if item.serial > serial for ident in item.idents}
        changed: list[tuple[str, str, dict[str, Any] | None]] = []
        for ident in sorted(idents):
            value = lookup(view, ident)
            changed.append((*ident, None if value is None else to_wire(value)))
        return ViewReply(serial_no=view.serial_no, mtime=view.mtime, changed=changed)


def advance(view: ConfigView | None, reply: ViewReply) -> ConfigView:
    """The reader's side: the newer view from the old one and the reply."""
    if bytes(reply.whole) != bytes(NOTHING):
        return datafile.parse(bytes(reply.whole))
    if view is None:
        raise ConfigurationError("the master daemon sent changes of an unknown configuration")
    if view.serial_no == reply.serial_no:
        return view
    changed: dict[Ident, Any] = {
        (table, uuid): None if value is None else from_wire(value, object_class(table), table)
        for table, uuid, value in reply.changed
    }
    return apply(view, changed, serial_no=reply.serial_no, mtime=reply.mtime)
