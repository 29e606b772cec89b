"""What disk templates and ExtStorage providers have in common: making and mapping volumes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from ganeti_kernel.errors import BlockDeviceError
from ganeti_kernel.objects.guest import BlockDevice
from ganeti_kernel.testing.plugin import PluginContract

MIB = 1 << 20
PATTERN = b"written by a test\n" * 8


class StorageContract(PluginContract):
    """Works on `item`, `other_item`: disks or volumes, all with `size` in MiB."""

    @pytest.fixture
    def item(self) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def other_item(self) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def storage(self, plugin: Any, item: Any, other_item: Any) -> Iterator[Any]:
        yield plugin
        for thing in (item, other_item):
            plugin.detach(thing)
            plugin.remove(thing)

    # -- making ----------------------------------------------------------------------------------

    def test_created_has_its_size(self, storage: Any, item: Any) -> None:
        storage.create(item)
        assert size_of(storage.attach(item)) == item.size * MIB

    def test_create_of_existing_is_success(self, storage: Any, item: Any) -> None:
        storage.create(item)
        write(storage.attach(item))
        storage.create(item)
        assert read(storage.attach(item)) == PATTERN, "a second create destroyed data"

    def test_create_of_other_size_is_refused(self, storage: Any, item: Any) -> None:
        storage.create(item)
        with pytest.raises(BlockDeviceError) as caught:
            storage.create(msgspec.structs.replace(item, size=item.size * 2))
        assert str(caught.value).strip()
        assert size_of(storage.attach(item)) == item.size * MIB

    def test_items_are_apart(self, storage: Any, item: Any, other_item: Any) -> None:
        storage.create(item)
        storage.create(other_item)
        write(storage.attach(item))
        assert read(storage.attach(other_item)) != PATTERN
        storage.detach(other_item)
        storage.remove(other_item)
        assert read(storage.attach(item)) == PATTERN

    # -- mapping ---------------------------------------------------------------------------------

    def test_attach_is_repeatable(self, storage: Any, item: Any) -> None:
        storage.create(item)
        assert storage.attach(item) == storage.attach(item)

    def test_attach_gives_something_to_open(self, storage: Any, item: Any) -> None:
        storage.create(item)
        device = storage.attach(item)
        assert device.path or device.uris
        assert device.path is None or os.access(device.path, os.R_OK | os.W_OK)
        assert all(key == key.lower() and uri for key, uri in device.uris.items())

    def test_attach_of_missing_fails(self, storage: Any, item: Any) -> None:
        with pytest.raises(BlockDeviceError) as caught:
            storage.attach(item)
        assert str(caught.value).strip()

    def test_attach_from_many_sides(self, storage: Any, item: Any) -> None:
        storage.create(item)
        with ThreadPoolExecutor(4) as pool:
            devices = list(pool.map(storage.attach, [item] * 4))
        assert all(device == devices[0] for device in devices)

    def test_data_survive_detach(self, storage: Any, item: Any) -> None:
        storage.create(item)
        write(storage.attach(item))
        storage.detach(item)
        assert read(storage.attach(item)) == PATTERN

    def test_detach_is_repeatable(self, storage: Any, item: Any) -> None:
        storage.detach(item)
        storage.create(item)
        storage.attach(item)
        storage.detach(item)
        storage.detach(item)

    def test_restarted_daemon_sees_it(
        self, storage: Any, make: Callable[[], Any], item: Any
    ) -> None:
        storage.create(item)
        write(storage.attach(item))
        other = make()
        assert read(other.attach(item)) == PATTERN
        other.detach(item)
        other.remove(item)
        with pytest.raises(BlockDeviceError):
            storage.attach(item)

    # -- removing --------------------------------------------------------------------------------

    def test_removed_is_gone(self, storage: Any, item: Any) -> None:
        storage.create(item)
        storage.attach(item)
        storage.detach(item)
        storage.remove(item)
        with pytest.raises(BlockDeviceError):
            storage.attach(item)

    def test_remove_is_repeatable(self, storage: Any, item: Any) -> None:
        storage.remove(item)
        storage.create(item)
        storage.remove(item)
        storage.remove(item)

    def test_removed_can_be_made_again_without_old_data(self, storage: Any, item: Any) -> None:
        storage.create(item)
        write(storage.attach(item))
        storage.detach(item)
        storage.remove(item)
        storage.create(item)
        assert read(storage.attach(item)) != PATTERN

    # -- growing, remarks, snapshots -------------------------------------------------------------

    def grows(self, storage: Any) -> bool:
        """Say whether the plugin can grow."""
        raise NotImplementedError

    def test_grown_has_the_size_and_its_data(self, storage: Any, item: Any) -> None:
        if not self.grows(storage):
            pytest.skip("no feature grow")
        storage.create(item)
        write(storage.attach(item))
        storage.grow(item, item.size + 3)
        grown = msgspec.structs.replace(item, size=item.size + 3)
        device = storage.attach(grown)
        assert size_of(device) == grown.size * MIB
        assert read(device) == PATTERN

    def test_grow_is_repeatable(self, storage: Any, item: Any) -> None:
        if not self.grows(storage):
            pytest.skip("no feature grow")
        storage.create(item)
        storage.grow(item, item.size + 3)
        storage.grow(msgspec.structs.replace(item, size=item.size + 3), item.size + 3)
        assert size_of(storage.attach(item)) == (item.size + 3) * MIB

    def test_remark_is_taken(self, storage: Any, item: Any) -> None:
        storage.create(item)
        storage.attach(item)
        storage.set_info(item, "originstname+inst1.example.com")
        storage.set_info(item, "originstname+inst1.example.com")

    def test_open_and_close_are_repeatable(self, storage: Any, item: Any) -> None:
        storage.create(item)
        storage.attach(item)
        for exclusive in (True, True, False):
            storage.open(item, exclusive)
        storage.close(item)
        storage.close(item)


def size_of(device: BlockDevice) -> int:
    """Bytes of what was attached, seen from outside the plugin."""
    with open(_path(device), "rb") as stream:
        return stream.seek(0, os.SEEK_END)


def write(device: BlockDevice) -> None:
    with open(_path(device), "r+b") as stream:
        stream.write(PATTERN)
        stream.flush()
        os.fsync(stream.fileno())


def read(device: BlockDevice) -> bytes:
    with open(_path(device), "rb") as stream:
        return stream.read(len(PATTERN))


def _path(device: BlockDevice) -> str:
    """A file that can be opened; a suite cannot look into what only a hypervisor opens."""
    if device.path is not None:
        return device.path
    files = [uri.removeprefix("file:") for uri in device.uris.values() if uri.startswith("file:")]
    if not files:
        pytest.skip("only a hypervisor can open this volume")
    return files[0]
