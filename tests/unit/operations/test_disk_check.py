"""Which disks are looked at, and what is said of them."""

from __future__ import annotations

from ganeti_cli.cluster_disks import describe_missing

from ganeti_kernel.objects import Cluster, ConfigView, Disk, Instance, Node, NodeGroup
from ganeti_kernel.operations.disk_check import needs_activation, volume, watched, wrong_sizes
from ganeti_kernel.specs.disk_template import SYNC_FAULTY, SYNC_RUNNING, SyncStatus


def disk(uuid: str, size: int, logical_id: tuple[str, ...] = ("vg", "lv")) -> Disk:
    return Disk(uuid=uuid, dev_type="any", size=size, logical_id=list(logical_id))


def test_wrong_sizes() -> None:
    disks = [disk("a", 8), disk("b", 8), disk("c", 8)]
    found = list(wrong_sizes(disks, {"a": (8 << 20) + 4096, "b": 12 << 20}))
    assert [(item.uuid, index, size) for item, index, size in found] == [("b", 1, 12)]


def test_names_of_volumes() -> None:
    assert volume(disk("a", 8)) == "vg/lv"
    assert volume(disk("a", 8, ("file", "/srv/x"))) == "/srv/x"


def test_when_to_act() -> None:
    lagging = SyncStatus(state=SYNC_RUNNING, degraded=True)
    assert needs_activation(lagging, strict=True)
    assert not needs_activation(lagging, strict=False)
    assert needs_activation(SyncStatus(state=SYNC_FAULTY), strict=False)
    assert not needs_activation(SyncStatus(), strict=True)


def test_only_active_disks_of_the_group() -> None:
    group = NodeGroup(uuid="g", name="g")
    view = ConfigView(
        cluster=Cluster(uuid="c", cluster_name="c", master_node="n", master_ip="192.0.2.1"),
        nodegroups={"g": group},
        nodes={
            name: Node(uuid=name, name=name, primary_ip=f"192.0.2.{number}", group=where)
            for number, (name, where) in enumerate({"n": "g", "m": "other"}.items(), 2)
        },
        instances={
            name: Instance(uuid=name, name=name, primary_node=node, disks_active=active)
            for name, node, active in (("b", "n", True), ("a", "n", False), ("c", "m", True))
        },
    )
    assert [inst.name for inst in watched(view, group)] == ["b"]


def test_missing_volumes_are_named() -> None:
    lines = describe_missing({"inst": [["n1", "vg/a"], ["n2", "vg/b"]]}, {"n1": "boo"})
    assert lines[:3] == [
        "Instance inst has missing logical volumes:",
        "\tbroken node n1 vg/a",
        "\tn2 vg/b",
    ]
    assert lines[3].startswith("You need to replace or recreate disks")
