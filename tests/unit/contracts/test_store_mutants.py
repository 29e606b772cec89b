"""The store's conformance suite must fail on stores that are wrong in one point."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ganeti_kernel.errors import StoreError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.base import Description, PluginContext
from ganeti_kernel.specs.store import Change, Compare, Delete, Entry, Event, Put, Store
from ganeti_kernel.store.sqlite import SqliteBackend
from ganeti_kernel.store.url import file_path, file_url
from ganeti_kernel.testing.store import StoreContract, Stores

Group = Sequence[tuple[Sequence[Compare], Sequence[Change]]]


class Wrapped(Store):
    """Hands everything to a right store; a mutant changes one method."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def get(self, key: str) -> Entry | None:
        return self.inner.get(key)

    def list(self, prefix: str) -> Sequence[Entry]:
        return self.inner.list(prefix)

    def txn(self, compare: Sequence[Compare], changes: Sequence[Change]) -> int | None:
        return self.txn_group([(compare, changes)])[0]

    def txn_group(self, group: Group) -> Sequence[int | None]:
        return self.inner.txn_group(group)

    def watch(self, prefix: str, revision: int) -> Iterator[Event]:
        return self.inner.watch(prefix, revision)

    def revision(self) -> int:
        return self.inner.revision()

    def lease(self, name: str, owner: str, seconds: float) -> bool:
        return self.inner.lease(name, owner, seconds)

    def release(self, name: str, owner: str) -> None:
        self.inner.release(name, owner)

    def close(self) -> None:
        self.inner.close()


class IgnoresComparisons(Wrapped):
    def txn_group(self, group: Group) -> Sequence[int | None]:
        return self.inner.txn_group([((), changes) for _, changes in group])


class ComparesOnlyTheFirst(Wrapped):
    def txn_group(self, group: Group) -> Sequence[int | None]:
        return self.inner.txn_group([(compare[:1], changes) for compare, changes in group])


class AppliesHalfOfARefusedTransaction(Wrapped):
    def txn_group(self, group: Group) -> Sequence[int | None]:
        answers = self.inner.txn_group(group)
        for (_, changes), answer in zip(group, answers, strict=True):
            if answer is None:
                self.inner.txn([], changes[:1])
        return answers


class StopsTheGroupAtTheFirstRefusal(Wrapped):
    def txn_group(self, group: Group) -> Sequence[int | None]:
        answers: list[int | None] = []
        for compare, changes in group:
            refused = bool(answers) and answers[-1] is None
            answers.append(None if refused else self.inner.txn(compare, changes))
        return answers


class ListsBeyondThePrefix(Wrapped):
    def list(self, prefix: str) -> Sequence[Entry]:
        return self.inner.list(prefix.rstrip("/"))


class ListsUnsorted(Wrapped):
    def list(self, prefix: str) -> Sequence[Entry]:
        return sorted(self.inner.list(prefix), key=lambda entry: (len(entry.key), entry.key))


class ForgetsDeletionsWhenWatched(Wrapped):
    def watch(self, prefix: str, revision: int) -> Iterator[Event]:
        return (e for e in self.inner.watch(prefix, revision) if e.value is not None)


class WatchesInclusively(Wrapped):
    def watch(self, prefix: str, revision: int) -> Iterator[Event]:
        return self.inner.watch(prefix, max(revision - 1, 0))


class WatchesOnlyTheNewest(Wrapped):
    def watch(self, prefix: str, revision: int) -> Iterator[Event]:
        return iter({e.key: e for e in self.inner.watch(prefix, revision)}.values())


class StealsLeases(Wrapped):
    def lease(self, name: str, owner: str, seconds: float) -> bool:
        return self.inner.lease(name, "anybody", seconds)


class KeepsLeasesForEver(Wrapped):
    def lease(self, name: str, owner: str, seconds: float) -> bool:
        return self.inner.lease(name, owner, 10_000)


