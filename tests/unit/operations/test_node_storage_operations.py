"""Which storage is listed, changed and repaired, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from ganeti_kernel.errors import OpPrereqError
from ganeti_kernel.jobs.operation import OPERATIONS, STEPS, Operation
from ganeti_kernel.objects import Cluster, ConfigView, Disk, Instance, Node, NodeGroup
from ganeti_kernel.operations import node_storage
from ganeti_kernel.operations.node_storage import choose_type, owners
from ganeti_kernel.specs import Description
from ganeti_kernel.specs.disk_template import SyncStatus, UnitState, Volume

LVM = Description(
    name="lvm",
    version="1",
    summary="volume groups",
    features=frozenset(
        {"units:lvm-vg", "units:lvm-pv", "units-change:lvm-pv", "units-repair:lvm-vg", "volumes"}
    ),
)
FILES = Description(
    name="files", version="1", summary="files", features=frozenset({"units:file", "space"})
)
CHILD = Disk(uuid="k", dev_type="lvm", logical_id=["xenvg", "data"], size=8, nodes=["a", "b"])
VIEW = ConfigView(
    cluster=Cluster(uuid="c", cluster_name="clu", master_node="a", master_ip="127.0.0.1"),
    nodegroups={"g": NodeGroup(uuid="g", name="g")},
    nodes={
        uuid: Node(
            uuid=uuid,
            name=f"node-{uuid}",
            primary_ip=f"127.0.0.{n}",
            group="g",
            offline=uuid == "o",
        )
        for n, uuid in enumerate("abo", start=1)
    },
    instances={
        "i": Instance(
            uuid="i", name="inst", primary_node="b", hypervisor="fake", os="", disks=["d"]
        )
    },
    disks={
        "d": Disk(
            uuid="d",
            dev_type="drbd",
            logical_id=["b", "a", 1],
            size=8,
            nodes=["b", "a"],
            children=[CHILD],
        )
    },
)


class Nodes:
    """Answers node calls from a table; `log` has what was called."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.log: list[tuple[str, str, dict[str, Any]]] = []

    def call(self, node: Node, name: str, /, **args: Any) -> Any:
        self.log.append((node.name, name, args))
        return self.answers.get(name)

    def call_many(self, nodes: list[Node], name: str, /, **args: Any) -> dict[str, Any]:
        out = {}
        for node in nodes:
            value = self.call(node, name, **args)
            error = value if isinstance(value, Exception) else None
            out[node.uuid] = SimpleNamespace(ok=error is None, value=value, error=error)
        return out


class Context(SimpleNamespace):
    def __init__(self, **answers: Any) -> None:
        super().__init__(view=VIEW, nodes=Nodes(answers), said=[])

    def warn(self, text: str) -> None:
        self.said.append(text)

    log = warn


@pytest.fixture(autouse=True)
def templates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_storage, "enabled", lambda view: iter([LVM, FILES]))


def make(ident: str, context: Context, **fields: Any) -> Operation[Any]:
    cls = OPERATIONS[ident]
    return cls(cls.OPCODE(**fields), context)


def run(operation: Operation[Any]) -> Any:
    """Check, plan, do; returns what the last step returned."""
    operation.check()
    outcomes = []
    for plan in operation.plan():
        args = msgspec.json.decode(msgspec.json.encode(plan.args))
        outcomes.append(STEPS[plan.name]().do(operation.context, args))
    return operation.result(outcomes)


def test_the_type_chooses_the_template() -> None:
    assert choose_type(VIEW, None) == ("lvm-vg", LVM)
    assert choose_type(VIEW, "lvm-pv") == ("lvm-pv", LVM)
    assert choose_type(VIEW, "file") == ("file", FILES)
    with pytest.raises(OpPrereqError, match=r"type 'rados' \(.*: lvm-vg, lvm-pv, file\)"):
        choose_type(VIEW, "rados")


def test_units_are_listed_of_online_nodes() -> None:
    units = [
        UnitState(name="sdb10", size=10, used=2, free=8),
        UnitState(name="sdb9", size=10, used=2, free=8, allocatable=False),
    ]
    context = Context(storage_list=units)
    fields = ["node", "type", "name", "free", "allocatable"]
    listing = make("OP_NODE_QUERY_STORAGE", context, storage_type="lvm-pv", output_fields=fields)
    rows = run(listing)
    assert rows[:2] == [
        ["node-a", "lvm-pv", "sdb9", 8, False],
        ["node-a", "lvm-pv", "sdb10", 8, True],
    ]
    assert [row[0] for row in rows] == ["node-a", "node-a", "node-b", "node-b"]
    assert [lock.name for lock in listing.locks()] == ["a", "b", "o"]
    one = make(
        "OP_NODE_QUERY_STORAGE", context, name="sdb9", nodes=["node-b"], output_fields=["name"]
    )
    assert run(one) == [["sdb9"]]


