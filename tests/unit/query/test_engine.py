"""The query engine: statuses of cells, names, plans, what nodes are asked."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest

from ganeti_kernel.config.changes import Draft
from ganeti_kernel.errors import ECODE_INVAL, ECODE_NOENT, OpPrereqError
from ganeti_kernel.objects import ConfigView, Disk, FilterRule, Guest, Instance, Node
from ganeti_kernel.objects.secrets import SecretRules
from ganeti_kernel.query import engine
from ganeti_kernel.query.live import gather
from ganeti_kernel.query.resources import RESOURCES
from ganeti_kernel.query.source import Live, QuerySource
from ganeti_kernel.rpc.client import Result
from ganeti_kernel.rpc.results import NodeInfo, StorageUnit
from ganeti_kernel.specs.base import Parameter
from ganeti_kernel.specs.hypervisor import STATE_SHUTDOWN, Console, InstanceState, NodeResources


def cell(source: QuerySource, resource: str, name: str, field: str) -> tuple[int, Any]:
    key = RESOURCES[resource].key
    ((value,),) = engine.query(resource, [field], ["=", key, name], source)["data"]
    status, content = value
    return status, content


def changed(source: QuerySource, table: str, name: str, **fields: Any) -> QuerySource:
    draft = Draft(source.view)
    found = next(item for item in getattr(source.view, table).values() if item.name == name)
    draft.replace(found, **fields)
    return dataclasses.replace(source, view=draft.view)


INST1 = "inst1.example.com"
NODE2 = "node2.example.com"


# -- names, unknown things ---------------------------------------------------------------------


def test_every_field_of_every_resource_gives_a_cell(rich2: QuerySource) -> None:
    draft = Draft(rich2.view)
    draft.put(FilterRule(uuid="f", watermark=1, priority=2, predicates=[], action="REJECT"))
    rows: dict[str, Any] = {name: [{}] for name in ("lock", "os", "extstorage", "export")}
    source = dataclasses.replace(rich2, view=draft.view, jobs={1: {"id": 1}}, rows=rows)
    for name in RESOURCES:
        fields = [field["name"] for field in engine.query_fields(name)["fields"]]
        answer = engine.query(name, fields, None, source)
        assert answer["data"], name
        assert all(status in (0, 2, 3, 4) for row in answer["data"] for status, _ in row)
        assert msgspec.json.encode(answer)


def test_unknown_field_is_a_column_of_its_own(rich1: QuerySource) -> None:
    answer = engine.query("node", ["name", "colour"], None, rich1)
    assert answer["fields"][1] == {
        "name": "colour",
        "title": "colour",
        "kind": "unknown",
        "doc": "Unknown field 'colour'",
    }
    assert [row[1] for row in answer["data"]] == [(1, None)] * 3


def test_unknown_resource_lists_what_there_is(rich1: QuerySource) -> None:
    for action in (
        lambda: engine.query("planet", ["name"], None, rich1),
        lambda: engine.query_fields("planet"),
        lambda: engine.needs("planet", [], None),
    ):
        with pytest.raises(OpPrereqError, match=r"planet.*cluster, export.*os") as error:
            action()
        assert error.value.code == ECODE_INVAL


@pytest.mark.parametrize(
    ("resource", "noun"),
    [
        ("instance", "Instance"),
        ("node", "Node"),
        ("group", "Node group"),
        ("network", "Network"),
    ],
)
def test_name_that_does_not_exist(rich1: QuerySource, resource: str, noun: str) -> None:
    """The sentence for instances is upstream's."""
    qfilter = ["|", ["=", "name", "nosuch.example.com"]]
    with pytest.raises(OpPrereqError, match=f"^{noun} name nosuch.example.com not found$") as error:
        engine.query(resource, ["name"], qfilter, rich1)
    assert error.value.code == ECODE_NOENT
    assert engine.plain_rows(resource, ["nosuch.example.com"], ["name"], rich1) == []


def test_names_may_be_short_and_come_in_the_order_asked(rich1: QuerySource) -> None:
    qfilter = ["|", *(["=", "name", name] for name in ("inst9", "inst1", "inst9"))]
    answer = engine.query("instance", ["name"], qfilter, rich1)["data"]
    assert [row[0][1] for row in answer] == ["inst9.example.com", "inst1.example.com"]


