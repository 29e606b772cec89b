"""What `gnt-cluster verify` says of instances whose disks two nodes mirror."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ganeti_kernel.config import datafile
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.operations.verify import addresses, instances
from ganeti_kernel.operations.verify.report import Finding
from ganeti_kernel.rpc.results import DiskState
from ganeti_kernel.testing.configurations import Maker, configuration
from tests.unit.operations.verify_cluster import DATA

TEMPLATE = json.loads((DATA / "config.data.json").read_text())
Json = dict[str, Any]


class Pairs:
    """Four nodes in two groups; instances one and two run on node1 and are mirrored to node2."""

    def __init__(self) -> None:
        make = Maker()
        self.groups = [make.group("default"), make.group("rack2")]
        self.nodes = [
            make.node(f"node{number}", f"127.0.0.{number}", self.groups[number == 4]["uuid"])
            for number in (1, 2, 3, 4)
        ]
        first, second = self.nodes[0]["uuid"], self.nodes[1]["uuid"]
        self.disks = [make.drbd(first, second, (number, number)) for number in (0, 1)]
        self.instances = [
            make.instance(name, first, disks=[disk["uuid"]])
            for name, disk in zip(("one", "two"), self.disks, strict=True)
        ]

    def view(self) -> ConfigView:
        document = configuration(
            TEMPLATE,
            nodes=self.nodes,
            groups=self.groups,
            instances=self.instances,
            disks=self.disks,
            cluster={"highest_used_port": 11010, "enabled_disk_templates": ["drbd"]},
        )
        return datafile.parse(json.dumps(document).encode())

    def uuid(self, number: int) -> str:
        return str(self.nodes[number - 1]["uuid"])


def mirrored(_template: str, feature: str) -> bool:
    return feature == "mirrored"


def placement(pairs: Pairs, name: str = "one") -> list[tuple[str, str]]:
    view = pairs.view()
    inst = view.find_instance(name)
    assert inst is not None
    found = instances.check_placement(view, inst, mirrored)
    return [(item.code, item.text) for item in found if item.code != "EINSTANCEPOLICY"]


def test_a_sound_pair_has_no_findings() -> None:
    pairs = Pairs()
    assert placement(pairs) == []
    assert list(addresses.check_addresses(pairs.view())) == []


@pytest.mark.parametrize(
    ("index", "value", "text"),
    [
        (3, 0, "DRBD minor 0 on node node1 is used by disk/0 of instance one, disk/0"),
        (4, 0, "DRBD minor 0 on node node2 is used by disk/0 of instance one, disk/0"),
        (2, 11000, "port 11000 is used by a disk of instance one, a disk of instance two"),
        (2, 10999, "port 10999 of a disk of instance two is outside 11000 to 14999"),
    ],
)
def test_what_pairs_must_not_share(index: int, value: int, text: str) -> None:
    pairs = Pairs()
    pairs.disks[1]["logical_id"][index] = value
    (found,) = addresses.check_addresses(pairs.view())
    assert (found.code, found.text.startswith(text)) == ("ECLUSTERCFG", True), found.text


def third_node(pairs: Pairs) -> None:
    make = Maker(2)
    other = make.drbd(pairs.uuid(1), pairs.uuid(3), (5, 5))
    pairs.disks.append(other)
    pairs.instances[0]["disks"].append(other["uuid"])


def other_group(pairs: Pairs) -> None:
    pairs.nodes[1]["group"] = pairs.groups[1]["uuid"]


@pytest.mark.parametrize(
    ("put", "code", "text"),
    [
        (lambda pairs: pairs.nodes[1].update(offline=True), "EINSTANCEBADNODE", "node2"),
        (lambda pairs: pairs.nodes[1].update(vm_capable=False), "EINSTANCEBADNODE", "node2"),
        (third_node, "EINSTANCELAYOUT", "node2, node3"),
        (other_group, "EINSTANCESPLITGROUPS", "default, rack2"),
    ],
)
def test_where_a_pair_must_not_be(put: Callable[[Pairs], Any], code: str, text: str) -> None:
    pairs = Pairs()
    put(pairs)
    (found,) = placement(pairs)
    assert (found[0], text in found[1]) == (code, True), found


def nplusone(pairs: Pairs, free: int) -> list[Finding]:
    view = pairs.view()
    return list(instances.check_memory(view, list(view.nodes.values()), {pairs.uuid(2): free}))


def test_too_little_memory_for_a_failover() -> None:
    pairs = Pairs()
    assert nplusone(pairs, 256) == []
    (found,) = nplusone(pairs, 255)
    assert (found.code, found.item) == ("ENODEN1", "node2")
    assert "should node node1 fail (256MiB needed, 255MiB available)" in found.text
    pairs.instances[0]["beparams"]["auto_balance"] = False
    assert nplusone(pairs, 255) == []
    notes = instances.count_notes(pairs.view(), list(pairs.view().nodes.values()), mirrored)
    assert list(notes) == ["1 non-auto-balanced instance(s) found."]


def test_a_degraded_copy_is_a_faulty_disk() -> None:
    view = Pairs().view()
    inst = view.find_instance("one")
    assert inst is not None
    node = view.nodes[inst.primary_node]
    disks = view.instance_disks(inst)
    state = DiskState(exists=True, size=disks[0].size << 20, degraded=True)
    (found,) = instances.check_disks(inst, node, disks, [state])
    assert (found.code, found.item) == ("EINSTANCEFAULTYDISK", "one")
