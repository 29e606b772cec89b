"""Following the configuration in a store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ganeti_kernel.config import bootstrap, datafile, follow_store
from ganeti_kernel.config.changes import Draft
from ganeti_kernel.config.follow_store import StoreFollower
from ganeti_kernel.config.writer import ConfigWriter
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.objects.secrets import SecretRules
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.store import Put, Store
from ganeti_kernel.store.opening import open_store


class Reader:
    """Follows the store of a node and remembers what came."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)
        self.views: list[ConfigView] = []
        self.failures: list[str] = []
        self.source = StoreFollower(
            lambda: open_store(self.paths), SecretRules, self.failures.append
        )

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_store, "POLL", 0.01)


def make(paths: Paths, view: ConfigView) -> Store:
    paths.data_dir.mkdir(parents=True)
    store = open_store(paths, create=True)
    bootstrap.store_view(store, view)
    return store


def following(root: Path, scenario: Callable[[Reader], Awaitable[None]]) -> None:
    async def main() -> None:
        reader = Reader(root)
        reader.source.start(reader.views.append)
        try:
            await scenario(reader)
        finally:
            reader.source.stop()

    asyncio.run(main())


def touch(writer: ConfigWriter) -> int:
    draft = Draft(writer.view)
    draft.replace(writer.view.cluster, mac_prefix="aa:bb:cc")
    return writer.commit(draft.changes()).serial_no


def test_changes_of_the_configuration_come_and_nothing_else(
    tmp_path: Path, rich1: ConfigView
) -> None:
    store = make(Paths(tmp_path), rich1)

    async def scenario(reader: Reader) -> None:
        assert [view.serial_no for view in reader.views] == [rich1.serial_no]
        store.txn([], [Put("jobs/0000000001", b"{}")])
        await asyncio.sleep(0.1)
        assert len(reader.views) == 1
        serial = touch(ConfigWriter(store))
        await reader.until(lambda: len(reader.views) == 2)
        assert reader.views[-1].serial_no == serial
        assert reader.views[-1].cluster.mac_prefix == "aa:bb:cc"
        reader.source.refresh()
        assert len(reader.views) == 3

    following(tmp_path, scenario)
    store.close()


def test_a_store_that_comes_later_or_breaks(tmp_path: Path, rich1: ConfigView) -> None:
    async def scenario(reader: Reader) -> None:
        assert reader.views == []
        assert "is not the master of a cluster" in reader.source.problem
        store = make(reader.paths, rich1)
        await reader.until(lambda: reader.views)
        assert reader.source.problem == ""
        store.txn([], [Put("config/nodes/x", b"[")])
        touch_head(store)
        await reader.until(lambda: reader.source.problem)
        assert "the store's key config/nodes/x cannot be read" in reader.failures[-1]
        count = len(reader.failures)
        await asyncio.sleep(0.1)
        assert len(reader.failures) == count  # told once
        bootstrap.store_view(store, rich1, replace=True)
        await reader.until(lambda: not reader.source.problem)
        assert len(reader.views) == 2
        store.close()

    following(tmp_path, scenario)


def touch_head(store: Store) -> None:
    head = store.get("config/meta")
    assert head is not None
    store.txn([], [Put("config/meta", head.value)])


def test_a_view_of_the_store_is_that_of_the_file(tmp_path: Path, rich2: ConfigView) -> None:
    make(Paths(tmp_path), rich2).close()

    async def scenario(reader: Reader) -> None:
        assert datafile.dump(reader.views[0]) == datafile.dump(rich2)

    following(tmp_path, scenario)
