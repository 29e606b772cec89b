"""Records of nodes, instances and groups from outside: read where sound, else refused by name."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ganeti_allocators_htools.errors import LoadError
from ganeti_allocators_htools.loaders import rapi
from ganeti_allocators_htools.loaders.records import (
    GROUP_FIELDS,
    INSTANCE_FIELDS,
    NODE_FIELDS,
    build,
)
from ganeti_allocators_htools.words import SPEC_NAMES

SPEC = dict.fromkeys(SPEC_NAMES, 1)
POLICY: dict[str, Any] = {
    "minmax": [{"min": SPEC, "max": SPEC}], "std": SPEC, "disk-templates": ["plain"],
    "vcpu-ratio": 4.0, "spindle-ratio": 32,
}  # fmt: skip
GROUP: dict[str, Any] = {
    "name": "default", "uuid": "u1", "alloc_policy": "preferred", "tags": [], "ipolicy": POLICY,
}  # fmt: skip
NODE: dict[str, Any] = {
    "name": "n1", "group.uuid": "u1", "offline": False, "drained": False, "tags": ["rack:1"],
    "mtotal": 4096, "mnode": 512.5, "mfree": 3000, "ctotal": 4, "cnos": None, "dtotal": 9000,
    "dfree": 8000, "ndp/cpu_speed": 1.5,
}  # fmt: skip
INSTANCE: dict[str, Any] = {
    "name": "i1", "pnode": "n1", "snodes": [], "disk_template": "plain", "status": "running",
    "be/memory": 512, "be/vcpus": 1, "be/auto_balance": True, "disk_usage": 1000, "tags": [],
    "disk.sizes": [600, 400], "disk.spindles": [2, 1],
}  # fmt: skip
INFO: dict[str, Any] = {"tags": [], "ipolicy": POLICY, "master": "n1"}
GONE = object()


def test_a_sound_cluster_is_read() -> None:
    cluster = build([NODE], [INSTANCE], [GROUP], INFO)
    nodes, instances = cluster.nodes, cluster.instances
    assert (nodes.nmem[0], nodes.ncpu[0], nodes.spindles[0], nodes.cpu_speed[0]) == (512, 0, 1, 1.5)
    assert (nodes.master[0], nodes.tags[0]) == (True, ("rack:1",))
    assert (instances.snode[0], instances.spindles[0], instances.disks[0]) == (-1, 3, (600, 400))


def test_luxi_is_asked_as_upstream_asks() -> None:
    assert " ".join(NODE_FIELDS) == (
        "name mtotal mnode mfree dtotal dfree ctotal cnos offline drained vm_capable"
        " ndp/spindle_count group.uuid tags ndp/exclusive_storage sptotal spfree ndp/cpu_speed"
    )
    assert " ".join(INSTANCE_FIELDS) == (
        "name disk_usage be/memory be/vcpus status pnode snodes tags be/auto_balance"
        " disk_template be/spindle_use disk.sizes disk.spindles forthcoming"
    )
    assert " ".join(GROUP_FIELDS) == "uuid name alloc_policy ipolicy tags"


@pytest.mark.parametrize(("present", "counted"), [(700, 700), (None, 512), ("-", 512), (True, 512)])
def test_rapi_tells_the_memory_an_instance_has_now(present: Any, counted: int) -> None:
    instance = INSTANCE | {"oper_ram": present}
    parts = {"nodes": [NODE], "instances": [instance], "groups": [GROUP], "info": INFO}
    cluster = rapi.parse(parts)
    assert cluster.instances.mem[0] == counted
    assert cluster.nodes.cpu_speed[0] == 1  # upstream takes the speed from LUXI only


@pytest.mark.parametrize("field", ["mtotal", "mfree"])
def test_a_node_that_does_not_answer_counts_as_offline(field: str) -> None:
    nodes = build([NODE | {field: None}], [], [GROUP], INFO).nodes
    assert nodes.offline[0]
    assert (nodes.tmem[0], nodes.fdsk[0], nodes.spindles[0]) == (0, 0, 1)


@pytest.mark.parametrize(
    ("hypervisors", "own"),
    [
        ({"default_hypervisor": "kvm", "enabled_hypervisors": ["xen-pvm"]}, 4096),
        ({"default_hypervisor": "xen-pvm", "enabled_hypervisors": ["kvm"]}, 512),
        ({"enabled_hypervisors": ["kvm", "xen-pvm"]}, 4096),
        ({}, 512),
    ],
)
def test_a_kvm_nodes_own_memory_is_taken_as_told(hypervisors: dict[str, Any], own: int) -> None:
    nodes = build([NODE], [], [GROUP], INFO | hypervisors, kvm_node_memory=4096).nodes
    assert nodes.nmem[0] == own


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("node ctotal", GONE, "node 'n1': key 'ctotal' not found"),
        ("node mtotal", True, "node 'n1': field 'mtotal' has the unexpected value True"),
        ("node mfree", float("nan"), "node 'n1': field 'mfree' has the unexpected value nan"),
        ("node dfree", 10**400, "node 'n1': field 'dfree' has the unexpected value 1000"),
        ("node ndp/cpu_speed", [], "node 'n1': field 'ndp/cpu_speed' has the unexpected value []"),
        ("node name", 5, "node: field 'name' has the unexpected value 5"),
        ("node group.uuid", "u2", "Unknown group 'u2' for node n1"),
        ("instance be/memory", 1.5, "instance 'i1': field 'be/memory' has the unexpected value 1"),
        ("instance be/spindle_use", "x", "instance 'i1': field 'be/spindle_use' has the"),
        ("instance disk.sizes", [""], "instance 'i1': field 'disk.sizes' has the unexpected"),
        ("instance disk.spindles", 3, "instance 'i1': field 'disk.spindles' has the unexpected"),
        ("instance tags", "x", "instance 'i1': field 'tags' has the unexpected value 'x'"),
        ("instance pnode", "n9", "Unknown node 'n9' for instance i1"),
        ("group ipolicy", [], "group 'default': field 'ipolicy' has the unexpected value []"),
        ("group tags", GONE, "group 'default': key 'tags' not found"),
        ("info master", "n9", "Master node n9 unknown"),
        ("info enabled_hypervisors", 5, "cluster: field 'enabled_hypervisors' has the unexpected"),
    ],
)
def test_what_is_wrong_is_named(place: str, value: Any, message: str) -> None:
    records = {"node": NODE, "instance": INSTANCE, "group": GROUP, "info": INFO}
    records = copy.deepcopy(records)
    kind, field = place.split(" ")
    if value is GONE:
        del records[kind][field]
    else:
        records[kind][field] = value
    with pytest.raises(LoadError) as caught:
        build([records["node"]], [records["instance"]], [records["group"]], records["info"])
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 200
