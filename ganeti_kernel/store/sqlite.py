"""The embedded store: one SQLite file beside the cluster's other data.

Write-ahead log and `synchronous=FULL`: a commit has been synced to disk when it returns. Several
transactions share that one wait through `txn_group`. Two processes may open the file, but only
one writes at a time; the other waits a few seconds and then is told so.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ganeti_kernel.errors import StoreError
from ganeti_kernel.files import new_file, sync_directory
from ganeti_kernel.specs.base import Description, hookimpl
from ganeti_kernel.specs.store import (
    MAX_OPERATIONS,
    MAX_VALUE_BYTES,
    Change,
    Compare,
    Delete,
    Entry,
    Event,
    Put,
    Store,
    StoreBackend,
)
from ganeti_kernel.store.url import file_path
from ganeti_kernel.version import SOFTWARE_VERSION

APPLICATION_ID: Final = 0x474E5431
"""Marks a SQLite file as a store of ours ("GNT1")."""

FORMAT: Final = 1
BUSY_SECONDS: Final = 5.0
MAX_KEY_LENGTH: Final = 512

HISTORY_EVENTS: Final = 10_000
HISTORY_BYTES: Final = 64 << 20
"""What `watch` can look back on; older changes are dropped now and then."""

PRUNE_EVERY: Final = 512
"""Changes between two prunings of the history."""

_SCHEMA: Final = """
CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL)
  WITHOUT ROWID;
CREATE TABLE history (sequence INTEGER PRIMARY KEY AUTOINCREMENT, revision INTEGER NOT NULL,
  key TEXT NOT NULL, value BLOB);
CREATE INDEX history_revision ON history (revision);
CREATE TABLE leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, expires REAL NOT NULL);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO counters VALUES ('revision', 0), ('pruned', 0);
"""


class SqliteStore(Store):
    """An open store. `clock` gives the seconds since the epoch that leases are measured with."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._db = connection
        self._path = path
        self._clock = clock
        self._since_prune = 0
        self._bytes_since_prune = 0

    # -- reading -------------------------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        with self._errors("read"):
            row = self._db.execute(
                "SELECT key, value, revision FROM entries WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else Entry(*row)

    def list(self, prefix: str) -> Sequence[Entry]:
        out = []
        with self._errors("read"):
            rows = self._db.execute(
                "SELECT key, value, revision FROM entries WHERE key >= ? ORDER BY key", (prefix,)
            )
            for row in rows:
                if not row[0].startswith(prefix):
                    break
                out.append(Entry(*row))
            rows.close()
        return out

    def page(self, after: str, limit: int) -> Sequence[Entry]:
        with self._errors("read"):
            rows = self._db.execute(
                "SELECT key, value, revision FROM entries WHERE key > ? ORDER BY key LIMIT ?",
                (after, limit),
            ).fetchall()
        return [Entry(*row) for row in rows]

    def watch(self, prefix: str, revision: int) -> Iterator[Event]:
        with self._errors("read"), self._snapshot():
            pruned = self._counter("pruned")
            rows = self._db.execute(
                "SELECT key, value, revision FROM history WHERE revision > ?"
                " AND substr(key, 1, ?) = ? ORDER BY sequence",
                (revision, len(prefix), prefix),
            ).fetchall()
        if revision < pruned:
            raise StoreError(
                f"store {self._path}: changes after revision {revision} are not kept any more "
                f"(oldest is {pruned}); list the keys anew"
            )
        return iter([Event(*row) for row in rows])

    def revision(self) -> int:
        with self._errors("read"):
            return self._counter("revision")

    # -- writing -------------------------------------------------------------------------------

    def txn(self, compare: Sequence[Compare], changes: Sequence[Change]) -> int | None:
        return self.txn_group([(compare, changes)])[0]

    def txn_group(
        self, group: Sequence[tuple[Sequence[Compare], Sequence[Change]]]
    ) -> Sequence[int | None]:
        for _, changes in group:
            _check_changes(changes)
        with self._errors("write"), self._transaction():
            revision = self._counter("revision")
            answers: list[int | None] = []
            for compare, changes in group:
                if not all(self._holds(item) for item in compare):
                    answers.append(None)
                    continue
                revision += self._apply(changes, revision + 1)
                answers.append(revision)
            self._db.execute("UPDATE counters SET value = ? WHERE name = 'revision'", (revision,))
            if self._since_prune >= PRUNE_EVERY or self._bytes_since_prune >= HISTORY_BYTES:
                self._prune()
        return answers

    def _apply(self, changes: Sequence[Change], revision: int) -> bool:
        """Write the changes under `revision`; False when there was nothing to write."""
        wrote = False
        for change in changes:
            if isinstance(change, Put):
                value: bytes | None = change.value
                self._db.execute(
                    "INSERT INTO entries VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE"
                    " SET value = excluded.value, revision = excluded.revision",
                    (change.key, change.value, revision),
                )
            else:
                value = None
                gone = self._db.execute("DELETE FROM entries WHERE key = ?", (change.key,))
                if not gone.rowcount:
                    continue
            self._db.execute(
                "INSERT INTO history (revision, key, value) VALUES (?, ?, ?)",
                (revision, change.key, value),
            )
            wrote = True
            self._since_prune += 1
            self._bytes_since_prune += len(value or b"")
        return wrote

    def _holds(self, compare: Compare) -> bool:
        row = self._db.execute(
            "SELECT revision FROM entries WHERE key = ?", (compare.key,)
        ).fetchone()
        return (row[0] if row else 0) == compare.revision

    def _prune(self) -> None:
        """Drop the oldest changes, whole revisions at a time, until the rest is within bounds."""
        self._since_prune = self._bytes_since_prune = 0
        size = 0
        rows = self._db.execute(
            "SELECT revision, length(value) FROM history ORDER BY sequence DESC"
        )
        for events, (revision, length) in enumerate(rows, start=1):
            size += length or 0
            if events > HISTORY_EVENTS or size > HISTORY_BYTES:
                rows.close()
                self._db.execute("DELETE FROM history WHERE revision <= ?", (revision,))
                self._db.execute("UPDATE counters SET value = ? WHERE name = 'pruned'", (revision,))
                break

    # -- leases --------------------------------------------------------------------------------

    def lease(self, name: str, owner: str, seconds: float) -> bool:
        now = self._clock()
        with self._errors("write"), self._transaction():
            row = self._db.execute(
                "SELECT owner, expires FROM leases WHERE name = ?", (name,)
            ).fetchone()
            if row is not None and row[0] != owner and row[1] > now:
                return False
            self._db.execute(
                "INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", (name, owner, now + seconds)
            )
        return True

    def release(self, name: str, owner: str) -> None:
        with self._errors("write"), self._transaction():
            self._db.execute("DELETE FROM leases WHERE name = ? AND owner = ?", (name, owner))

    def close(self) -> None:
        with self._errors("close"):
            self._db.close()

    # -- helpers -------------------------------------------------------------------------------

    def _counter(self, name: str) -> int:
        row = self._db.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
        return int(row[0])

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Several reads of one revision."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            # After an error, a full disk at COMMIT included, nothing of it may stay behind.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"cannot {action} store {self._path}: {_explain(error)}") from error


class SqliteBackend(StoreBackend):
    """Serves `sqlite:///PATH`."""

    API_VERSION = 1

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="sqlite",
            version=SOFTWARE_VERSION,
            summary="Keeps the cluster's state in one SQLite file on the master",
        )

    @hookimpl
    def open(self, url: str, create: bool) -> Store:
        path = file_path(url)
        if create:
            _create(path)
        return SqliteStore(_connect(path), path)


