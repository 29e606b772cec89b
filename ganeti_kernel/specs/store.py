"""StoreBackend: keeps the cluster's state. One key per object, JSON values, revisions.

A revision is one number for the whole store that grows with each transaction; a key's revision
is that of the transaction that last wrote it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ganeti_kernel.specs.base import Plugin, hookspec

MAX_OPERATIONS: Final = 128
"""Operations in one transaction (etcd's default limit)."""

MAX_VALUE_BYTES: Final = 1 << 20


class Entry(msgspec.Struct, frozen=True):
    """A key with its value (JSON text) and the revision that wrote it."""

    key: str
    value: bytes
    revision: int


class Compare(msgspec.Struct, frozen=True):
    """Require that `key` was last written at `revision`; 0: that it does not exist."""

    key: str
    revision: int


class Put(msgspec.Struct, frozen=True, tag="put"):
    key: str
    value: bytes


class Delete(msgspec.Struct, frozen=True, tag="delete"):
    """Delete a key; one that does not exist is no error."""

    key: str


class Event(msgspec.Struct, frozen=True):
    """A change: `value` None means deleted."""

    key: str
    value: bytes | None
    revision: int


Change = Put | Delete


class Store(ABC):
    """An open store. Methods raise StoreError; they may be called from one thread at a time."""

    @abstractmethod
    def get(self, key: str) -> Entry | None:
        """Return one entry."""

    @abstractmethod
    def list(self, prefix: str) -> Sequence[Entry]:
        """Return all entries whose key begins with `prefix`, by key, of one revision."""

    def page(self, after: str, limit: int) -> Sequence[Entry]:
        """Return at most `limit` entries whose key is greater than `after`, by key.

        This reads everything each time; a backend that can does better.
        """
        return [entry for entry in self.list("") if entry.key > after][:limit]

    @abstractmethod
    def txn(self, compare: Sequence[Compare], changes: Sequence[Change]) -> int | None:
        """Apply all changes at once if every comparison holds.

        Returns the new revision, or None when a comparison failed and nothing changed. When it
        returns, the change is durable. Raises StoreError for over MAX_OPERATIONS changes, a
        value over MAX_VALUE_BYTES, and when it cannot be written (disk full: nothing changed).
        """

    @abstractmethod
    def txn_group(
        self, group: Sequence[tuple[Sequence[Compare], Sequence[Change]]]
    ) -> Sequence[int | None]:
        """Apply several transactions in order with one wait for the disk (group commit).

        Each is all or nothing by itself; the answer is what `txn` would give for each.
        """

    @abstractmethod
    def watch(self, prefix: str, revision: int) -> Iterator[Event]:
        """Yield changes under `prefix` after `revision`, in order, then end.

        A caller polls; raises StoreError when changes that old are not kept any more.
        """

    @abstractmethod
    def revision(self) -> int:
        """Return the newest revision."""

    @abstractmethod
    def lease(self, name: str, owner: str, seconds: float) -> bool:
        """Take or renew a lease; False when another owner's has not run out."""

    @abstractmethod
    def release(self, name: str, owner: str) -> None:
        """Give a lease back; one that is not ours is no error."""

    @abstractmethod
    def close(self) -> None:
        """Close; a second call is no error."""


class StoreBackend(Plugin):
    """The contract. The entry point's name is the scheme of the store's URL (`sqlite:///…`)."""

    @hookspec
    @abstractmethod
    def open(self, url: str, create: bool) -> Store:
        """Open the store, or make it with `create`.

        Raises StoreError when it does not exist, exists although `create` was asked, or is not
        a store of ours.
        """