def test_listing_is_in_natural_order(rich1: QuerySource) -> None:
    names = [row[0] for row in engine.plain_rows("instance", [], ["name"], rich1)]
    assert names[-2:] == ["inst9.example.com", "inst14.example.com"]


def test_bad_job_number(rich1: QuerySource) -> None:
    with pytest.raises(OpPrereqError, match="'x' is not a number"):
        engine.query("job", ["id"], ["=", "id", "x"], rich1)


def test_old_style_refuses_unknown_fields(rich1: QuerySource) -> None:
    with pytest.raises(OpPrereqError, match="Unknown output fields selected: colour"):
        engine.plain_rows("node", [], ["name", "colour"], rich1)


def test_job_filter_rules_come_in_the_order_of_the_chain(rich1: QuerySource) -> None:
    draft = Draft(rich1.view)
    for uuid, priority, watermark in (("a", 5, 1), ("b", 0, 9), ("c", 0, 3)):
        rule = FilterRule(
            uuid=uuid, watermark=watermark, priority=priority, predicates=[], action="ACCEPT"
        )
        draft.put(rule)
    source = dataclasses.replace(rich1, view=draft.view)
    assert engine.plain_rows("filter", [], ["uuid"], source) == [["c"], ["b"], ["a"]]


# -- status of instances -----------------------------------------------------------------------


def with_guest(source: QuerySource, state: InstanceState | None, node: str) -> QuerySource:
    guests = {uuid: dict(found or {}) for uuid, found in source.live.guests.items()}
    for found in guests.values():
        found.pop(INST1, None)
    where = source.view.find_node(node)
    assert where is not None
    if state is not None:
        guests[where.uuid][INST1] = state
    return dataclasses.replace(source, live=dataclasses.replace(source.live, guests=guests))


RUNNING = InstanceState(name=INST1, memory=100, vcpus=2)
STOPPED = InstanceState(name=INST1, state=STATE_SHUTDOWN)


@pytest.mark.parametrize(
    ("admin", "by", "guest", "node", "user_shutdown", "expected"),
    [
        ("up", "admin", RUNNING, NODE2, False, "running"),
        ("down", "admin", RUNNING, NODE2, False, "ERROR_up"),
        ("up", "admin", None, NODE2, False, "ERROR_down"),
        ("down", "admin", None, NODE2, False, "ADMIN_down"),
        ("down", "user", None, NODE2, False, "USER_down"),
        ("offline", "admin", None, NODE2, False, "ADMIN_offline"),
        ("up", "admin", RUNNING, "node1.example.com", False, "ERROR_wrongnode"),
        ("up", "admin", STOPPED, NODE2, False, "ERROR_down"),
        ("up", "admin", STOPPED, NODE2, True, "USER_down"),
        ("down", "user", STOPPED, NODE2, True, "USER_down"),
    ],
)
def test_status_words(
    rich1: QuerySource,
    admin: str,
    by: str,
    guest: InstanceState | None,
    node: str,
    user_shutdown: bool,
    expected: str,
) -> None:
    source = changed(rich1, "instances", INST1, admin_state=admin, admin_state_source=by)
    draft = Draft(source.view)
    draft.replace_cluster(enabled_user_shutdown=user_shutdown)
    source = with_guest(dataclasses.replace(source, view=draft.view), guest, node)
    assert cell(source, "instance", INST1, "status") == (0, expected)


def test_offline_node_marks_its_cells(rich1: QuerySource) -> None:
    source = changed(rich1, "nodes", NODE2, offline=True)
    assert cell(source, "instance", INST1, "status") == (0, "ERROR_nodeoffline")
    for field in ("oper_state", "oper_ram", "oper_vcpus", "console"):
        assert cell(source, "instance", INST1, field) == (4, None)
    for field in ("mfree", "dtotal", "bootid", "sptotal"):
        assert cell(source, "node", NODE2, field) == (4, None)
    assert cell(source, "node", NODE2, "role") == (0, "C")


