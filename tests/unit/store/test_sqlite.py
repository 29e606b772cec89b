"""The embedded store: the contract, and what is its own."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from ganeti_kernel.errors import StoreError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.specs.store import Put, Store
from ganeti_kernel.store import sqlite
from ganeti_kernel.store.sqlite import SqliteBackend
from ganeti_kernel.store.url import file_path, file_url, scheme
from ganeti_kernel.testing.store import StoreContract, values


@pytest.fixture
def backend(tmp_path: Path) -> SqliteBackend:
    return SqliteBackend(PluginContext(paths=Paths(tmp_path)))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return file_url("sqlite", tmp_path / "store.sqlite")


class TestContract(StoreContract):
    @pytest.fixture
    def plugin_class(self) -> type[SqliteBackend]:
        return SqliteBackend

    @pytest.fixture
    def new_store_url(self, tmp_path: Path) -> Callable[[], str]:
        counter = itertools.count()
        return lambda: file_url("sqlite", tmp_path / f"store {next(counter)}.sqlite")


@pytest.mark.parametrize(
    "content",
    [b"", b"not a database at all" * 100, b"SQLite format 3\0" + b"\0" * 4000],
    ids=["empty", "text", "header only"],
)
def test_foreign_file_is_refused_and_left_alone(
    backend: SqliteBackend, tmp_path: Path, url: str, content: bytes
) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"store\.sqlite"):
        backend.open(url, False)
    with pytest.raises(StoreError, match="exists already"):
        backend.open(url, True)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_somebody_elses_database_is_refused(
    backend: SqliteBackend, tmp_path: Path, url: str
) -> None:
    other = sqlite3.connect(tmp_path / "store.sqlite")
    other.execute("CREATE TABLE entries (x)")
    other.commit()
    other.close()
    before = (tmp_path / "store.sqlite").read_bytes()
    with pytest.raises(StoreError, match="not a store of this cluster software"):
        backend.open(url, False)
    assert (tmp_path / "store.sqlite").read_bytes() == before


def test_newer_format_is_refused(backend: SqliteBackend, tmp_path: Path, url: str) -> None:
    backend.open(url, True).close()
    other = sqlite3.connect(tmp_path / "store.sqlite")
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(StoreError, match="format 99"):
        backend.open(url, False)


def test_truncated_store_is_refused(backend: SqliteBackend, tmp_path: Path, url: str) -> None:
    store = backend.open(url, True)
    store.txn([], [Put(f"k{index}", b"x" * 5000) for index in range(100)])
    store.close()
    path = tmp_path / "store.sqlite"
    os.truncate(path, path.stat().st_size // 2 + 100)
    with pytest.raises(StoreError, match="damaged"):
        values(backend.open(url, False))


def test_missing_directory_and_unreadable_place(backend: SqliteBackend, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        backend.open(file_url("sqlite", tmp_path / "no" / "store"), True)
    with pytest.raises(StoreError, match="does not exist"):
        backend.open(file_url("sqlite", tmp_path), False)


def test_file_is_for_its_owner_only(backend: SqliteBackend, tmp_path: Path, url: str) -> None:
    backend.open(url, True).close()
    assert (tmp_path / "store.sqlite").stat().st_mode & 0o777 == 0o600


def test_commits_wait_for_the_disk(backend: SqliteBackend, url: str) -> None:
    store = backend.open(url, True)
    assert isinstance(store, sqlite.SqliteStore)
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()


def test_full_store_is_reported_and_unchanged(backend: SqliteBackend, url: str) -> None:
    store = backend.open(url, True)
    assert isinstance(store, sqlite.SqliteStore)
    store.txn([], [Put("a", b"1")])
    revision = store.revision()
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match="disk is full"):
        store.txn_group([([], [Put("b", b"1")]), ([], [Put("c", b"x" * 100_000)])])
    assert values(store) == {"a": b"1"}
    assert store.revision() == revision
    store._db.execute("PRAGMA max_page_count = 10000")
    assert store.txn([], [Put("c", b"x" * 100_000)]) == revision + 1
    store.close()


FULL_DISK = """
import sys
from pathlib import Path
from ganeti_kernel.errors import StoreError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.specs.store import Put
from ganeti_kernel.store.sqlite import SqliteBackend

backend = SqliteBackend(PluginContext(paths=Paths()))
url = "sqlite://" + sys.argv[1] + "/store.sqlite"
store = backend.open(url, True)
count = 0
try:
    while count < 10_000:
        store.txn([], [Put(f"k{count:05d}", b"x" * 20_000)])
        count += 1
