"""The suite for Allocator plugins.

The requests are small documents of upstream's IAllocator protocol, version 2, with the fields
that its programs send; shapes as recorded from upstream 3.0.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import pytest

from ganeti_kernel.specs.allocator import Allocator
from ganeti_kernel.testing.plugin import PluginContract

Document = dict[str, Any]

GROUP = "abe55944-c776-4af5-90c8-7be24e80a3ef"
OTHER_GROUP = "b5c0b8f4-0000-4000-8000-000000000002"
SPEC_MIN = {
    "memory-size": 128,
    "cpu-count": 1,
    "disk-count": 0,
    "disk-size": 1,
    "nic-count": 0,
    "spindle-use": 1,
}
SPEC_MAX = {
    "memory-size": 32768,
    "cpu-count": 8,
    "disk-count": 16,
    "disk-size": 1048576,
    "nic-count": 8,
    "spindle-use": 12,
}
IPOLICY: Document = {
    "minmax": [{"min": SPEC_MIN, "max": SPEC_MAX}],
    "std": SPEC_MIN | {"disk-size": 1024, "disk-count": 1, "nic-count": 1},
    "spindle-ratio": 32.0,
    "vcpu-ratio": 4.0,
    "disk-templates": ["plain", "drbd", "ext", "diskless", "file"],
}


def node(number: int, **changes: Any) -> Document:
    """A node with 4 GiB of memory and 100 GiB of disk, half of them free."""
    return {
        "total_memory": 4096,
        "reserved_memory": 256,
        "free_memory": 2048,
        "total_disk": 102400,
        "free_disk": 51200,
        "total_spindles": 0,
        "free_spindles": 0,
        "total_cpus": 8,
        "reserved_cpus": 1,
        "i_pri_memory": 0,
        "i_pri_up_memory": 0,
        "tags": [],
        "primary_ip": f"192.0.2.{number}",
        "secondary_ip": f"192.0.2.{number}",
        "offline": False,
        "drained": False,
        "master_candidate": True,
        "group": GROUP,
        "master_capable": True,
        "vm_capable": True,
        "ndparams": {
            "cpu_speed": 1.0,
            "exclusive_storage": False,
            "oob_program": "",
            "ovs": False,
            "ovs_link": "",
            "ovs_name": "switch1",
            "spindle_count": 1,
            "ssh_port": 22,
        },
    } | changes


def instance(name: str, template: str, nodes: list[str], memory: int = 512) -> Document:
    """An instance with one disk; for drbd `nodes` are primary and secondary."""
    return {
        "name": name,
        "tags": [],
        "admin_state": "up",
        "admin_state_source": "admin",
        "vcpus": 1,
        "memory": memory,
        "spindle_use": 1,
        "os": "noop",
        "nodes": nodes,
        "nics": [],
        "disks": [{"mode": "rw", "size": 1024, "spindles": None}],
        "disk_space_total": 1024 if template == "plain" else 1152,
        "disk_template": template,
        "disks_active": True,
        "hypervisor": "fake",
    }


def cluster(nodes: Document, instances: list[Document] | None = None) -> Document:
    """A document without a request."""
    return {
        "version": 2,
        "cluster_name": "cluster.example.com",
        "cluster_tags": [],
        "enabled_hypervisors": ["fake"],
        "ipolicy": IPOLICY,
        "nodegroups": {
            GROUP: {
                "name": "default",
                "alloc_policy": "preferred",
                "networks": [],
                "ipolicy": IPOLICY,
                "tags": [],
            }
        },
        "nodes": nodes,
        "instances": {item["name"]: item for item in instances or []},
    }


def settle(document: Document) -> None:
    """Make the nodes' books balance: what is not free is an instance's or the node's own.

    An allocator may take memory that nobody accounts for as a sign of trouble, as upstream's does.
    """
    for name, entry in document["nodes"].items():
        primaries = [item for item in document["instances"].values() if item["nodes"][0] == name]
        here = [item for item in document["instances"].values() if name in item["nodes"]]
        used = sum(item["memory"] for item in primaries)
        entry["total_memory"] = max(entry["total_memory"], entry["free_memory"] + used + 256)
        entry["reserved_memory"] = entry["total_memory"] - entry["free_memory"] - used
        entry["total_disk"] = entry["free_disk"] + sum(item["disk_space_total"] for item in here)
        entry["i_pri_memory"] = entry["i_pri_up_memory"] = used


def wish(name: str, template: str, required: int, **changes: Any) -> Document:
    """A request to place a new instance."""
    return {
        "type": "allocate",
        "name": name,
        "disk_template": template,
        "group_name": None,
        "tags": [],
        "os": "noop",
        "vcpus": 1,
        "memory": 512,
        "spindle_use": 1,
        "disks": [{"size": 1024, "mode": "rw", "spindles": None}],
        "disk_space_total": 1024,
        "nics": [],
        "required_nodes": required,
        "hypervisor": "fake",
    } | changes


def names(count: int) -> list[str]:
    return [f"node{number}.example.com" for number in range(1, count + 1)]


def nodes(count: int, **changes: Any) -> Document:
    return {name: node(number, **changes) for number, name in enumerate(names(count), 1)}


def two_groups(**changes: Any) -> Document:
    """Four nodes, the last two of them in a group of their own, `other`."""
    document = cluster(nodes(4))
    document["nodegroups"][OTHER_GROUP] = {
        **document["nodegroups"][GROUP],
        "name": "other",
        **changes,
    }
    for name in names(4)[2:]:
        document["nodes"][name]["group"] = OTHER_GROUP
    return document


class AllocatorContract(PluginContract):
    """Asks for places in clusters of a few nodes.

    To fill in: `plugin_class`. `ANSWERS` names the request types that the allocator must know.
    """

    CONTRACT = Allocator
    FEATURES = dict.fromkeys(
        (
            "allocate",
            "allocate-secondary",
            "change-group",
            "multi-allocate",
            "node-evacuate",
            "relocate",
        ),
        (),
    )
    ANSWERS: ClassVar[tuple[str, ...]] = ("allocate",)

    @pytest.fixture
    def options(self, plugin: Allocator) -> dict[str, str]:
        return {name: str(value) for name, value in plugin.describe().defaults().items()}

    def ask(
        self, plugin: Allocator, options: dict[str, str], document: Document, request: Document
    ) -> Document:
        """Ask, and hold the answer to its shape."""
        settle(document)
        answer = plugin.allocate(document | {"request": request}, options)
        assert set(answer) >= {"success", "info", "result"}
        assert isinstance(answer["success"], bool)
        assert isinstance(answer["info"], str)
        assert answer["info"].strip(), "an answer always says why"
        return answer

    def test_announces_what_it_answers(self, plugin: Allocator) -> None:
        assert set(self.ANSWERS) <= plugin.describe().features

    @pytest.mark.parametrize(("template", "required"), [("plain", 1), ("drbd", 2), ("ext", 1)])
    def test_places_on_nodes_of_the_cluster(
        self, plugin: Allocator, options: dict[str, str], template: str, required: int
    ) -> None:
        request = wish("new.example.com", template, required)
        answer = self.ask(plugin, options, cluster(nodes(3)), request)
        assert answer["success"], answer["info"]
        chosen = answer["result"]
        assert len(chosen) == required
        assert len(set(chosen)) == required
        assert set(chosen) <= set(names(3))

    def test_same_question_same_answer(self, plugin: Allocator, options: dict[str, str]) -> None:
        request = wish("new.example.com", "drbd", 2)
        first = self.ask(plugin, options, cluster(nodes(4)), request)
        assert self.ask(plugin, options, cluster(nodes(4)), request) == first

    def test_question_is_left_as_it_is(self, plugin: Allocator, options: dict[str, str]) -> None:
        document = cluster(nodes(3)) | {"request": wish("new.example.com", "plain", 1)}
        before = copy.deepcopy(document)
        plugin.allocate(document, options)
        assert document == before

    @pytest.mark.parametrize(
        "trouble",
        [{"offline": True}, {"drained": True}, {"vm_capable": False}],
        ids=["offline", "drained", "not-vm-capable"],
    )
    def test_unusable_nodes_are_left_out(
        self, plugin: Allocator, options: dict[str, str], trouble: Document
    ) -> None:
        # Two stay usable: one alone could not take over what it lost, and may be refused for that.
        for odd in names(3):
            bad = nodes(3)
            # What cannot be used has most room, and must not tempt.
            bad[odd] |= {**trouble, "free_memory": 4000, "free_disk": 100000}
            answer = self.ask(plugin, options, cluster(bad), wish("new.example.com", "plain", 1))
            assert answer["success"], answer["info"]
            assert len(answer["result"]) == 1
            assert set(answer["result"]) < set(names(3)) - {odd}

    @pytest.mark.parametrize(
        "wanted",
        [
            {"memory": 8192},
            {"disks": [{"size": 500000, "mode": "rw"}], "disk_space_total": 500000},
        ],
        ids=["memory", "disk"],
    )
    def test_what_does_not_fit_is_no_error(
        self, plugin: Allocator, options: dict[str, str], wanted: Document
    ) -> None:
        request = wish("new.example.com", "plain", 1, **wanted)
        answer = self.ask(plugin, options, cluster(nodes(3)), request)
        assert answer["success"] is False
        assert not answer["result"]

    @pytest.mark.parametrize("template", ["ext", "diskless"])
    def test_shared_storage_needs_no_room_on_a_node(
        self, plugin: Allocator, options: dict[str, str], template: str
    ) -> None:
        request = wish("new.example.com", template, 1)
        answer = self.ask(plugin, options, cluster(nodes(2, free_disk=512)), request)
        assert answer["success"], answer["info"]
        assert set(answer["result"]) <= set(names(2))

    def test_takes_a_node_that_has_room(self, plugin: Allocator, options: dict[str, str]) -> None:
        for roomy in (names(4)[:2], names(4)[2:]):
            full = nodes(4, free_memory=128)
            for name in roomy:
                full[name]["free_memory"] = 3000
            request = wish("new.example.com", "plain", 1)
            answer = self.ask(plugin, options, cluster(full), request)
            assert answer["success"], answer["info"]
            assert set(answer["result"]) < set(roomy)

    def test_copies_stay_in_one_group(self, plugin: Allocator, options: dict[str, str]) -> None:
        """The emptiest nodes are in different groups; a disk's copies must not be."""
        split = two_groups()
        for name, memory in zip(names(4), (3000, 1000, 2000, 2500), strict=True):
            split["nodes"][name]["free_memory"] = memory
        answer = self.ask(plugin, options, split, wish("new.example.com", "drbd", 2))
        assert answer["success"], answer["info"]
        groups = {split["nodes"][name]["group"] for name in answer["result"]}
        assert len(groups) == 1

    def test_stays_in_the_wanted_group(self, plugin: Allocator, options: dict[str, str]) -> None:
        for group, members in (("default", names(4)[:2]), ("other", names(4)[2:])):
            request = wish("new.example.com", "plain", 1, group_name=group)
            answer = self.ask(plugin, options, two_groups(), request)
            assert answer["success"], answer["info"]
            assert set(answer["result"]) <= set(members)

    def test_unallocable_group_is_left_out(
        self, plugin: Allocator, options: dict[str, str]
    ) -> None:
        split = two_groups(alloc_policy="unallocable")
        for name in names(4)[2:]:
            split["nodes"][name]["free_memory"] = 4000
        answer = self.ask(plugin, options, split, wish("new.example.com", "plain", 1))
        assert answer["success"], answer["info"]
        assert set(answer["result"]) <= set(names(4)[:2])

    def test_two_copies_need_two_nodes(self, plugin: Allocator, options: dict[str, str]) -> None:
        request = wish("new.example.com", "drbd", 2)
        answer = self.ask(plugin, options, cluster(nodes(1)), request)
        assert answer["success"] is False

    def test_empty_cluster_is_no_error(self, plugin: Allocator, options: dict[str, str]) -> None:
        request = wish("new.example.com", "plain", 1)
        assert self.ask(plugin, options, cluster({}), request)["success"] is False

    @pytest.mark.parametrize("request_type", ["", "no-such-request"])
    def test_unknown_request_is_no_error(
        self, plugin: Allocator, options: dict[str, str], request_type: str
    ) -> None:
        request = wish("new.example.com", "plain", 1, type=request_type)
        assert self.ask(plugin, options, cluster(nodes(2)), request)["success"] is False

    @pytest.mark.parametrize("missing", ["nodes", "nodegroups", "instances", "request"])
    def test_incomplete_document_is_no_error(
        self, plugin: Allocator, options: dict[str, str], missing: str
    ) -> None:
        document = cluster(nodes(2)) | {"request": wish("new.example.com", "plain", 1)}
        del document[missing]
        answer = plugin.allocate(document, options)
        assert answer["success"] is False
        assert answer["info"].strip()

    def test_relocation_leaves_the_old_secondary(
        self, plugin: Allocator, options: dict[str, str]
    ) -> None:
        if "relocate" not in plugin.describe().features:
            pytest.skip("no feature relocate")
        primary, secondary, other = names(3)
        document = cluster(nodes(3), [instance("inst1.example.com", "drbd", [primary, secondary])])
        request = {
            "type": "relocate",
            "name": "inst1.example.com",
            "disk_space_total": 1152,
            "required_nodes": 1,
            "relocate_from": [secondary],
        }
        answer = self.ask(plugin, options, document, request)
        assert answer["success"], answer["info"]
        assert answer["result"] == [other]

    def test_evacuation_says_what_moves_and_what_not(
        self, plugin: Allocator, options: dict[str, str]
    ) -> None:
        if "node-evacuate" not in plugin.describe().features:
            pytest.skip("no feature node-evacuate")
        primary, secondary, _ = names(3)
        document = cluster(
            nodes(3),
            [
                instance("moves.example.com", "drbd", [primary, secondary]),
                instance("stays.example.com", "plain", [primary]),
            ],
        )
        request = {
            "type": "node-evacuate",
            "instances": ["moves.example.com", "stays.example.com"],
            "evac_mode": "primary-only",
        }
        answer = self.ask(plugin, options, document, request)
        assert answer["success"], answer["info"]
        moved, failed, jobs = answer["result"]
        assert [entry[0] for entry in moved] == ["moves.example.com"]
        assert [entry[0] for entry in failed] == ["stays.example.com"]
        assert all("OP_ID" in opcode for job in jobs for opcode in job)

    def test_many_at_once_do_not_overfill(self, plugin: Allocator, options: dict[str, str]) -> None:
        if "multi-allocate" not in plugin.describe().features:
            pytest.skip("no feature multi-allocate")
        for number, memory in ((2, 512), (5, 1024)):
            wishes = [wish(f"new{i}.example.com", "plain", 1, memory=memory) for i in range(number)]
            for item in wishes:
                del item["type"]
            request = {"type": "multi-allocate", "instances": wishes}
            answer = self.ask(plugin, options, cluster(nodes(2)), request)
            if not answer["success"]:  # not all fit: whether some are placed is the allocator's
                assert number == 5, answer["info"]
                continue
            placed, failed = answer["result"]
            assert len(placed) + len(failed) == number
            assert len(placed) >= 1
            count = [chosen for _, (chosen,) in placed]
            assert all(count.count(name) <= 2 for name in names(2)), "2 GiB free hold two of 1 GiB"