def test_silent_node_costs_its_own_cells_only(rich1: QuerySource) -> None:
    node = rich1.view.find_node(NODE2)
    assert node is not None
    live = dataclasses.replace(
        rich1.live,
        guests=dict(rich1.live.guests) | {node.uuid: None},
        nodes=dict(rich1.live.nodes) | {node.uuid: None},
    )
    source = dataclasses.replace(rich1, live=live)
    assert cell(source, "instance", INST1, "status") == (0, "ERROR_nodedown")
    assert cell(source, "instance", INST1, "oper_ram") == (2, None)
    assert cell(source, "instance", INST1, "console") == (2, None)
    assert cell(source, "node", NODE2, "mfree") == (2, None)
    assert cell(source, "instance", "inst2.example.com", "status") == (0, "running")
    assert cell(source, "node", "node1.example.com", "mfree") == (0, 22438)


def test_node_that_hosts_nothing_has_no_figures(rich1: QuerySource) -> None:
    source = changed(rich1, "nodes", "node3.example.com", vm_capable=False)
    assert cell(source, "node", "node3.example.com", "mfree") == (3, None)


def test_half_an_answer_is_half_a_row(rich1: QuerySource) -> None:
    nodes = {uuid: NodeInfo(bootid="b") for uuid in rich1.view.nodes}
    source = dataclasses.replace(rich1, live=Live(nodes=nodes))
    assert cell(source, "node", NODE2, "bootid") == (0, "b")
    assert cell(source, "node", NODE2, "mfree") == (2, None)
    assert cell(source, "node", NODE2, "dfree") == (3, None)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"master_candidate": True}, "C"),
        ({"drained": True}, "D"),
        ({"offline": True}, "O"),
        ({}, "R"),
    ],
)
def test_roles(rich1: QuerySource, flags: dict[str, bool], expected: str) -> None:
    source = changed(rich1, "nodes", NODE2, **({"master_candidate": False} | flags))
    assert cell(source, "node", NODE2, "role") == (0, expected)


# -- devices and parameters --------------------------------------------------------------------


def test_cells_of_single_devices(rich1: QuerySource) -> None:
    inst = "inst14.example.com"
    assert cell(rich1, "instance", inst, "nic.ip/1") == (0, "203.0.113.5")
    assert cell(rich1, "instance", inst, "nic.bridge/0") == (0, "br0")
    assert cell(rich1, "instance", inst, "nic.bridge/1") == (3, None)
    assert cell(rich1, "instance", inst, "nic.network.name/0") == (0, "net1")
    assert cell(rich1, "instance", inst, "nic.ip/2") == (3, None)
    assert cell(rich1, "instance", inst, "disk.size/2") == (0, 8)
    assert cell(rich1, "instance", inst, "disk.name/0") == (3, None)
    assert cell(rich1, "instance", inst, "sda_size") == (0, 32)
    assert cell(rich1, "instance", inst, "disk_usage") == (0, 56)


def test_mirrored_disk_needs_more_room(rich1: QuerySource) -> None:
    draft = Draft(rich1.view)
    inst = rich1.view.find_instance(INST1)
    other = rich1.view.find_node("node1")
    assert inst is not None
    assert other is not None
    nodes = [inst.primary_node, other.uuid]
    disk = Disk(
        uuid="d", dev_type="drbd", size=1000, nodes=nodes, logical_id=[*nodes, 11000, 0, 0, "s"]
    )
    draft.put(disk)
    draft.replace(inst, disks=["d"])
    source = dataclasses.replace(rich1, view=draft.view)
    assert cell(source, "instance", INST1, "disk_usage") == (0, 1128)
    assert cell(source, "instance", INST1, "snodes") == (0, ["node1.example.com"])
    assert cell(source, "instance", INST1, "snodes.group") == (0, ["default"])
    assert cell(source, "node", "node1.example.com", "sinst_list") == (0, [INST1])


def test_hypervisor_parameters_come_from_plugins_as_well(rich1: QuerySource) -> None:
    parameters = [
        Parameter(name="turbo", type="bool", help="Go faster"),
        Parameter(name="site_key", type="string", secret=True),
        Parameter(name="fleet", type="int", cluster_only=True),
    ]
    source = dataclasses.replace(
        changed(rich1, "instances", INST1, hvparams={"turbo": True, "site_key": "s3cret"}),
        hv_parameters=parameters,
    )
    fields = {
        field["name"]: field
        for field in engine.query_fields("instance", None, parameters)["fields"]
    }
    assert fields["hv/turbo"]["kind"] == "bool"
    assert fields["hv/turbo"]["doc"] == "Go faster"
    assert "hv/fleet" not in fields
    assert "hv/migration_mode" not in fields
    assert cell(source, "instance", INST1, "hv/turbo") == (0, True)
    assert cell(source, "instance", "inst2.example.com", "hv/turbo") == (3, None)


