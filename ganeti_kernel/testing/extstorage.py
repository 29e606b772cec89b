"""The suite for ExtStorageProvider plugins."""

from __future__ import annotations

import re

import msgspec
import pytest

from ganeti_kernel.errors import BlockDeviceError
from ganeti_kernel.specs.extstorage import ExtStorageProvider, Volume
from ganeti_kernel.testing.storage import MIB, StorageContract, read, size_of, write


class ExtStorageContract(StorageContract):
    """Makes real volumes of a few MiB.

    To fill in: `plugin_class`. May be filled in: `params` (what a volume's parameters must be),
    `wrong_params` (sets of values that `verify` must object to).
    """

    CONTRACT = ExtStorageProvider
    FEATURES = {"snapshot": ("snapshot",), "open": ("open", "close")}

    @pytest.fixture
    def params(self) -> dict[str, str]:
        return {}

    @pytest.fixture
    def wrong_params(self) -> list[dict[str, str]]:
        return []

    @pytest.fixture
    def item(self, params: dict[str, str]) -> Volume:
        return make_volume(0, params)

    @pytest.fixture
    def other_item(self, params: dict[str, str]) -> Volume:
        return make_volume(1, params)

    def grows(self, storage: ExtStorageProvider) -> bool:
        return True

    def test_good_parameters_are_good(
        self, storage: ExtStorageProvider, params: dict[str, str]
    ) -> None:
        assert list(storage.verify(params)) == []

    def test_wrong_parameters_are_found(
        self, storage: ExtStorageProvider, wrong_params: list[dict[str, str]]
    ) -> None:
        if not wrong_params:
            pytest.skip("the provider checks no parameters itself")
        for wrong in wrong_params:
            problems = storage.verify(wrong)
            assert problems, f"nothing wrong found in {wrong}"
            assert all("\n" not in text.strip() for text in problems)

    def test_errors_name_the_volume(self, storage: ExtStorageProvider, item: Volume) -> None:
        with pytest.raises(BlockDeviceError, match=re.escape(item.name)):
            storage.attach(item)

    def test_remove_of_attached_is_complete(
        self, storage: ExtStorageProvider, item: Volume
    ) -> None:
        storage.create(item)
        storage.attach(item)
        storage.remove(item)
        with pytest.raises(BlockDeviceError):
            storage.attach(item)

    def test_named_volume_is_like_any(self, storage: ExtStorageProvider, item: Volume) -> None:
        named = msgspec.structs.replace(item, cname="a disk of mine")
        storage.create(named)
        assert storage.attach(named) == storage.attach(item)

    def test_snapshot_has_the_data(self, storage: ExtStorageProvider, item: Volume) -> None:
        if "snapshot" not in storage.describe().features:
            pytest.skip("no feature snapshot")
        storage.create(item)
        write(storage.attach(item))
        name = f"{item.name}.snap"
        copy = msgspec.structs.replace(item, name=name)
        storage.snapshot(item, name, item.size)
        try:
            assert read(storage.attach(copy)) == read(storage.attach(item))
            assert size_of(storage.attach(copy)) == item.size * MIB
        finally:
            storage.detach(copy)
            storage.remove(copy)


def make_volume(index: int, params: dict[str, str]) -> Volume:
    return Volume(
        name=f"c1e0c9a2-0000-4000-8000-00000000000{index}.ext.disk{index}",
        uuid=f"c1e0c9a2-0000-4000-8000-{index:012d}",
        size=4,
        params=params,
    )