def _connect(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StoreError(f"store {path} does not exist; initialise the cluster first")
    db = None
    try:
        db = sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        _check_identity(db, path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_size_limit = 67108864")
    except sqlite3.Error as error:
        if db is not None:
            db.close()
        raise StoreError(f"cannot open store {path}: {_explain(error)}") from error
    except StoreError:
        if db is not None:
            db.close()
        raise
    return db


def _check_identity(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is not ours before anything is written to it."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StoreError(
            f"{path} is not a store of this cluster software; move it away or name another file"
        )
    if version != FORMAT:
        raise StoreError(
            f"store {path} has format {version}, this version reads {FORMAT}; "
            "use the version of the software that wrote it"
        )


def _create(path: Path) -> None:
    """Make the file complete under another name, then give it its own: never half a store."""
    if path.exists():
        raise StoreError(f"store {path} exists already; it is not overwritten")
    try:
        descriptor, name = new_file(path)
        draft = Path(name)
        try:
            db = sqlite3.connect(draft, isolation_level=None)
            try:
                # No journal: a draft that was not finished is thrown away.
                db.executescript(
                    "PRAGMA journal_mode = MEMORY;"
                    f"PRAGMA application_id = {APPLICATION_ID};"
                    f"PRAGMA user_version = {FORMAT};"
                    f"BEGIN; {_SCHEMA} COMMIT;"
                )
            finally:
                db.close()
            os.link(draft, path)
            sync_directory(path.parent)
        finally:
            draft.unlink(missing_ok=True)
            os.close(descriptor)
    except FileExistsError:
        raise StoreError(f"store {path} exists already; it is not overwritten") from None
    except OSError as error:
        raise StoreError(f"cannot create store {path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StoreError(f"cannot create store {path}: {_explain(error)}") from error


def _check_changes(changes: Sequence[Change]) -> None:
    if len(changes) > MAX_OPERATIONS:
        raise StoreError(
            f"a transaction of {len(changes)} changes was refused, the limit is {MAX_OPERATIONS}"
        )
    seen = set()
    for change in changes:
        if not change.key or len(change.key) > MAX_KEY_LENGTH or not change.key.isprintable():
            raise StoreError(f"key {change.key[:40]!r} was refused: not printable, or too long")
        if change.key in seen:
            raise StoreError(f"key {change.key!r} is changed twice in one transaction")
        seen.add(change.key)
        if not isinstance(change, Delete) and len(change.value) > MAX_VALUE_BYTES:
            raise StoreError(
                f"value of {change.key!r} was refused: {len(change.value)} bytes, "
                f"the limit is {MAX_VALUE_BYTES}"
            )


def _explain(error: sqlite3.Error) -> str:
    """SQLite's message and what to do about it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    advice = {
        sqlite3.SQLITE_FULL: "the disk is full; free some space and try again, nothing was changed",
        sqlite3.SQLITE_IOERR: "the disk reports an error or is full; nothing was changed",
        sqlite3.SQLITE_BUSY: "another process is writing to it; stop it or try again",
        sqlite3.SQLITE_NOTADB: "the file is not a store; move it away or name another one",
        sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a backup",
        sqlite3.SQLITE_READONLY: "it cannot be written to; check owner, mode and file system",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check owner, mode and file system",
    }.get(code)
    return f"{advice} ({error})" if advice else str(error)
