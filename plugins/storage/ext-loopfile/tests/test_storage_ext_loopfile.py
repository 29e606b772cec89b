"""ExtStorage provider loopfile: the contract, with loop devices and without."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import pytest
from ganeti_storage_ext_loopfile import LoopfileProvider, loop

from ganeti_kernel.errors import BlockDeviceError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.extstorage import ExtStorageContract, make_volume


class Loopfile(ExtStorageContract):
    @pytest.fixture
    def plugin_class(self) -> type[LoopfileProvider]:
        return LoopfileProvider

    @pytest.fixture
    def wrong_params(self) -> list[dict[str, str]]:
        return [{"pool": "../outside"}, {"pool": "a b"}]


class TestFiles(Loopfile):
    @pytest.fixture(autouse=True)
    def no_loop_devices(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loop, "usable", lambda: False)


@pytest.mark.root
@pytest.mark.skipif(not loop.usable(), reason="loop devices need root and /dev/loop-control")
class TestLoopDevices(Loopfile):
    @pytest.fixture
    def params(self) -> dict[str, str]:
        return {"pool": "p1", "sparse": "false"}


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoopfileProvider:
    monkeypatch.setattr(loop, "usable", lambda: False)
    return LoopfileProvider(PluginContext(paths=Paths(tmp_path)))


def test_volume_lies_in_its_pool(provider: LoopfileProvider, tmp_path: Path) -> None:
    volume = make_volume(0, {"pool": "p1"})
    provider.create(volume)
    path = f"{tmp_path}/srv/ganeti/loopfile/p1/{volume.name}"
    device = provider.attach(volume)
    assert device.path == path
    assert device.uris == {"kvm": f"file:{path}"}


@pytest.mark.parametrize(("sparse", "blocks"), [("true", 0), ("false", 8192)])
def test_room_is_taken_when_asked(provider: LoopfileProvider, sparse: str, blocks: int) -> None:
    volume = make_volume(0, {"sparse": sparse})
    provider.create(volume)
    path = provider.attach(volume).path
    assert path is not None
    assert Path(path).stat().st_blocks >= blocks
    assert bool(Path(path).stat().st_blocks) == bool(blocks)


def test_remark_lies_beside_the_volume(provider: LoopfileProvider, tmp_path: Path) -> None:
    volume = make_volume(0, {})
    provider.create(volume)
    provider.set_info(volume, "originstname+a")
    (remark,) = tmp_path.glob("**/*.info")
    assert remark.read_text() == "originstname+a\n"
    provider.remove(volume)
    assert list(tmp_path.glob("**/*.ext.*")) == []


def test_full_disk_leaves_nothing(
    provider: LoopfileProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    volume = make_volume(0, {"sparse": "no"})
    with pytest.raises(BlockDeviceError, match="No space left on device"):
        provider.create(volume)
    assert [path for path in tmp_path.glob("**/*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 300])
def test_names_that_are_paths_are_refused(provider: LoopfileProvider, name: str) -> None:
    with pytest.raises(BlockDeviceError, match="cannot be a volume's name"):
        provider.create(msgspec.structs.replace(make_volume(0, {}), name=name))


def test_shrinking_is_refused(provider: LoopfileProvider) -> None:
    volume = make_volume(0, {})
    provider.create(volume)
    with pytest.raises(BlockDeviceError, match="cannot shrink"):
        provider.grow(volume, 1)


@pytest.mark.parametrize(
    ("text", "names"),
    [("", []), ("/dev/loop3\n", ["/dev/loop3"]), (" /dev/loop1 \n\nnoise\n", ["/dev/loop1"])],
)
def test_losetup_output(text: str, names: list[str]) -> None:
    assert loop.parse_names(text) == names