class ReleasesForAnybody(Wrapped):
    def release(self, name: str, owner: str) -> None:
        for somebody in ("node1", "node2"):
            self.inner.release(name, somebody)


class HasNoLimits(Wrapped):
    def txn_group(self, group: Group) -> Sequence[int | None]:
        answers: list[int | None] = []
        for compare, changes in group:
            parts = [changes[start : start + 100] for start in range(0, len(changes), 100)]
            answers += [self.inner.txn(compare, part) for part in parts or [()]][-1:]
        return answers


class WritesOnlyAtClose(Wrapped):
    """Keeps the last write of a key in memory when the store is closed at once."""

    def close(self) -> None:
        try:
            for entry in self.inner.list("b"):
                self.inner.txn([], [Delete(entry.key)])
        except StoreError:
            pass  # closed before
        self.inner.close()


class TouchesRevisions(Wrapped):
    def txn_group(self, group: Group) -> Sequence[int | None]:
        answers = self.inner.txn_group(group)
        entry = self.inner.get("a")
        if entry is not None:
            self.inner.txn([], [Put("a", entry.value)])
        return answers


MUTANTS = [
    IgnoresComparisons,
    ComparesOnlyTheFirst,
    AppliesHalfOfARefusedTransaction,
    StopsTheGroupAtTheFirstRefusal,
    ListsBeyondThePrefix,
    ListsUnsorted,
    ForgetsDeletionsWhenWatched,
    WatchesInclusively,
    WatchesOnlyTheNewest,
    StealsLeases,
    KeepsLeasesForEver,
    ReleasesForAnybody,
    HasNoLimits,
    WritesOnlyAtClose,
    TouchesRevisions,
]


class MutantBackend(SqliteBackend):
    wrap: Callable[[Store], Store]

    def open(self, url: str, create: bool) -> Store:
        return type(self).wrap(super().open(url, create))


class CreatesAnyway(SqliteBackend):
    def open(self, url: str, create: bool) -> Store:
        if create:
            file_path(url).unlink(missing_ok=True)
        return super().open(url, create)


class OpensWhatIsMissing(SqliteBackend):
    def open(self, url: str, create: bool) -> Store:
        return super().open(url, create or not file_path(url).exists())


class NamedWrongly(SqliteBackend):
    def describe(self) -> Description:
        return Description(name="sql", version="1", summary="wrong scheme")


def failures(backend: SqliteBackend, folder: Path, first_only: bool = True) -> list[str]:
    """Run the suite without pytest; names of the tests that fail."""
    counter = itertools.count()
    out = []
    for name in vars(StoreContract):  # as written: the cheap tests first, the model last
        if not name.startswith("test_"):
            continue
        stores = Stores(backend, lambda: file_url("sqlite", folder / f"{next(counter)}.sqlite"))
        try:
            getattr(StoreContract(), name)(stores)
        except (AssertionError, StoreError, pytest.fail.Exception):
            out.append(name)
            if first_only:
                break
        finally:
            stores.close()
    return out


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_wrong_store_fails_the_suite(mutant: type[Wrapped], tmp_path: Path) -> None:
    backend_class = type("Backend", (MutantBackend,), {"wrap": mutant})
    assert failures(backend_class(PluginContext(paths=Paths(tmp_path))), tmp_path)


@pytest.mark.parametrize("backend_class", [CreatesAnyway, OpensWhatIsMissing, NamedWrongly])
def test_wrong_backend_fails_the_suite(backend_class: type[SqliteBackend], tmp_path: Path) -> None:
    assert failures(backend_class(PluginContext(paths=Paths(tmp_path))), tmp_path)


def test_right_store_passes_the_suite(tmp_path: Path) -> None:
    backend_class = type("Backend", (MutantBackend,), {"wrap": Wrapped})
    backend = backend_class(PluginContext(paths=Paths(tmp_path)))
    assert failures(backend, tmp_path, first_only=False) == []
