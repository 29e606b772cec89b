"""Calls about disks, guests and the node, on plugins in memory."""

from __future__ import annotations

import threading
import typing
from typing import Any

import msgspec
import pytest

from ganeti_kernel.errors import BlockDeviceError, HypervisorError, ParameterError, PluginError
from ganeti_kernel.node import disks, info, instances, verify
from ganeti_kernel.node.context import bounded
from ganeti_kernel.node.registry import ENTRIES, guest_or_disk, handlers
from ganeti_kernel.objects.guest import BlockDevice, Guest, GuestDisk
from ganeti_kernel.plugins.registry import Broken
from ganeti_kernel.rpc.calls import CALLS
from ganeti_kernel.rpc.results import StorageUnit
from ganeti_kernel.specs.hypervisor import NodeResources


def test_every_call_of_the_table_is_served_and_answers_what_the_table_says(node: Any) -> None:
    served = handlers(node.context)
    assert set(served) == set(CALLS)
    for name, call in CALLS.items():
        hints = typing.get_type_hints(ENTRIES[name].function)
        answer = type(None) if call.result is None else call.result
        assert hints["return"] == answer, name
        assert ENTRIES[name].function.__doc__ or name in {  # short ones say it by name
            "instance_state",
            "disk_exists",
        }


def test_calls_on_one_instance_have_one_subject(guest: Guest, disk: GuestDisk) -> None:
    assert guest_or_disk({"guest": guest}) == guest_or_disk({"disk": disk}) == "instance inst1"
    stop = ENTRIES["instance_stop"].subject({"hypervisor": "memory", "name": "inst1"})
    assert stop == "instance inst1"


def test_a_disks_life(node: Any, disk: GuestDisk) -> None:
    disks.disk_create(node.context, disk, "originstname+inst1")
    disks.disk_create(node.context, disk, "")
    assert disks.disk_exists(node.context, disk)
    assert disks.disk_attach(node.context, disk) == BlockDevice(
        path="/dev/d0", uris={"memory": "mem:d0"}
    )
    assert disks.disk_size(node.context, disk) == 8 << 20
    disks.disk_detach(node.context, disk)
    disks.disk_remove(node.context, disk)
    disks.disk_remove(node.context, disk)
    assert not disks.disk_exists(node.context, disk)
    assert node.template.log[:7] == [
        "create d0",
        "info(originstname+inst1) d0",
        "create d0",
        "attach d0",
        "open(True) d0",
        "close d0",
        "detach d0",
    ]


def test_a_disk_that_cannot_be_detached_is_removed_all_the_same(
    node: Any, disk: GuestDisk, caplog: pytest.LogCaptureFixture
) -> None:
    disks.disk_create(node.context, disk)
    node.template.fail["detach"] = BlockDeviceError("never was attached")
    disks.disk_remove(node.context, disk)
    assert not node.template.volumes
    assert "d0 is removed though it cannot be detached: never was attached" in caplog.text


def test_a_template_that_cannot_do_it_and_one_with_a_defect(node: Any, disk: GuestDisk) -> None:
    with pytest.raises(BlockDeviceError, match="disk template memory cannot do this"):
        disks.disk_grow(node.context, disk, 16)
    node.template.fail["create"] = KeyError("boom")
    with pytest.raises(BlockDeviceError, match=r"disk template memory has a defect \(KeyError: 'b"):
        disks.disk_create(node.context, disk)


def test_a_plugin_that_was_installed_a_moment_ago_is_found(node: Any, disk: GuestDisk) -> None:
    new = msgspec.structs.replace(disk, dev_type="new")
    with pytest.raises(PluginError, match="'new' is not installed"):
        disks.disk_create(node.context, new)
    node.registry.later = {"disk_template": {"new": node.template}}
    disks.disk_create(node.context, new)


