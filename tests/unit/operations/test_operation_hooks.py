"""Where each operation's hooks run and what they see besides the object (upstream 3.0's hooks)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import ganeti_kernel.operations  # noqa: F401 # registers them
from ganeti_kernel.jobs.hooks import Hooks
from ganeti_kernel.jobs.journal import Planned, decode_entry, encode_entry
from ganeti_kernel.jobs.operation import OPERATIONS, Operation
from ganeti_kernel.objects import Cluster, ConfigView, Instance, Network, Node, NodeGroup

VIEW = ConfigView(
    cluster=Cluster(uuid="c", cluster_name="clu", master_node="m", master_ip="127.0.0.1"),
    nodegroups={
        "first": NodeGroup(uuid="first", name="first"),
        "second": NodeGroup(
            uuid="second",
            name="second",
            networks={"net": {"mode": "bridged", "link": "br0", "vlan": ""}},
        ),
    },
    nodes={
        uuid: Node(uuid=uuid, name=uuid, primary_ip=f"127.0.0.{number}", group=group)
        for number, (uuid, group) in enumerate(
            {"m": "first", "b": "first", "c": "second"}.items(), start=1
        )
    },
    instances={"i": Instance(uuid="i", name="i", primary_node="b", hypervisor="fake", os="o+d")},
    networks={"net": Network(uuid="net", name="net", network="192.0.2.0/28")},
)

MOVES = ("OP_INSTANCE_FAILOVER", "OP_INSTANCE_MIGRATE")
MOVED = {"OLD_PRIMARY": "b", "OLD_SECONDARY": "", "NEW_PRIMARY": "c", "NEW_SECONDARY": ""}

CASES: list[tuple[str, dict[str, Any], str, str, dict[str, str]]] = [
    ("OP_CLUSTER_POST_INIT", {}, "", "m", {}),
    ("OP_CLUSTER_DESTROY", {}, "", "m", {"OP_TARGET": "clu"}),
    (
        "OP_CLUSTER_SET_PARAMS",
        {"vg_name": "vg"},
        *("m", "m"),
        {"OP_TARGET": "clu", "NEW_VG_NAME": "vg"},
    ),
    (
        "OP_CLUSTER_RENAME",
        {"name": "new"},
        *("m", "mbc"),
        {"OP_TARGET": "clu", "NEW_NAME": "new"},
    ),
    ("OP_CLUSTER_CONFIG_ROLLBACK", {"serial": 1}, "m", "m", {"OP_TARGET": "clu"}),
    ("OP_GROUP_ADD", {"group_name": "new"}, "m", "m", {}),
    (
        "OP_GROUP_SET_PARAMS",
        {"group_name": "second", "alloc_policy": "preferred"},
        *("m", "m"),
        {"GROUP_NAME": "second", "NEW_ALLOC_POLICY": "preferred"},
    ),
    ("OP_GROUP_REMOVE", {"group_name": "second"}, "m", "m", {"GROUP_NAME": "second"}),
    (
        "OP_GROUP_RENAME",
        {"group_name": "second", "new_name": "new"},
        *("mc", "mc"),
        {"OLD_NAME": "second", "NEW_NAME": "new"},
    ),
    ("OP_INSTANCE_STARTUP", {"force": True}, "mb", "mb", {"FORCE": "True"}),
    ("OP_INSTANCE_SHUTDOWN", {"timeout": 7}, "mb", "mb", {"TIMEOUT": "7"}),
    (
        "OP_INSTANCE_REBOOT",
        {"reboot_type": "hard", "shutdown_timeout": 7},
        *("mb", "mb"),
        {"REBOOT_TYPE": "hard", "IGNORE_SECONDARIES": "False", "SHUTDOWN_TIMEOUT": "7"},
    ),
    (
        "OP_INSTANCE_FAILOVER",
        {"shutdown_timeout": 7},
        *("mc", "mbc"),
        MOVED
        | {"IGNORE_CONSISTENCY": "False", "SHUTDOWN_TIMEOUT": "7", "FAILOVER_CLEANUP": "False"},
    ),
    (
        "OP_INSTANCE_MIGRATE",
        {"mode": "non-live"},
        *("mbc", "mbc"),
        MOVED
        | {"MIGRATE_LIVE": "False", "MIGRATE_CLEANUP": "False", "ALLOW_RUNTIME_CHANGES": "True"},
    ),
    ("OP_INSTANCE_REMOVE", {"shutdown_timeout": 7}, "m", "mb", {"SHUTDOWN_TIMEOUT": "7"}),
    ("OP_NODE_SET_PARAMS", {"offline": True}, "mc", "mc", {"OP_TARGET": "c", "OFFLINE": "True"}),
    (
        "OP_NODE_MIGRATE",
        {},
        *("m", "m"),
        {"NODE_NAME": "c", "ALLOW_RUNTIME_CHANGES": "True"},
    ),
    ("OP_NODE_REMOVE", {}, "mb", "mb", {"OP_TARGET": "c", "NODE_NAME": "c"}),
    ("OP_NETWORK_REMOVE", {"network_name": "net"}, "m", "m", {"NETWORK_NAME": "net"}),
    (
        "OP_NETWORK_CONNECT",
        {"network_mode": "routed", "network_link": "t"},
        *("c", "c"),
        {"GROUP_NAME": "second", "GROUP_NETWORK_MODE": "routed", "GROUP_NETWORK_LINK": "t"},
    ),
    (
        "OP_NETWORK_DISCONNECT",
        {},
        *("c", "c"),
        {"GROUP_NAME": "second", "GROUP_NETWORK_MODE": "bridged", "GROUP_NETWORK_LINK": "br0"},
    ),
    (
        "OP_NETWORK_RENAME",
        {"new_name": "new"},
        *("mc", "mc"),
        {"OLD_NAME": "net", "NEW_NAME": "new"},
    ),
    (
        "OP_NETWORK_SET_PARAMS",
        {"gateway": "192.0.2.2"},
        *("m", "m"),
        {"NETWORK_NAME": "net", "NETWORK_SUBNET": "192.0.2.0/28"},
    ),
]


UNLIKE: list[tuple[str, dict[str, Any]]] = [
    ("OP_CLUSTER_VERIFY_GROUP", {"group_name": "second"}),
    ("OP_GROUP_EVACUATE", {"group_name": "second"}),
    ("OP_INSTANCE_CREATE", {"mode": "create", "disks": [], "nics": []}),
    ("OP_NETWORK_ADD", {"network": "192.0.2.0/28"}),
    ("OP_NODE_ADD", {}),
]
"""Operations with hooks whose variables are tested elsewhere."""


def made(ident: str, given: dict[str, Any]) -> Operation[Any]:
    """A fresh operation; the fields that are not given are defaults."""
    op_class = OPERATIONS[ident]
    names = {
        "INSTANCE": {"instance_name": "i"},
        "NODE": {"node_name": "c"},
        "NETWORK": {"group_name": "second", "network_name": "net"},
    }.get(op_class.OBJECT_TYPE, {})
    known = set(op_class.OPCODE.__struct_fields__)
    fields = {key: value for key, value in (names | given).items() if key in known}
    return op_class(op_class.OPCODE(**fields), SimpleNamespace(view=VIEW))


def checked(ident: str, given: dict[str, Any]) -> Operation[Any]:
    """An operation as it is after its check."""
    operation = made(ident, given)
    found = {
        "inst": VIEW.instances["i"],
        "node": VIEW.nodes["b" if ident in MOVES else "c"],
        "target": VIEW.nodes["c"],
        "group": VIEW.nodegroups["second"],
        "network": VIEW.networks["net"],
        "targets": [VIEW.nodegroups["first"]],
        "disks": [],
    }
    for name, value in found.items():
        setattr(operation, name, value)
    return operation


@pytest.mark.parametrize(("ident", "given", "pre", "post", "environment"), CASES)
def test_hooks(
    ident: str, given: dict[str, Any], pre: str, post: str, environment: dict[str, str]
) -> None:
    operation = checked(ident, given)
    before, after = operation.hooks_nodes()
    assert sorted(node.uuid for node in before) == sorted(pre)
    assert sorted({node.uuid for node in after}) == sorted(post)
    own = operation.hooks_environment()
    assert {key: own.get(key) for key in environment} == environment
    if operation.OBJECT_TYPE == "INSTANCE":
        assert own["OP_TARGET"] == own["INSTANCE_NAME"] == "i"


def test_a_process_that_carries_on_runs_the_same_post_hooks() -> None:
    """What the journal keeps is enough for an operation that was never checked."""
    cases = [(ident, given) for ident, given, *_ in CASES] + UNLIKE
    hooked = {ident for ident, cls in OPERATIONS.items() if cls.HOOKS_PATH is not None}
    assert {ident for ident, _ in cases} == hooked
    for ident, given in cases:
        first, second = checked(ident, given), made(ident, given)
        facts = Hooks(first, first.context).facts()
        assert facts is not None
        stored = decode_entry(encode_entry(Planned(0, [], facts)))
        assert isinstance(stored, Planned)
        assert stored.hooks is not None
        Hooks(second, second.context).restore(stored.hooks)
        assert second.hooks_nodes() == first.hooks_nodes(), ident
        assert second.hooks_environment() == first.hooks_environment(), ident
