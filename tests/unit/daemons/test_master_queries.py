"""What the master daemon gathers for a query."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ganeti_kernel.config import datafile
from ganeti_kernel.daemons.queries import LOOK_SECONDS, EngineQueries, lock_rows
from ganeti_kernel.errors import OpPrereqError
from ganeti_kernel.jobs.job import Job, LogEntry, OpRecord
from ganeti_kernel.jobs.locks import LockManager
from ganeti_kernel.jobs.operation import Lock
from ganeti_kernel.objects import Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.rpc.client import Result
from ganeti_kernel.rpc.results import NodeInfo, OsStatus, ProviderStatus
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.specs.hypervisor import InstanceState

RECORDED = Path(__file__).parents[2] / "data/upstream/config/config.data.rich1.json"


class Nodes:
    """Answers as three nodes would, of which the third does not."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def call_many(
        self,
        nodes: Iterable[Node],
        name: str,
        args: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Result]:
        self.calls.append(name)
        return {node.uuid: self.answer(node.name, name) for node in nodes}

    def answer(self, node: str, name: str) -> Result:
        if node == "node3.example.com":
            return Result(ok=False)
        values: dict[str, Any] = {
            "node_info": NodeInfo(bootid="b"),
            "instances_list": {"fake": [InstanceState(name="inst2.example.com", memory=64)]},
            "os_diagnose": [OsStatus(name="noop", path="/os/noop", valid=True)],
            "exports_list": ["inst3.example.com"] if node == "node1.example.com" else [],
            "extstorage_diagnose": [ProviderStatus(name="p", path="/p", valid=True)],
        }
        return Result(ok=True, value=values[name])


class Queue:
    """Jobs 3 and 12; job 2 is in the archive."""

    def __init__(self) -> None:
        self.drained = True
        self.jobs = {number: job(number) for number in (12, 3)}

    async def find_archived(self, number: int) -> Job | None:
        return job(2) if number == 2 else None

    def logs(self, number: int) -> dict[int, list[LogEntry]]:
        return {0: [LogEntry(1, (5, 6), "message", f"job {number}")]}


def job(number: int) -> Job:
    return Job(id=number, ops=[OpRecord(input={"OP_ID": "OP_TEST_DELAY", "duration": 1.0})])


class Fixture:
    def __init__(self, tmp_path: Path, installed: Callable[[], object] = lambda: None) -> None:
        self.nodes = Nodes()
        self.locks = LockManager()
        view = datafile.parse(RECORDED.read_bytes())
        self.registry = Registry(PluginContext(paths=Paths(tmp_path)), found=[])
        self.queries = EngineQueries(
            self.registry,
            cast("Any", SimpleNamespace(view=view)),
            cast("Any", SimpleNamespace(queue=Queue(), grants=SimpleNamespace(locks=self.locks))),
            cast("Any", self.nodes),
            installed,
        )

    def ask(self, what: str, fields: list[str], qfilter: Any = None) -> list[list[Any]]:
        answer = asyncio.run(self.queries.query(what, fields, qfilter))
        return [[cell[1] for cell in row] for row in answer["data"]]


@pytest.fixture
def master(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path)


def test_configuration_alone_asks_nobody(master: Fixture) -> None:
    assert master.ask("node", ["name"])[0] == ["node1.example.com"]
    assert asyncio.run(master.queries.rows("group", [], ["name"])) == [["default"], ["rack2"]]
    assert master.nodes.calls == []


def test_nodes_are_asked_for_live_data(master: Fixture) -> None:
    assert master.ask("node", ["name", "bootid"]) == [
        ["node1.example.com", "b"],
        ["node2.example.com", "b"],
        ["node3.example.com", None],
    ]
    assert master.ask("instance", ["oper_ram"], ["=", "name", "inst2"]) == [[64]]
    old = asyncio.run(master.queries.rows("instance", ["inst3.example.com"], ["name", "status"]))
    assert old == [["inst3.example.com", "ERROR_nodedown"]]
    assert master.nodes.calls == ["node_info", "instances_list", "instances_list"]


def test_diagnoses_are_gathered(master: Fixture) -> None:
    assert master.ask("os", ["name", "valid"]) == [["noop", True]]
    assert master.ask("extstorage", ["name"]) == [["p"]]


def test_exports_are_gathered(master: Fixture) -> None:
    """A node without exports has no row, one that cannot say a row without a name."""
    rows = master.ask("export", ["node", "export"])
    assert rows == [["node1.example.com", "inst3.example.com"], ["node3.example.com", None]]
    only = master.ask("export", ["export"], ["=", "node", "node1.example.com"])
    assert only == [["inst3.example.com"]]


def test_other_plugins_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noticed: list[bool] = []
    master = Fixture(tmp_path, lambda: noticed.append(True))
    monkeypatch.setattr(master.registry, "refresh", lambda: True)
    asyncio.run(master.queries.look())
    assert noticed == []  # it was looked a moment ago
    master.queries._looked -= LOOK_SECONDS + 1
    asyncio.run(master.queries.look())
    assert noticed == [True]


def test_jobs(master: Fixture) -> None:
    assert master.ask("job", ["id", "status", "summary"]) == [
        [3, "queued", ["TEST_DELAY(1.0)"]],
        [12, "queued", ["TEST_DELAY(1.0)"]],
    ]
    wanted = ["|", ["=", "id", 2], ["=", "id", "12"], ["=", "id", 99]]
    assert master.ask("job", ["id", "archived", "status"], wanted) == [
        [2, True, "queued"],
        [12, False, "queued"],
        [99, None, None],
    ]
    ((log,),) = master.ask("job", ["oplog"], ["=", "id", 3])
    assert log[0][0][3] == "job 3"
    for bad in ("x", "", "9" * 5000, -1):
        with pytest.raises(OpPrereqError, match="is not a number"):
            master.ask("job", ["id"], ["=", "id", bad])


def test_cluster(master: Fixture) -> None:
    master.queries.facts["watcher_pause"] = 17.0
    fields = ["cluster_name", "drain_flag", "watcher_pause", "master_node"]
    assert master.ask("cluster", fields) == [
        ["cluster.example.com", True, 17.0, "node1.example.com"]
    ]


def test_locks(master: Fixture) -> None:
    master.locks.request(1, [Lock("instance", "web9", exclusive=True), Lock("node", "n")])
    master.locks.request(2, [Lock("node", "n")])
    master.locks.request(3, [Lock("instance", "web9"), Lock("instance", "web10")], now=5.0)
    pending = [["shared", ["job 3"]]]
    assert lock_rows(master.locks) == [
        {
            "name": "instance/web9",
            "mode": "exclusive",
            "owner": ["job 1"],
            "pending": pending,
            "waits": [["job 3", "shared", 5.0, [1]]],
        },
        {
            "name": "instance/web10",
            "mode": None,
            "owner": None,
            "pending": pending,
            "waits": [["job 3", "shared", 5.0, []]],
        },
        {
            "name": "node/n",
            "mode": "shared",
            "owner": ["job 1", "job 2"],
            "pending": [],
            "waits": [],
        },
    ]
    assert master.ask("lock", ["name", "mode"])[0] == ["instance/web9", "exclusive"]


def test_fields(master: Fixture) -> None:
    answer = asyncio.run(master.queries.query_fields("node", ["name", "mfree"]))
    assert [field["title"] for field in answer["fields"]] == ["Node", "MFree"]