def test_a_silent_node_is_a_warning() -> None:
    context = Context(storage_list=OSError("it is gone"))
    assert run(make("OP_NODE_QUERY_STORAGE", context, output_fields=["name"])) == []
    assert context.said[0] == "Can't get storage data from node node-a: it is gone"


def test_volumes_know_their_instance() -> None:
    found = [
        Volume(
            name="data", pool="xenvg", size=8, device="/dev/sda", logical_ids=[["xenvg", "data"]]
        ),
        Volume(name="lost", pool="xenvg", size=4, logical_ids=[["xenvg", "lost"]]),
    ]
    context = Context(volumes_list=found)
    fields = ["phys", "vg", "name", "size", "instance"]
    rows = run(make("OP_NODE_QUERYVOLS", context, nodes=["node-a"], output_fields=fields))
    assert rows == [["/dev/sda", "xenvg", "data", 8, "inst"], ["-", "xenvg", "lost", 4, "-"]]


def test_owners_belong_to_their_nodes() -> None:
    known = owners(VIEW, frozenset())
    assert {uuid for uuid, ident in known if ident == "['xenvg', 'data']"} == {"a", "b"}
    assert {uuid for uuid, _ident in owners(VIEW, frozenset({"drbd", "lvm"}))} == {None}


def test_a_unit_is_changed_and_changed_back() -> None:
    context = Context(storage_list=[UnitState(name="sda", size=1, used=0, free=1)])
    fields = {"node_name": "node-a", "storage_type": "lvm-pv", "name": "sda"}
    change = make("OP_NODE_MODIFY_STORAGE", context, changes={"allocatable": False}, **fields)
    run(change)
    assert context.nodes.log[-1][1:] == (
        "storage_change",
        {
            "kind": "lvm-pv",
            "name": "sda",
            "unit": node_storage.as_unit(VIEW, LVM),
            "changes": {"allocatable": False},
        },
    )
    (plan,) = change.plan()
    STEPS[plan.name]().undo(context, plan.args)
    assert context.nodes.log[-1][2]["changes"] == {"allocatable": True}


def test_a_unit_is_repaired_when_the_other_copies_are_sound() -> None:
    units = [UnitState(name="xenvg", size=1, used=0, free=1)]
    fields = {"node_name": "node-a", "storage_type": "lvm-vg", "name": "xenvg"}
    context = Context(storage_list=units, disk_sync=SyncStatus())
    run(make("OP_REPAIR_NODE_STORAGE", context, **fields))
    assert context.nodes.log[-1][1] == "storage_repair"
    assert context.said == ["Repairing storage unit 'xenvg' on node-a ..."]
    context = Context(storage_list=units, disk_sync=SyncStatus(degraded=True))
    with pytest.raises(OpPrereqError, match="'inst' has faulty disks on node 'node-b', so"):
        make("OP_REPAIR_NODE_STORAGE", context, **fields).check()
    make("OP_REPAIR_NODE_STORAGE", context, ignore_consistency=True, **fields).check()
    assert context.said == ["Instance 'inst' has faulty disks on node 'node-b'"]


@pytest.mark.parametrize(
    ("ident", "fields", "text"),
    [
        ("MODIFY", {"changes": {}}, "allocatable, not nothing"),
        ("MODIFY", {"changes": {"size": 1}}, "allocatable, not size"),
        ("MODIFY", {"changes": {"allocatable": "no"}}, "must be true or false"),
        ("MODIFY", {"storage_type": "lvm-vg"}, "'lvm-vg' can not be modified"),
        ("MODIFY", {"node_name": "nosuch"}, "Node 'nosuch' not known"),
        ("MODIFY", {"node_name": "node-o"}, "offline node node-o"),
        ("MODIFY", {"name": "sdz"}, r"no storage unit 'sdz' .*there are: sda"),
        ("REPAIR", {"storage_type": "file"}, "'file' can not be repaired"),
        ("REPAIR", {"storage_type": "nosuch"}, "No enabled disk template"),
    ],
)
def test_refused(ident: str, fields: dict[str, Any], text: str) -> None:
    given: dict[str, Any] = {"node_name": "node-a", "storage_type": "lvm-pv", "name": "sda"}
    name = "OP_NODE_MODIFY_STORAGE" if ident == "MODIFY" else "OP_REPAIR_NODE_STORAGE"
    if ident == "MODIFY":
        given["changes"] = {"allocatable": True}
    context = Context(storage_list=[UnitState(name="sda", size=1, used=0, free=1)])
    with pytest.raises(OpPrereqError, match=text):
        make(name, context, **given | fields).check()
