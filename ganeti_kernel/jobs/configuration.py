"""The configuration as the master daemon shares it: one change at a time, readers kept current.

A reader that has one version gets only what changed since, unless that is too long ago.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from ganeti_kernel.config import datafile
from ganeti_kernel.config.changes import Change, Ident, apply, lookup
from ganeti_kernel.config.keys import object_class
from ganeti_kernel.config.writer import ConfigWriter
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.objects import ConfigView, from_wire, to_wire
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


class SharedConfig:
    """The newest configuration and its recent history."""

    def __init__(self, writer: ConfigWriter, committer: Committer) -> None:
        self._writer = writer
        self._committer = committer
        self._turn = asyncio.Lock()
        self._history: deque[tuple[int, list[Ident]]] = deque(maxlen=HISTORY)
        self.listeners: list[Callable[[], object]] = []

    @property
    def view(self) -> ConfigView:
        return self._writer.view

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
            self._history.append((serial, [*prepared.serials, *deleted]))
        for listener in self.listeners:
            listener()
        return serial

    def since(self, serial: int) -> ViewReply:
        """What a reader needs that has configuration `serial` (0: none)."""
        view = self.view
        known = self._history and self._history[0][0] <= serial + 1
        if serial != view.serial_no and not known:
            whole = msgspec.Raw(datafile.dump(view))
            return ViewReply(serial_no=view.serial_no, mtime=view.mtime, whole=whole)
        idents = {ident for number, idents in self._history if number > serial for ident in idents}
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