def test_a_guest_is_started_with_its_disks_active(node: Any, guest: Guest) -> None:
    with pytest.raises(BlockDeviceError, match="d0 does not exist"):
        instances.instance_start(node.context, guest)
    assert not node.hypervisor.guests
    node.template.volumes.add("d0")
    instances.instance_start(node.context, guest)
    assert node.hypervisor.guests["inst1"].disks[0].device.path == "/dev/d0"
    instances.instance_start(node.context, guest)  # runs already: the plugin leaves it as it is
    assert list(node.hypervisor.guests) == ["inst1"]
    assert [item.name for item in instances.instances_list(node.context, {"memory": {}})["memory"]]
    assert instances.instance_state(node.context, "memory", "inst1") is not None
    assert instances.instance_console(node.context, guest, "node1").host == "node1"
    instances.instance_stop(node.context, "memory", "inst1")
    instances.instance_stop(node.context, "memory", "inst1")
    assert instances.instance_state(node.context, "memory", "inst1") is None


def test_parameters_are_checked_by_the_hypervisor(node: Any) -> None:
    assert instances.hypervisor_check(node.context, "memory", {"acpi": True}) == ["no acpi here"]
    with pytest.raises(PluginError, match="hypervisor 'xen' is not installed"):
        instances.hypervisor_check(node.context, "xen", {})


def test_what_the_node_has(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    units = [StorageUnit(template="memory"), StorageUnit(template="lost")]
    got = info.node_info(node.context, {"memory": {}, "xen": {}}, units)
    assert got.hypervisors["memory"].memory_free == 512
    assert got.storage == [None, None]  # no feature "space"; not installed
    assert got.problems == [
        "hypervisor xen: hypervisor 'xen' is not installed on this node",
        "disk template lost: disk_template 'lost' is not installed on this node",
    ]
    assert len(got.bootid) == 36


def test_a_hypervisor_that_hangs_costs_only_its_own_part(
    node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    def hang() -> NodeResources:
        gate.wait(20)
        return NodeResources(memory_total=1, memory_free=1, memory_dom0=1)

    monkeypatch.setattr(info, "PATIENCE", 0.05)
    node.hypervisor.resources = hang
    try:
        got = info.node_info(node.context, {"memory": {}})
    finally:
        gate.set()
    assert got.hypervisors == {}
    assert got.problems == ["hypervisor memory: it did not answer within 0.05 seconds"]


def test_a_plugin_cannot_end_the_daemon() -> None:
    def leave() -> None:
        raise SystemExit(1)

    with pytest.raises(Exception, match=r"it tried to end the node daemon \(SystemExit\(1\)\)"):
        bounded("it", 5, leave)
    with pytest.raises(HypervisorError, match="own"):
        bounded("it", 5, lambda: (_ for _ in ()).throw(HypervisorError("own")))


def test_plugins_and_what_is_wrong_with_them(node: Any) -> None:
    node.registry.broken = [Broken("hypervisor", "kvm", "ganeti-hypervisors-kvm 1", "no qemu")]
    rows = {(row.kind, row.name): row.problem for row in info.plugins_list(node.context)}
    assert rows == {
        ("hypervisor", "memory"): "",
        ("hypervisor", "kvm"): "no qemu",
        ("disk_template", "memory"): "",
    }


def test_a_delay_of_nonsense_is_refused(node: Any) -> None:
    info.delay(node.context, 0)
    for duration in (-1.0, float("nan"), 1e9):
        with pytest.raises(ParameterError, match="a delay must be 0 to 3600 seconds"):
            info.delay(node.context, duration)


def test_verify_reports_what_is_wrong_here(node: Any) -> None:
    node.registry.broken = [Broken("hypervisor", "kvm", "ganeti-hypervisors-kvm 1", "no qemu")]
    node.paths.hmac_key.write_text("secret")
    report = verify.node_verify(
        node.context,
        hypervisors={"memory": {"acpi": 1}, "xen": {}},
        bridges=["no-such-bridge"],
        files=["/var/lib/ganeti/hmac.key", "/var/lib/ganeti/ca.pem", "/etc/shadow"],
        peers={"node2": "127.254.254.254"},
    )
    assert report.hypervisors == {
        "memory": ["no accelerator", "no acpi here"],
        "xen": ["hypervisor xen: hypervisor 'xen' is not installed on this node"],
    }
    assert report.bridges == ["no-such-bridge"]
    assert set(report.files) == {"/var/lib/ganeti/hmac.key", "/var/lib/ganeti/ca.pem"}
    assert report.files["/var/lib/ganeti/ca.pem"] is None
    assert [row.name for row in report.plugins] == ["kvm"]
    assert report.unreachable == {"node2": "Connection refused"}
    assert report.cluster_name == ""