def test_secrets_of_plugins_are_not_shown(rich1: QuerySource) -> None:
    source = changed(rich1, "instances", INST1, hvparams={"site_key": "s3cret", "acpi": True})
    view = source.view
    hidden = ConfigView(
        cluster=view.cluster,
        nodes=view.nodes,
        nodegroups=view.nodegroups,
        instances=view.instances,
        secrets=SecretRules(names=frozenset({"site_key"})),
    )
    source = dataclasses.replace(
        source, view=hidden, hv_parameters=[Parameter(name="site_key", secret=True)]
    )
    fields = ["hv/site_key", "hvparams", "custom_hvparams", "hv/acpi"]
    answer = engine.query("instance", fields, ["=", "name", INST1], source)
    assert "s3cret" not in str(answer)
    assert answer["data"][0][3] == (0, True)


def test_opcode_fields_without_a_value_are_left_out(rich1: QuerySource) -> None:
    op = {"OP_ID": "OP_X", "a": None, "depends": None}
    source = dataclasses.replace(rich1, jobs={7: {"id": 7, "ops": [op]}})
    ((_, ops),) = engine.query("job", ["ops"], None, source)["data"][0]
    assert "a" not in ops[0]
    assert ops[0]["depends"] is None


# -- what must be gathered ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "fields", "qfilter", "expected"),
    [
        ("instance", ["name", "pnode"], None, set()),
        ("instance", ["name", "status"], None, {"instance_state"}),
        ("instance", ["name"], ["=", "oper_ram", 1], {"instance_state"}),
        ("instance", ["console"], None, {"console"}),
        ("node", ["name", "role"], None, set()),
        ("node", ["mfree"], None, {"node_info"}),
        ("node", ["name"], ["&", ["!", ["<", "dfree", 1]]], {"node_info"}),
        ("job", ["id"], None, {"jobs"}),
        ("job", ["oplog"], None, {"jobs", "job_logs"}),
        ("job", ["id"], ["?", "archived"], {"jobs", "archived_jobs"}),
        ("lock", ["name"], None, {"locks"}),
        ("os", ["name"], None, {"os"}),
        ("extstorage", ["name"], None, {"extstorage"}),
        ("export", ["node"], None, {"exports"}),
        ("cluster", ["name"], None, {"cluster"}),
        ("network", ["map", "colour"], None, set()),
    ],
)
def test_needs(resource: str, fields: list[str], qfilter: Any, expected: set[str]) -> None:
    assert engine.needs(resource, fields, qfilter) == expected


def names(items: Iterable[Any]) -> set[str]:
    return {item.name for item in items}


def test_plan_asks_only_whom_the_filter_leaves(rich1: QuerySource) -> None:
    source = dataclasses.replace(rich1, live=Live())
    every = engine.plan("instance", ["status"], None, source)
    assert names(every.nodes) == {"node1.example.com", NODE2, "node3.example.com"}
    one = engine.plan("instance", ["status"], ["=", "name", INST1], source)
    assert names(one.instances) == {INST1}
    assert names(one.nodes) == {NODE2}
    some = engine.plan(
        "instance",
        ["name"],
        ["&", ["=", "pnode", "node1.example.com"], ["=", "status", "running"]],
        source,
    )
    assert names(some.nodes) == {"node1.example.com"}
    either = engine.plan(
        "instance",
        ["name"],
        ["|", ["=", "pnode", "node1.example.com"], ["=", "status", "running"]],
        source,
    )
    assert len(either.instances) == 9
    negated = engine.plan("instance", ["name"], ["!", ["=", "status", "running"]], source)
    assert len(negated.instances) == 9
    assert engine.plan("instance", ["name"], None, source).nodes == ()
    node = engine.plan("node", ["mfree"], ["=", "name", NODE2], source)
    assert names(node.nodes) == {NODE2}