except StoreError as error:
    print("refused:", error)
assert [entry.key for entry in store.list("")] == [f"k{n:05d}" for n in range(count)]
store.close()
again = backend.open(url, False)
assert len(again.list("")) == count, (len(again.list("")), count)
again.close()
print("kept:", count > 0)
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_really_full_disk_keeps_what_was_committed(tmp_path: Path) -> None:
    script = textwrap.dedent(FULL_DISK)
    mount = f"mount -t tmpfs -o size=2m tmpfs {tmp_path} && exec {sys.executable} - {tmp_path}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "refused: cannot write store" in done.stdout
    assert "disk" in done.stdout
    assert "kept: True" in done.stdout


KILLED = """
import os, sys
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.specs.store import Put
from ganeti_kernel.store.sqlite import SqliteBackend

store = SqliteBackend(PluginContext(paths=Paths())).open(sys.argv[1], True)
for count in range(1_000_000):
    store.txn([], [Put("a", b"%d" % count), Put("b", b"%d" % count)])
    os.write(1, b"%d\\n" % count)
"""


def test_acknowledged_writes_survive_a_kill(backend: SqliteBackend, url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, url], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(50)][-1]
        process.kill()
        acknowledged = max([acknowledged, *(int(n) for n in process.stdout.read().split())])
    store = backend.open(url, False)
    found = values(store)
    assert int(found["a"]) >= acknowledged
    assert found["a"] == found["b"]
    store.close()


def test_second_writer_is_told(
    backend: SqliteBackend, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = backend.open(url, True)
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    other = backend.open(url, False)
    assert isinstance(store, sqlite.SqliteStore)
    with store._transaction(), pytest.raises(StoreError, match="another process"):
        other.txn([], [Put("a", b"1")])
    assert other.txn([], [Put("a", b"1")]) is not None
    other.close()
    store.close()


def test_history_is_bounded(
    backend: SqliteBackend, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "HISTORY_EVENTS", 20)
    monkeypatch.setattr(sqlite, "PRUNE_EVERY", 10)
    store = backend.open(url, True)
    assert isinstance(store, sqlite.SqliteStore)
    for count in range(100):
        store.txn([], [Put("a", b"%d" % count)])
    (kept,) = store._db.execute("SELECT count(*) FROM history").fetchone()
    assert kept <= 30
    newest = store.revision()
    assert [event.value for event in store.watch("", newest - 3)] == [b"97", b"98", b"99"]
    with pytest.raises(StoreError, match="not kept any more"):
        list(store.watch("", 1))
    store.close()


def test_history_is_bounded_in_bytes(
    backend: SqliteBackend, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "HISTORY_BYTES", 50_000)
    store = backend.open(url, True)
    assert isinstance(store, sqlite.SqliteStore)
    for _ in range(40):
        store.txn([], [Put("a", b"x" * 10_000)])
    (size,) = store._db.execute("SELECT sum(length(value)) FROM history").fetchone()
    assert size <= 100_000
    store.close()


def test_lease_runs_out_by_the_clock(backend: SqliteBackend, url: str) -> None:
    opened = backend.open(url, True)
    assert isinstance(opened, sqlite.SqliteStore)
    now = [1000.0]
    store: Store = sqlite.SqliteStore(opened._db, opened._path, lambda: now[0])
    assert store.lease("master", "node1", 30)
    now[0] += 29
    assert not store.lease("master", "node2", 30)
    now[0] += 1
    assert store.lease("master", "node2", 30)
    store.close()


@pytest.mark.parametrize("key", ["", "a\nb", "a\0b", "x" * 600])
def test_bad_keys_are_refused(backend: SqliteBackend, url: str, key: str) -> None:
    store = backend.open(url, True)
    with pytest.raises(StoreError, match="refused"):
        store.txn([], [Put(key, b"1")])
    with pytest.raises(StoreError, match="twice"):
        store.txn([], [Put("a", b"1"), Put("a", b"2")])
    assert values(store) == {}
    store.close()


def test_urls() -> None:
    assert scheme("sqlite:///a/b") == "sqlite"
    assert file_path(file_url("sqlite", Path("/a b/ü%41"))) == Path("/a b/ü%41")
    for bad in ("sqlite://host/a", "sqlite:relative", "sqlite:///a?x=1", "sqlite:///a%00b"):
        with pytest.raises(StoreError, match="does not name a file"):
            file_path(bad)
    with pytest.raises(StoreError, match="no scheme"):
        scheme("/a/b")
