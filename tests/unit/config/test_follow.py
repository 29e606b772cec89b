"""Following config.data through everything that may happen to a file."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ganeti_kernel.config import follow
from ganeti_kernel.config.follow import DataFile, Watch
from ganeti_kernel.objects import ConfigView

TREE = json.loads((Path(__file__).parents[2] / "data/config/config.data.rich1.json").read_text())


def text(serial: int) -> bytes:
    return json.dumps(TREE | {"serial_no": serial}).encode()


class Reader:
    """Follows a file and remembers what came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.serials: list[int] = []
        self.failures: list[str] = []
        self.source = DataFile(path, failed=self.failures.append)

    def changed(self, view: ConfigView) -> None:
        self.serials.append(view.serial_no)

    def rename(self, data: bytes) -> None:
        new = self.path.with_suffix(".new")
        new.write_bytes(data)
        new.rename(self.path)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)

    async def see(self, serial: int) -> None:
        await self.until(lambda: self.serials and self.serials[-1] == serial)


def following(
    tmp_path: Path, scenario: Callable[[Reader], Awaitable[None]], *, exists: bool = True
) -> Reader:
    """Run a scenario with a reader that has begun to follow."""
    folder = tmp_path / "data"
    folder.mkdir()
    reader = Reader(folder / "config.data")
    if exists:
        reader.path.write_bytes(text(1))

    async def main() -> None:
        reader.source.start(reader.changed)
        try:
            await scenario(reader)
        finally:
            reader.source.stop()

    asyncio.run(main())
    return reader


def test_the_file_is_read_at_once(tmp_path: Path) -> None:
    async def scenario(reader: Reader) -> None:
        assert reader.serials == [1]

    following(tmp_path, scenario)


def test_renames_are_seen_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "RELOAD_GAP", 0)
    monkeypatch.setattr(follow, "POLL_WATCHED", 1000)

    async def scenario(reader: Reader) -> None:
        for serial in range(2, 12):
            reader.rename(text(serial))
            await reader.see(serial)

    assert following(tmp_path, scenario).serials == list(range(1, 12))


def test_a_file_written_in_place_is_seen(tmp_path: Path) -> None:
    async def scenario(reader: Reader) -> None:
        reader.path.write_bytes(text(2))
        await reader.see(2)

    following(tmp_path, scenario)


def test_a_storm_of_changes_ends_with_the_last(tmp_path: Path) -> None:
    async def scenario(reader: Reader) -> None:
        for serial in range(2, 200):
            reader.rename(text(serial))
            await asyncio.sleep(0)
        await reader.see(199)

    assert len(following(tmp_path, scenario).serials) < 20


def test_without_notifications_the_file_is_polled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "on", lambda _directory: None)
    monkeypatch.setattr(follow, "POLL_BLIND", 0.01)
    monkeypatch.setattr(follow, "RELOAD_GAP", 0)

    async def scenario(reader: Reader) -> None:
        reader.rename(text(2))
        await reader.see(2)

    following(tmp_path, scenario)


@pytest.mark.parametrize("broken", [b"", text(2)[:5000], b"garbage", b"{}"])
def test_a_broken_file_leaves_the_last_good_one(tmp_path: Path, broken: bytes) -> None:
    async def scenario(reader: Reader) -> None:
        reader.rename(broken)
        await reader.until(lambda: reader.source.problem)
        assert reader.serials == [1]
        assert str(reader.path) in reader.source.problem
        reader.rename(text(3))
        await reader.see(3)
        assert reader.source.problem == ""

    assert len(following(tmp_path, scenario).failures) == 1


def test_a_file_that_vanishes_and_comes_back(tmp_path: Path) -> None:
    async def scenario(reader: Reader) -> None:
        reader.path.unlink()
        await reader.until(lambda: reader.source.problem)
        assert "does not exist" in reader.source.problem
        reader.rename(text(2))
        await reader.see(2)

    assert following(tmp_path, scenario).serials == [1, 2]


def test_a_file_that_appears_late(tmp_path: Path) -> None:
    async def scenario(reader: Reader) -> None:
        assert reader.serials == []
        reader.rename(text(5))
        await reader.see(5)

    following(tmp_path, scenario, exists=False)


def test_a_directory_that_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "POLL_WATCHED", 0.02)

    async def scenario(reader: Reader) -> None:
        shutil.rmtree(reader.path.parent)
        await reader.until(lambda: reader.source.problem)
        reader.path.parent.mkdir()
        reader.rename(text(2))
        await reader.see(2)
        reader.rename(text(3))
        await reader.see(3)

    following(tmp_path, scenario)


def test_a_file_nobody_may_read(tmp_path: Path) -> None:
    async def scenario(reader: Reader) -> None:
        reader.path.unlink()
        reader.path.mkdir()
        await reader.until(lambda: reader.source.problem)
        assert reader.serials == [1]

    following(tmp_path, scenario)


def test_the_same_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "POLL_WATCHED", 0.01)

    async def scenario(reader: Reader) -> None:
        (reader.path.parent / "another file").write_bytes(b"x")
        await asyncio.sleep(0.1)
        assert reader.serials == [1]
        reader.source.refresh()
        assert reader.serials == [1, 1]

    following(tmp_path, scenario)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = open_files()

    async def scenario(reader: Reader) -> None:
        await asyncio.sleep(0)

    following(tmp_path, scenario)
    assert open_files() == before
