"""The suites for DiskTemplate plugins."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from ganeti_kernel.errors import BlockDeviceError
from ganeti_kernel.objects.guest import GuestDisk
from ganeti_kernel.specs.disk_template import DiskRequest, DiskTemplate, SyncStatus
from ganeti_kernel.testing.plugin import PluginContract
from ganeti_kernel.testing.storage import MIB, StorageContract, read, size_of, write

FEATURES: dict[str, tuple[str, ...]] = {
    "shared": (),
    "mirrored": ("sync_status",),
    "grow": ("grow",),
    "snapshot": ("snapshot",),
    "rename": ("rename",),
    "adopt": (),
    "must-adopt": (),
    "file": (),
    "directory:": (),
    "no-disks": (),
    "user-parameters": (),
    "space": ("space",),
    "units:": ("storage_units",),
    "units-change:": ("change_unit",),
    "units-repair:": ("repair_unit",),
    "volumes": ("list_volumes",),
}


def make_request(index: int = 0) -> DiskRequest:
    """A request that file templates can serve, too."""
    return DiskRequest(
        instance="inst1.example.com",
        instance_uuid="5f0f1ea4-0000-4000-8000-000000000001",
        uuid=f"c1e0c9a2-0000-4000-8000-{index:012d}",
        index=index,
        size=4,
        directory="/srv/ganeti/file-storage",
    )


def make_disk(template: DiskTemplate, request: DiskRequest) -> GuestDisk:
    """The disk as the configuration would have it."""
    plan = template.plan(request)
    return GuestDisk(
        uuid=request.uuid,
        index=request.index,
        dev_type=template.describe().name,
        logical_id=plan.logical_id,
        size=plan.size,
        mode=request.mode,
        name=request.name,
        instance=request.instance,
        params={**request.params, **plan.params},
    )


class DiskTemplateContract(StorageContract):
    """Makes real disks of a few MiB.

    To fill in: `plugin_class`, and whatever the template needs on the node. May be filled in:
    `disk_request` and `other_request` (a second disk), `wrong_requests` (each must be refused).
    """

    CONTRACT = DiskTemplate
    FEATURES = FEATURES

    @pytest.fixture
    def disk_request(self) -> DiskRequest:
        return make_request()

    @pytest.fixture
    def other_request(self, disk_request: DiskRequest) -> DiskRequest:
        uuid = disk_request.uuid[:-3] + "999"
        return msgspec.structs.replace(disk_request, uuid=uuid, index=1)

    @pytest.fixture
    def wrong_requests(self) -> list[DiskRequest]:
        return []

    @pytest.fixture
    def item(self, plugin: DiskTemplate, disk_request: DiskRequest) -> GuestDisk:
        return make_disk(plugin, disk_request)

    @pytest.fixture
    def other_item(self, plugin: DiskTemplate, other_request: DiskRequest) -> GuestDisk:
        return make_disk(plugin, other_request)

    def grows(self, storage: DiskTemplate) -> bool:
        return "grow" in storage.describe().features

    # -- requests --------------------------------------------------------------------------------

    def test_good_request_is_good(self, storage: DiskTemplate, disk_request: DiskRequest) -> None:
        assert list(storage.check_request(disk_request)) == []

    def test_unknown_parameter_is_named(
        self, storage: DiskTemplate, disk_request: DiskRequest
    ) -> None:
        spec = {**disk_request.spec, "no-such-parameter": "1"}
        problems = storage.check_request(msgspec.structs.replace(disk_request, spec=spec))
        assert any("no-such-parameter" in text for text in problems), problems

    def test_wrong_requests_are_refused(
        self, storage: DiskTemplate, disk_request: DiskRequest, wrong_requests: list[DiskRequest]
    ) -> None:
        wrong_requests = [*wrong_requests, msgspec.structs.replace(disk_request, size=0)]
        for wrong in wrong_requests:
            problems = storage.check_request(wrong)
            assert problems, f"nothing wrong found in {wrong}"
            assert all(text.strip() and "\n" not in text.strip() for text in problems)

    def test_plan_is_always_the_same(
        self,
        storage: DiskTemplate,
        make: Callable[[], DiskTemplate],
        disk_request: DiskRequest,
        other_request: DiskRequest,
    ) -> None:
        plan = storage.plan(disk_request)
        assert plan == storage.plan(disk_request) == make().plan(disk_request)
        assert plan.logical_id != storage.plan(other_request).logical_id
        assert plan.size >= disk_request.size

    def test_plan_is_plain_data(self, storage: DiskTemplate, disk_request: DiskRequest) -> None:
        plan = storage.plan(disk_request)
        data = msgspec.json.decode(msgspec.json.encode(plan))
        assert data["logical_id"] == plan.logical_id
        assert data["params"] == plan.params

    def test_plan_makes_nothing(self, storage: DiskTemplate, item: GuestDisk) -> None:
        assert not storage.exists(item)

    # -- what only disks have --------------------------------------------------------------------

    def test_exists_tells_the_truth(self, storage: DiskTemplate, item: GuestDisk) -> None:
        assert not storage.exists(item)
        storage.create(item)
        assert storage.exists(item)
        storage.remove(item)
        assert not storage.exists(item)

    def test_actual_size_is_in_bytes(self, storage: DiskTemplate, item: GuestDisk) -> None:
        storage.create(item)
        assert storage.actual_size(item) == item.size * MIB

    def test_actual_size_of_missing_fails(self, storage: DiskTemplate, item: GuestDisk) -> None:
        with pytest.raises(BlockDeviceError):
            storage.actual_size(item)

    def test_shrinking_is_refused(self, storage: DiskTemplate, item: GuestDisk) -> None:
        if not self.grows(storage):
            pytest.skip("no feature grow")
        storage.create(item)
        with pytest.raises(BlockDeviceError):
            storage.grow(item, item.size - 1)
        assert storage.actual_size(item) == item.size * MIB

    def test_sync_status_of_lone_disk(self, storage: DiskTemplate, item: GuestDisk) -> None:
        if "mirrored" in storage.describe().features:
            pytest.skip("the template keeps copies")
        storage.create(item)
        assert storage.sync_status(item) == SyncStatus()

    def test_wrong_logical_id_is_refused(self, storage: DiskTemplate, item: GuestDisk) -> None:
        for wrong in ([], ["nonsense"], [1, 2, 3], ["loop", "/etc/../etc/passwd"]):
            with pytest.raises(BlockDeviceError):
                storage.attach(msgspec.structs.replace(item, logical_id=wrong))

    def test_snapshot_has_the_data(self, storage: DiskTemplate, item: GuestDisk) -> None:
        if "snapshot" not in storage.describe().features:
            pytest.skip("no feature snapshot")
        storage.create(item)
        write(storage.attach(item))
        logical_id = storage.snapshot(item, f"{item.logical_id[1]}.snap", item.size)
        copy = msgspec.structs.replace(item, logical_id=logical_id)
        try:
            assert logical_id != item.logical_id
            assert read(storage.attach(copy)) == read(storage.attach(item))
            assert size_of(storage.attach(copy)) == item.size * MIB
        finally:
            storage.detach(copy)
            storage.remove(copy)

    def test_renamed_has_the_data(
        self, storage: DiskTemplate, item: GuestDisk, other_item: GuestDisk
    ) -> None:
        if "rename" not in storage.describe().features:
            pytest.skip("no feature rename")
        storage.create(item)
        write(storage.attach(item))
        storage.detach(item)
        before = read(storage.attach(item))
        storage.detach(item)
        storage.rename(item, other_item.logical_id)
        storage.rename(item, other_item.logical_id)
        assert read(storage.attach(other_item)) == before
        assert not storage.exists(item)

    def test_space_adds_up(self, storage: DiskTemplate, item: GuestDisk) -> None:
        if "space" not in storage.describe().features:
            pytest.skip("no feature space")
        storage.create(item)
        space = storage.space(item.params, make_request().directory)
        assert 0 <= space.free <= space.total

    def test_units_add_up(self, storage: DiskTemplate, item: GuestDisk) -> None:
        features = sorted(storage.describe().features)
        kinds = [name.partition(":")[2] for name in features if name.startswith("units:")]
        if not kinds:
            pytest.skip("no storage units")
        storage.create(item)
        for kind in kinds:
            units = storage.storage_units(kind, item.params, make_request().directory)
            assert units, f"no unit of type {kind} though it has a disk"
            assert len({unit.name for unit in units}) == len(units)
            for unit in units:
                assert 0 <= unit.free <= unit.size, unit
                assert 0 <= unit.used <= unit.size, unit

    def test_volumes_are_those_of_the_disks(
        self, storage: DiskTemplate, item: GuestDisk, other_item: GuestDisk
    ) -> None:
        if "volumes" not in storage.describe().features:
            pytest.skip("no feature volumes")
        directory = make_request().directory
        assert not storage.list_volumes(item.params, directory)
        storage.create(item)
        storage.create(other_item)
        found = storage.list_volumes(item.params, directory)
        assert [volume.size for volume in found] == [item.size, other_item.size]
        for disk in (item, other_item):
            assert sum(disk.logical_id in volume.logical_ids for volume in found) == 1
        storage.remove(other_item)
        (left,) = storage.list_volumes(item.params, directory)
        assert item.logical_id in left.logical_ids


class DisklessContract(PluginContract):
    """For templates with the feature "no-disks". To fill in: `plugin_class`."""

    CONTRACT = DiskTemplate
    FEATURES = FEATURES

    @pytest.fixture
    def disk(self) -> GuestDisk:
        return GuestDisk(uuid=make_request().uuid, index=0, dev_type="", logical_id=[], size=4)

    def test_every_request_is_refused(self, plugin: DiskTemplate) -> None:
        assert "no-disks" in plugin.describe().features
        assert plugin.check_request(make_request())
        with pytest.raises(BlockDeviceError):
            plugin.plan(make_request())

    def test_disks_cannot_be_made_or_used(self, plugin: DiskTemplate, disk: GuestDisk) -> None:
        for call in (plugin.create, plugin.attach, plugin.actual_size):
            with pytest.raises(BlockDeviceError):
                call(disk)
        assert not plugin.exists(disk)

    def test_disks_can_always_be_removed(self, plugin: DiskTemplate, disk: GuestDisk) -> None:
        plugin.detach(disk)
        plugin.remove(disk)