class Nodes:
    """Answers calls from a table; `silent` nodes do not."""

    def __init__(self, silent: Iterable[str] = ()) -> None:
        self.silent = set(silent)
        self.calls: list[tuple[str, list[str], Mapping[str, Any]]] = []

    async def call_many(
        self,
        nodes: Iterable[Node],
        name: str,
        args: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Result]:
        asked = list(nodes)
        self.calls.append((name, [node.name for node in asked], args or {}))
        return {node.uuid: self.answer(node, name, args or {}) for node in asked}

    def answer(self, node: Node, name: str, args: Mapping[str, Any]) -> Result:
        if node.name in self.silent:
            return Result(ok=False)
        if name == "node_info":
            resources = NodeResources(memory_total=4, memory_free=3, memory_dom0=1)
            return Result(ok=True, value=NodeInfo(bootid="b", hypervisors={"fake": resources}))
        if name == "instances_list":
            found = [InstanceState(name=INST1, memory=64)] if node.name == NODE2 else []
            return Result(ok=True, value={"fake": found})
        guest = args["guest"]
        return Result(ok=True, value=Console(instance=guest.name, kind="msg", message="none"))


def build(view: ConfigView, inst: Instance) -> Guest:
    return Guest(name=inst.name, uuid=inst.uuid, hypervisor=inst.hypervisor)


def ask(
    source: QuerySource, nodes: Nodes, resource: str, fields: list[str], qfilter: Any = None
) -> list[Any]:
    """The whole way of a query: plan, gather, answer."""
    source = dataclasses.replace(source, live=Live())
    plan = engine.plan(resource, fields, qfilter, source)
    live = asyncio.run(
        gather(
            plan,
            source.view,
            nodes.call_many,
            storage=[StorageUnit(template="file")],
            build_guest=build,
        )
    )
    rows = engine.query(resource, fields, qfilter, dataclasses.replace(source, live=live))["data"]
    return [[tuple(value) for value in row] for row in rows]


def test_live_figures_are_gathered_and_shown(rich1: QuerySource) -> None:
    nodes = Nodes(silent={"node3.example.com"})
    source = changed(rich1, "nodes", "node1.example.com", offline=True)
    assert ask(source, nodes, "node", ["name", "mfree"]) == [
        [(0, "node1.example.com"), (4, None)],
        [(0, NODE2), (0, 3)],
        [(0, "node3.example.com"), (2, None)],
    ]
    ((call, asked, arguments),) = nodes.calls
    assert (call, asked) == ("node_info", [NODE2, "node3.example.com"])
    assert arguments["hypervisors"] == {"fake": {"migration_mode": "live"}}


def test_live_instances_are_gathered_and_filtered(rich1: QuerySource) -> None:
    nodes = Nodes(silent={"node3.example.com"})
    rows = ask(rich1, nodes, "instance", ["name", "oper_ram"], ["=", "status", "running"])
    assert rows == [[(0, INST1), (0, 64)]]
    assert [call[0] for call in nodes.calls] == ["instances_list"]


def test_static_query_asks_nobody(rich1: QuerySource) -> None:
    nodes = Nodes()
    ask(rich1, nodes, "instance", ["name", "pnode", "be/maxmem"])
    assert nodes.calls == []


def test_consoles_are_gathered(rich1: QuerySource) -> None:
    nodes = Nodes(silent={"node3.example.com"})
    rows = ask(rich1, nodes, "instance", ["console"], ["=", "pnode", NODE2])
    assert rows[0] == [(0, {"instance": INST1, "kind": "msg", "message": "none"})]
    assert ask(rich1, nodes, "instance", ["console"], ["=", "name", "inst3"]) == [[(2, None)]]


@pytest.mark.parametrize("kind", ["!", "|"])
def test_a_filter_without_a_bottom_is_refused(rich1: QuerySource, kind: str) -> None:
    deep: list[Any] = ["=", "name", "x"]
    for _ in range(50_000):
        deep = [kind, deep]
    with pytest.raises(OpPrereqError) as error:
        engine.query("instance", ["name"], deep, rich1)
    assert error.value.code == ECODE_INVAL
