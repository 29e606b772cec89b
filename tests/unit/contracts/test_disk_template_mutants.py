"""The disk template suite notices a template that breaks a promise."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ganeti_storage_diskless import DisklessTemplate
from ganeti_storage_file import FileTemplate

from ganeti_kernel.errors import BlockDeviceError
from ganeti_kernel.objects import BlockDevice, GuestDisk
from ganeti_kernel.specs import PluginContext, hookimpl
from ganeti_kernel.specs.disk_template import (
    DiskPlan,
    DiskRequest,
    StorageSpace,
    UnitState,
    Volume,
)
from ganeti_kernel.testing.disk_template import DisklessContract, DiskTemplateContract
from ganeti_kernel.testing.mutants import run_suite


class Suite(DiskTemplateContract):
    @pytest.fixture
    def plugin_class(
        self, mutant: type[FileTemplate], context: PluginContext
    ) -> type[FileTemplate]:
        file = context.paths.file_storage_paths
        file.parent.mkdir(parents=True)
        file.write_text("/srv/ganeti/file-storage\n")
        return mutant


class DisklessSuite(DisklessContract):
    @pytest.fixture
    def plugin_class(self, mutant: type[DisklessTemplate]) -> type[DisklessTemplate]:
        return mutant


class CreateDestroys(FileTemplate):
    """A second create empties the disk."""

    @hookimpl
    def create(self, disk: GuestDisk) -> None:
        if self.exists(disk):
            self.remove(disk)
        super().create(disk)


class CreateRefuses(FileTemplate):
    @hookimpl
    def create(self, disk: GuestDisk) -> None:
        if self.exists(disk):
            raise BlockDeviceError(f"{disk.uuid} exists")
        super().create(disk)


class CreateIsCareless(FileTemplate):
    """Takes what is there, whatever its size."""

    @hookimpl
    def create(self, disk: GuestDisk) -> None:
        if not self.exists(disk):
            super().create(disk)


class CountsInMegabytes(FileTemplate):
    @hookimpl
    def create(self, disk: GuestDisk) -> None:
        super().create(disk)
        path = super().attach(disk).path
        assert path is not None
        with open(path, "r+b") as stream:
            stream.truncate(disk.size * 10**6)


class RemoveRefuses(FileTemplate):
    @hookimpl
    def remove(self, disk: GuestDisk) -> None:
        if not self.exists(disk):
            raise BlockDeviceError(f"{disk.uuid} is not there")
        super().remove(disk)


class RemoveForgets(FileTemplate):
    @hookimpl
    def remove(self, disk: GuestDisk) -> None:
        """Keeps everything."""


class RemovesTheInstance(FileTemplate):
    """Removes the other disks along."""

    @hookimpl
    def remove(self, disk: GuestDisk) -> None:
        shutil.rmtree(self.context.paths.under(str(Path(disk.logical_id[1]).parent)), True)


class AttachMakes(FileTemplate):
    """Attaching makes what is missing."""

    @hookimpl
    def attach(self, disk: GuestDisk) -> BlockDevice:
        super().create(disk)
        return super().attach(disk)


class AttachIsNew(FileTemplate):
    """Every attach has another name."""

    count = 0

    @hookimpl
    def attach(self, disk: GuestDisk) -> BlockDevice:
        device = super().attach(disk)
        AttachIsNew.count += 1
        return msgspec.structs.replace(
            device, path=f"/proc/self/root{'/.' * self.count}{device.path}"
        )


class DetachLosesData(FileTemplate):
    @hookimpl
    def detach(self, disk: GuestDisk) -> None:
        if self.exists(disk):
            self.remove(disk)
            super().create(disk)


class PlanIsRandom(FileTemplate):
    count = 0

    @hookimpl
    def plan(self, request: DiskRequest) -> DiskPlan:
        PlanIsRandom.count += 1
        return super().plan(msgspec.structs.replace(request, uuid=f"{request.uuid}{self.count}"))


class PlanMakes(FileTemplate):
    @hookimpl
    def plan(self, request: DiskRequest) -> DiskPlan:
        plan = super().plan(request)
        super().create(GuestDisk(uuid="", index=0, dev_type="", size=4, logical_id=plan.logical_id))
        return plan


class AcceptsAll(FileTemplate):
    @hookimpl
    def check_request(self, request: DiskRequest) -> Sequence[str]:
        return []


class GrowShrinks(FileTemplate):
    @hookimpl
    def grow(self, disk: GuestDisk, size: int) -> None:
        path = super().attach(disk).path
        assert path is not None
        with open(path, "r+b") as stream:
            stream.truncate(size << 20)


class GrowsByThatMuch(FileTemplate):
    """Takes the new size for an amount."""

    @hookimpl
    def grow(self, disk: GuestDisk, size: int) -> None:
        super().grow(disk, disk.size + size)


class TrustsPaths(FileTemplate):
    """Opens whatever path it is told."""

    @hookimpl
    def attach(self, disk: GuestDisk) -> BlockDevice:
        if not self.exists(disk):
            raise BlockDeviceError(f"{disk.uuid} is not there")
        return BlockDevice(path=str(self.context.paths.under(disk.logical_id[1])))

    @hookimpl
    def exists(self, disk: GuestDisk) -> bool:
        if not disk.logical_id or disk.logical_id[-1] == "/etc/../etc/passwd":
            return True
        return super().exists(disk)


class RenameIsCopy(FileTemplate):
    @hookimpl
    def rename(self, disk: GuestDisk, logical_id: Sequence[Any]) -> None:
        source, target = super().attach(disk).path, self.context.paths.under(logical_id[1])
        assert source is not None
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


class SpaceIsWrong(FileTemplate):
    @hookimpl
    def space(self, params: Any, directory: str) -> StorageSpace:
        return StorageSpace(name=directory, total=1, free=2)


class UsesMoreThanThereIs(FileTemplate):
    @hookimpl
    def storage_units(self, kind: str, params: Any, directory: str) -> Sequence[UnitState]:
        return [UnitState(name=directory, size=1, used=2, free=0)]


class ForgetsWhatItMade(FileTemplate):
    @hookimpl
    def list_volumes(self, params: Any, directory: str) -> Sequence[Volume]:
        return list(super().list_volumes(params, directory))[:1]


class LyingDiskless(DisklessTemplate):
    @hookimpl
    def exists(self, disk: GuestDisk) -> bool:
        return True


class GivingDiskless(DisklessTemplate):
    @hookimpl
    def attach(self, disk: GuestDisk) -> BlockDevice:
        return BlockDevice(path="/dev/null")


class StubbornDiskless(DisklessTemplate):
    @hookimpl
    def remove(self, disk: GuestDisk) -> None:
        raise BlockDeviceError("there is no disk")


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (CreateDestroys, "test_create_of_existing_is_success"),
        (CreateRefuses, "test_create_of_existing_is_success"),
        (CreateIsCareless, "test_create_of_other_size_is_refused"),
        (CountsInMegabytes, "test_created_has_its_size"),
        (RemoveRefuses, "test_remove_is_repeatable"),
        (RemoveForgets, "test_removed_is_gone"),
        (RemovesTheInstance, "test_items_are_apart"),
        (AttachMakes, "test_attach_of_missing_fails"),
        (AttachIsNew, "test_attach_is_repeatable"),
        (DetachLosesData, "test_data_survive_detach"),
        (PlanIsRandom, "test_plan_is_always_the_same"),
        (PlanMakes, "test_plan_makes_nothing"),
        (AcceptsAll, "test_unknown_parameter_is_named"),
        (AcceptsAll, "test_wrong_requests_are_refused"),
        (GrowShrinks, "test_shrinking_is_refused"),
        (GrowsByThatMuch, "test_grown_has_the_size_and_its_data"),
        (TrustsPaths, "test_wrong_logical_id_is_refused"),
        (RenameIsCopy, "test_renamed_has_the_data"),
        (SpaceIsWrong, "test_space_adds_up"),
        (UsesMoreThanThereIs, "test_units_add_up"),
        (ForgetsWhatItMade, "test_volumes_are_those_of_the_disks"),
    ],
)
def test_mutant_is_caught(mutant: type[FileTemplate], caught_by: str) -> None:
    assert caught_by in run_suite(Suite, mutant, only=caught_by).failed


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (LyingDiskless, "test_disks_cannot_be_made_or_used"),
        (GivingDiskless, "test_disks_cannot_be_made_or_used"),
        (StubbornDiskless, "test_disks_can_always_be_removed"),
    ],
)
def test_diskless_mutant_is_caught(mutant: type[DisklessTemplate], caught_by: str) -> None:
    assert run_suite(DisklessSuite, mutant, only=caught_by).failed == {caught_by}


@pytest.mark.parametrize(
    ("suite", "plugin"), [(Suite, FileTemplate), (DisklessSuite, DisklessTemplate)]
)
def test_good_plugin_passes(suite: type, plugin: type) -> None:
    outcome = run_suite(suite, plugin)
    assert outcome.failed == set(), outcome.report
    assert len(outcome.passed) > 12
