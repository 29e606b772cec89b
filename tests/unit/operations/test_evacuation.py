"""An allocator's answer becomes jobs, or is refused by name before any job is submitted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ganeti_kernel.errors import OpExecError, OpPrereqError
from ganeti_kernel.jobs.operation import OPERATIONS, Operation
from ganeti_kernel.objects import Cluster, ConfigView, Disk, Instance, Node, NodeGroup
from ganeti_kernel.operations import placement
from ganeti_kernel.operations.evacuation import adjust, check_moves, parse_answer

MIGRATE = {"OP_ID": "OP_INSTANCE_MIGRATE", "instance_name": "free", "target_node": "b"}
REPLACE = {
    "OP_ID": "OP_INSTANCE_REPLACE_DISKS",
    "instance_name": "free",
    "mode": "replace_new_secondary",
    "remote_node": "b",
}
ANSWER: list[Any] = [[["free", "g", ["b"]]], [], [[MIGRATE]]]

VIEW = ConfigView(
    cluster=Cluster(
        uuid="c",
        cluster_name="clu",
        master_node="m",
        master_ip="127.0.0.1",
        enabled_hypervisors=["fake"],
        enabled_disk_templates=["diskless", "file"],
    ),
    nodegroups={"g": NodeGroup(uuid="g", name="first"), "h": NodeGroup(uuid="h", name="second")},
    nodes={
        "m": Node(uuid="m", name="m", primary_ip="127.0.0.1", group="g"),
        "a": Node(uuid="a", name="a", primary_ip="127.0.0.2", group="g"),
        "b": Node(uuid="b", name="b", primary_ip="127.0.0.3", group="h"),
        "o": Node(uuid="o", name="o", primary_ip="127.0.0.4", group="h", offline=True),
    },
    instances={
        "1": Instance(uuid="1", name="free", primary_node="a", hypervisor="fake", os=""),
        "2": Instance(
            uuid="2", name="bound", primary_node="b", hypervisor="fake", os="", disks=["d"]
        ),
    },
    disks={"d": Disk(uuid="d", dev_type="file", logical_id=["loop", "/x"], size=8, nodes=["b"])},
)


class Context(SimpleNamespace):
    def __init__(self) -> None:
        super().__init__(view=VIEW, said=[])

    def log(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the allocator was asked; its answer is what is put there under "answer"."""
    seen: dict[str, Any] = {"answer": ANSWER}

    def ask(_context: Any, name: str, request: Any, _unit: Any, _hv: str, nodes: Any) -> Any:
        seen.update(name=name, request=dict(request), nodes=[node.uuid for node in nodes])
        return seen["answer"]

    monkeypatch.setattr(placement, "ask", ask)
    return seen


def make(ident: str, **fields: Any) -> Operation[Any]:
    cls = OPERATIONS[ident]
    return cls(cls.OPCODE(**fields), Context())


def jobs_of(operation: Operation[Any]) -> Any:
    operation.check()
    (plan,) = operation.plan()
    return plan.args["jobs"]


def test_a_sound_answer() -> None:
    answer = parse_answer("hail", ANSWER)
    assert (answer.moved, answer.failed) == ([("free", "g", ["b"])], [])
    assert answer.jobs == [[MIGRATE]]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (None, "allocator hail gave no evacuation"),
        ([[], []], "gave no evacuation"),
        ([[["free", "g"]], [], []], "gave no evacuation"),
        ([[], [], [[{"OP_ID": "OP_CLUSTER_DESTROY"}]]], "OP_CLUSTER_DESTROY, which is no move"),
        ([[], [], [[{}]]], "which is no move"),
        ([[], [], [[MIGRATE | {"colour": 1}]]], "OP_INSTANCE_MIGRATE: Unknown parameter 'colour'"),
        ([[], [], [[{"OP_ID": "OP_INSTANCE_MIGRATE"}]]], "Missing parameter 'instance_name'"),
    ],
)
def test_an_answer_that_cannot_be(answer: Any, text: str) -> None:
    with pytest.raises(OpExecError, match=text):
        parse_answer("hail", answer)


def test_options_change_the_jobs() -> None:
    jobs = [[MIGRATE], [REPLACE, MIGRATE]]
    assert adjust(jobs) == jobs
    released = adjust(jobs, early_release=True)
    assert (released[0], released[1][0]["early_release"]) == ([MIGRATE], True)
    failed_over = {"OP_ID": "OP_INSTANCE_FAILOVER", "instance_name": "free", "target_node": "b"}
    assert adjust(jobs, force_failover=True)[1] == [REPLACE, failed_over]
    first, second = adjust(jobs, sequential=True)
    assert "depends" not in first[0]
    assert (second[0]["depends"], "depends" in second[1]) == ([[-1, []]], False)


