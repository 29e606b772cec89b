"""The ExtStorage suite notices a provider that breaks a promise."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from ganeti_storage_ext_loopfile import LoopfileProvider, loop

from ganeti_kernel.errors import BlockDeviceError
from ganeti_kernel.objects import BlockDevice
from ganeti_kernel.specs import hookimpl
from ganeti_kernel.specs.extstorage import Volume
from ganeti_kernel.testing.extstorage import ExtStorageContract
from ganeti_kernel.testing.mutants import run_suite


class Suite(ExtStorageContract):
    @pytest.fixture
    def plugin_class(
        self, mutant: type[LoopfileProvider], monkeypatch: pytest.MonkeyPatch
    ) -> type[LoopfileProvider]:
        monkeypatch.setattr(loop, "usable", lambda: False)
        return mutant

    @pytest.fixture
    def wrong_params(self) -> list[dict[str, str]]:
        return [{"pool": "../outside"}]


class CreateOverwrites(LoopfileProvider):
    @hookimpl
    def create(self, volume: Volume) -> None:
        super().remove(volume)
        super().create(volume)


class CreateIsOffByOne(LoopfileProvider):
    @hookimpl
    def create(self, volume: Volume) -> None:
        super().create(msgspec.structs.replace(volume, size=volume.size + 1))


class SharesOneVolume(LoopfileProvider):
    """All volumes are the same."""

    def _path(self, volume: Volume) -> Path:
        return super()._path(msgspec.structs.replace(volume, name="all"))


class UsesTheUsersName(LoopfileProvider):
    """Looks volumes up by the name a user may change."""

    def _path(self, volume: Volume) -> Path:
        name = (volume.cname or volume.name).replace(" ", "_")
        return super()._path(msgspec.structs.replace(volume, name=name))


class AttachCounts(LoopfileProvider):
    numbers = itertools.count()

    @hookimpl
    def attach(self, volume: Volume) -> BlockDevice:
        device = super().attach(volume)
        return msgspec.structs.replace(device, uris={"kvm": f"nbd:localhost:{next(self.numbers)}"})


class AttachFailsSilently(LoopfileProvider):
    @hookimpl
    def attach(self, volume: Volume) -> BlockDevice:
        try:
            return super().attach(volume)
        except BlockDeviceError:
            return BlockDevice()


class ErrorsSayNothing(LoopfileProvider):
    @hookimpl
    def attach(self, volume: Volume) -> BlockDevice:
        try:
            return super().attach(volume)
        except BlockDeviceError:
            raise BlockDeviceError("failed") from None


class RemoveNeedsTheVolume(LoopfileProvider):
    @hookimpl
    def remove(self, volume: Volume) -> None:
        self._path(volume).unlink()


class DetachOnlyOnce(LoopfileProvider):
    attached: set[str] = set()

    @hookimpl
    def attach(self, volume: Volume) -> BlockDevice:
        self.attached.add(volume.name)
        return super().attach(volume)

    @hookimpl
    def detach(self, volume: Volume) -> None:
        if volume.name not in self.attached:
            raise BlockDeviceError(f"{volume.name} is not attached")
        self.attached.remove(volume.name)


class GrowAdds(LoopfileProvider):
    @hookimpl
    def grow(self, volume: Volume, size: int) -> None:
        super().grow(volume, volume.size + size)


class GrowRefusesEqual(LoopfileProvider):
    @hookimpl
    def grow(self, volume: Volume, size: int) -> None:
        if size == volume.size:
            raise BlockDeviceError(f"{volume.name} has that size")
        super().grow(volume, size)


class SnapshotIsEmpty(LoopfileProvider):
    @hookimpl
    def snapshot(self, volume: Volume, name: str, size: int) -> None:
        super().create(msgspec.structs.replace(volume, name=name, size=size))


class ChecksNothing(LoopfileProvider):
    @hookimpl
    def verify(self, params: dict[str, str]) -> Sequence[str]:
        return []


class Arguments(LoopfileProvider):
    @hookimpl
    def grow(self, volume: Volume, new_size: int) -> None:
        super().grow(volume, new_size)


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (CreateOverwrites, "test_create_of_existing_is_success"),
        (CreateIsOffByOne, "test_created_has_its_size"),
        (SharesOneVolume, "test_items_are_apart"),
        (UsesTheUsersName, "test_named_volume_is_like_any"),
        (AttachCounts, "test_attach_is_repeatable"),
        (AttachCounts, "test_attach_from_many_sides"),
        (AttachFailsSilently, "test_attach_of_missing_fails"),
        (ErrorsSayNothing, "test_errors_name_the_volume"),
        (RemoveNeedsTheVolume, "test_remove_is_repeatable"),
        (DetachOnlyOnce, "test_detach_is_repeatable"),
        (GrowAdds, "test_grown_has_the_size_and_its_data"),
        (GrowRefusesEqual, "test_grow_is_repeatable"),
        (SnapshotIsEmpty, "test_snapshot_has_the_data"),
        (ChecksNothing, "test_wrong_parameters_are_found"),
        (Arguments, "test_methods_have_the_contracts_arguments"),
    ],
)
def test_mutant_is_caught(mutant: type[LoopfileProvider], caught_by: str) -> None:
    assert caught_by in run_suite(Suite, mutant, only=caught_by).failed


def test_good_plugin_passes() -> None:
    outcome = run_suite(Suite, LoopfileProvider)
    assert outcome.failed == set(), outcome.report
    assert len(outcome.passed) > 25