def test_what_cannot_be_done_yet_is_named() -> None:
    check_moves(VIEW, [[MIGRATE]])
    with pytest.raises(OpPrereqError, match=r"instance bound cannot move: .*template file"):
        check_moves(VIEW, [[MIGRATE], [MIGRATE | {"instance_name": "bound"}]])
    if REPLACE["OP_ID"] not in OPERATIONS:
        with pytest.raises(
            OpPrereqError, match=r"free cannot be moved: .*OP_INSTANCE_REPLACE_DISKS"
        ):
            check_moves(VIEW, [[REPLACE]])


def test_a_node_is_evacuated_as_the_allocator_says(asked: dict[str, Any]) -> None:
    evacuate = make("OP_NODE_EVACUATE", node_name="a", mode="all", iallocator="hail")
    context: Any = evacuate.context
    assert jobs_of(evacuate) == [[MIGRATE]]
    assert (asked["name"], asked["nodes"]) == ("hail", ["a", "b", "m"])
    assert asked["request"] == {
        "type": "node-evacuate",
        "instances": ["free"],
        "evac_mode": "all",
    }
    assert context.said == [" - INFO: hail moves instance free to group first, b"]
    assert {(lock.level, lock.name) for lock in evacuate.locks()} == {
        ("instance", "free"),
        ("nodegroup", "g"),
        ("node", "[lockset]"),
    }


def test_nothing_to_evacuate_asks_nobody(asked: dict[str, Any]) -> None:
    assert jobs_of(make("OP_NODE_EVACUATE", node_name="m", mode="all", iallocator="x")) == []
    mode = {"mode": "secondary-only", "remote_node": "b"}
    assert jobs_of(make("OP_NODE_EVACUATE", node_name="a", **mode)) == []
    assert jobs_of(make("OP_NODE_MIGRATE", node_name="m")) == []
    assert "request" not in asked


def test_an_instance_without_a_place_is_named(asked: dict[str, Any]) -> None:
    asked["answer"] = [[], [["free", "no room"], ["other", ""]], []]
    evacuate = make("OP_NODE_EVACUATE", node_name="a", mode="primary-only", iallocator="hail")
    text = "Unable to evacuate instances free: no room; other: the allocator gives no reason"
    with pytest.raises(OpExecError, match=text):
        evacuate.check()


def test_a_group_is_evacuated(asked: dict[str, Any]) -> None:
    evacuate = make("OP_GROUP_EVACUATE", group_name="first", iallocator="hail")
    assert jobs_of(evacuate) == [[MIGRATE]]
    assert asked["request"] == {
        "type": "change-group",
        "instances": ["free"],
        "target_groups": ["h"],
    }
    assert evacuate.hooks_environment() == {"GROUP_NAME": "first", "TARGET_GROUPS": "second"}
    before, after = evacuate.hooks_nodes()
    assert {node.uuid for node in before} == {node.uuid for node in after} == {"m", "a"}


def test_a_migration_for_each_instance() -> None:
    migrate = make("OP_NODE_MIGRATE", node_name="a", target_node="b", mode="live")
    assert jobs_of(migrate) == [
        [
            {
                "OP_ID": "OP_INSTANCE_MIGRATE",
                "instance_name": "free",
                "mode": "live",
                "target_node": "b",
                "allow_runtime_changes": True,
                "ignore_ipolicy": False,
            }
        ]
    ]
    assert migrate.hooks_environment() == {"NODE_NAME": "a", "ALLOW_RUNTIME_CHANGES": "True"}
    assert [node.uuid for node in migrate.hooks_nodes()[0]] == ["m"]


@pytest.mark.parametrize(
    ("ident", "fields", "text"),
    [
        ("OP_NODE_MIGRATE", {"node_name": "o"}, "use gnt-node failover"),
        ("OP_NODE_MIGRATE", {"node_name": "nosuch"}, "Node 'nosuch' not known"),
        ("OP_NODE_MIGRATE", {"node_name": "a"}, "no default allocator; give -n NODE or -I NAME"),
        ("OP_NODE_MIGRATE", {"node_name": "a", "target_node": "a"}, "to leave node a"),
        ("OP_NODE_MIGRATE", {"node_name": "a", "target_node": "o"}, "offline node o"),
        ("OP_NODE_MIGRATE", {"node_name": "b", "target_node": "a"}, "bound cannot move"),
        (
            "OP_NODE_MIGRATE",
            {"node_name": "a", "target_node": "b", "iallocator": "hail"},
            "cannot both be given",
        ),
        ("OP_NODE_EVACUATE", {"node_name": "a", "mode": "all"}, "no default allocator"),
        (
            "OP_NODE_EVACUATE",
            {"node_name": "a", "mode": "all", "remote_node": "b"},
            "for secondary instances only",
        ),
        ("OP_GROUP_EVACUATE", {"group_name": "nosuch"}, "Group 'nosuch' not known"),
        (
            "OP_GROUP_EVACUATE",
            {"group_name": "first", "target_groups": ["second", "first"]},
            "Can't evacuate group first to itself",
        ),
        ("OP_GROUP_EVACUATE", {"group_name": "first"}, "no default allocator"),
    ],
)
def test_refused(ident: str, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(OpPrereqError, match=text):
        make(ident, **fields).check()
