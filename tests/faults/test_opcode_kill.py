"""kill -9 of the master daemon, the job or a node daemon, wherever an opcode can be interrupted.

On a development cluster with hypervisor fake. Whatever dies, and at whatever point: the job ends
definite, and the whole cluster (configuration, disks, guests, addresses, certificates, the nodes'
files, reservations, locks, daemons) is as it was, or as the opcode makes it.

`GANETI_KILL_MATRIX=full` strikes every point; else each opcode is struck twice.
"""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ganeti_kernel.jobs.operation import OPERATIONS
from tests.faults.struck_cluster import Everything, Opcode, StruckCluster, difference

FULL = os.environ.get("GANETI_KILL_MATRIX") == "full"
VICTIMS = ("job", "master", "noded", "call")
"""`noded` dies at points of the job, `call` is the same daemon at points of its own work."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if FULL else 300)]

NAME = "inst.example.com"
NODE2, NODE3 = "node2.example.com", "node3.example.com"


def op(name: str, /, **fields: Any) -> dict[str, Any]:
    return {"OP_ID": f"OP_{name}", **fields}


ADD = op(
    "INSTANCE_CREATE",
    mode="create",
    instance_name=NAME,
    disk_template="file",
    disks=[{"size": 8}, {"size": 4}],
    nics=[{"network": "net1", "ip": "pool"}],
    pnode="node2.example.com",
    os_type="noop",
    hypervisor="fake",
)
ADD_SHARED = {
    **ADD,
    "disk_template": "ext",
    "disks": [{"size": 8, "provider": "loopfile"}],
    "no_install": True,
}
REMOVE = op("INSTANCE_REMOVE", instance_name=NAME, shutdown_timeout=1)
START = op("INSTANCE_STARTUP", instance_name=NAME)
STOP = op("INSTANCE_SHUTDOWN", instance_name=NAME, timeout=1)
NODE_ADD = op("NODE_ADD", node_name=NODE3, node_setup=True)
NODE_REMOVE = op("NODE_REMOVE", node_name=NODE3)
GROUP_ADD = op("GROUP_ADD", group_name="group2")
GROUP_REMOVE = op("GROUP_REMOVE", group_name="group2")
NETWORK_ADD = op("NETWORK_ADD", network_name="net2", network="198.51.100.0/28", tags=["a"])
NETWORK_REMOVE = op("NETWORK_REMOVE", network_name="net2")
CONNECT = op(
    "NETWORK_CONNECT",
    network_name="net2",
    group_name="default",
    network_mode="bridged",
    network_link="br0",
)
DISCONNECT = op("NETWORK_DISCONNECT", network_name="net2", group_name="default")


RENAME = op("CLUSTER_RENAME", name="other.example.com")
RENAME_BACK = op("CLUSTER_RENAME", name="cluster.example.com")


def move(how: str, node: str, **fields: Any) -> Opcode:
    return op(f"INSTANCE_{how}", instance_name=NAME, target_node=node, **fields)


def set_node(**fields: Any) -> Opcode:
    return op("NODE_SET_PARAMS", node_name=NODE3, **fields)


def assign(group: str) -> Opcode:
    return op("GROUP_ASSIGN_NODES", group_name=group, nodes=[NODE3])


@dataclass(frozen=True)
class Case:
    """An opcode, what must be there for it, and what takes both back again."""

    opcode: Opcode
    first: tuple[Opcode, ...] = ()
    back: tuple[Opcode, ...] = ()
    last: tuple[Opcode, ...] = ()
    node: int = 2
    changes: bool = True
    fails: bool = False


CASES = {
    "instance create": Case(ADD, back=(REMOVE,)),
    "instance create that fails": Case({**ADD, "os_type": "broken"}, fails=True),
    "instance remove": Case(REMOVE, first=(ADD,), back=(ADD,), last=(REMOVE,)),
    "instance startup": Case(START, first=(ADD, STOP), back=(STOP,), last=(REMOVE,)),
    "instance shutdown": Case(STOP, first=(ADD,), back=(START,), last=(REMOVE,)),
    "instance reboot": Case(
        op("INSTANCE_REBOOT", instance_name=NAME, reboot_type="full", shutdown_timeout=1),
        first=(ADD,),
        last=(REMOVE,),
        changes=False,
    ),
    "instance migrate": Case(
        move("MIGRATE", NODE3), first=(ADD_SHARED,), back=(move("MIGRATE", NODE2),), last=(REMOVE,)
    ),
    "instance failover": Case(
        move("FAILOVER", NODE3, shutdown_timeout=1),
        first=(ADD_SHARED,),
        back=(move("FAILOVER", NODE2, shutdown_timeout=1),),
        last=(REMOVE,),
    ),
    "node add": Case(NODE_ADD, first=(NODE_REMOVE,), back=(NODE_REMOVE,), last=(NODE_ADD,), node=3),
    "node remove": Case(NODE_REMOVE, back=(NODE_ADD,), node=3),
    "node set-params offline": Case(
        set_node(offline=True, auto_promote=True), back=(set_node(offline=False),), node=3
    ),
    "node set-params candidate": Case(
        set_node(master_candidate=True),
        first=(set_node(master_candidate=False),),
        back=(set_node(master_candidate=False),),
        last=(set_node(master_candidate=True),),
        node=3,
    ),
    "group add": Case(GROUP_ADD, back=(GROUP_REMOVE,)),
    "group assign-nodes": Case(
        assign("group2"),
        first=(GROUP_ADD,),
        back=(assign("default"),),
        last=(GROUP_REMOVE,),
        node=3,
    ),
    "network add": Case(NETWORK_ADD, back=(NETWORK_REMOVE,)),
    "network connect": Case(
        CONNECT, first=(NETWORK_ADD,), back=(DISCONNECT,), last=(NETWORK_REMOVE,)
    ),
    "network disconnect": Case(
        DISCONNECT, first=(NETWORK_ADD, CONNECT), back=(CONNECT,), last=(DISCONNECT, NETWORK_REMOVE)
    ),
    "cluster set-params": Case(
        op("CLUSTER_SET_PARAMS", candidate_pool_size=9, beparams={"vcpus": 2}),
        back=(op("CLUSTER_SET_PARAMS", candidate_pool_size=10, beparams={"vcpus": 1}),),
    ),
    "cluster rename": Case(RENAME, back=(RENAME_BACK,)),
    "cluster redist-conf": Case(op("CLUSTER_REDIST_CONF"), changes=False),
    "tags set": Case(
        op("TAGS_SET", kind="cluster", tags=["a", "b"]),
        back=(op("TAGS_DEL", kind="cluster", tags=["a", "b"]),),
    ),
}


class Arena:
    """A cluster that is made anew when something broke it."""

    def __init__(self) -> None:
        self.cluster: StruckCluster | None = None

    def enter(self) -> StruckCluster:
        if self.cluster is None:
            self.cluster = StruckCluster()
            self.cluster.__enter__()
            connect = ("-N", "mode=bridged,link=br0", "net1", "default")
            hosts = self.cluster.nodes[0].hosts_file
            address = self.cluster.nodes[0].ssconf("master_ip").read_text().strip()
            other = f"{address.rpartition('.')[0]}.253 other.example.com"
            hosts.write_text(f"{hosts.read_text()}{other}\n")
            self.cluster.must("gnt-network", "add", "--network", "192.0.2.0/29", "net1")
            self.cluster.must("gnt-network", "connect", *connect)
        return self.cluster

    def leave(self) -> None:
        cluster, self.cluster = self.cluster, None
        if cluster is not None:
            cluster.down()


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    arena = Arena()
    try:
        yield arena
    finally:
        arena.leave()


@dataclass(frozen=True)
class Reference:
    """What an undisturbed execution makes of the cluster, and where it can be disturbed."""

    before: Everything
    after: Everything
    points: list[str]
    calls: list[str]


def reference(cluster: StruckCluster, case: Case) -> Reference:
    before = cluster.everything()
    job, calls = cluster.record(case.node)
    status, result = cluster.do(case.opcode)
    assert (status == "error") == case.fails, result
    after = cluster.everything()
    points = [path.read_text().splitlines() for path in (job, calls)]
    for path in (job, calls):
        path.unlink()
    assert (before != after) == (case.changes and not case.fails)
    put_back(cluster, case, before)
    return Reference(before, after, *points)


def put_back(cluster: StruckCluster, case: Case, before: Everything) -> None:
    cluster.must_do(case.back)
    assert list(difference(cluster.everything(), before)) == []


def strike(cluster: StruckCluster, case: Case, known: Reference, who: str, point: int) -> str:
    """Execute the opcode once with a fault; returns how it ended."""
    names = known.calls if who == "call" else known.points
    where = f"{who} killed at point {point}, {names[point]}"
    cluster.hooked()
    cluster.strike(who, point, case.node)
    status, result = cluster.do(case.opcode)
    cluster.everything()  # what strikes late, behind the job's end too, has struck by now
    struck = cluster.struck()
    hooked = case.opcode["OP_ID"] in cluster.hooked()
    wanted = status == "success" and OPERATIONS[case.opcode["OP_ID"]].HOOKS_PATH is not None
    assert hooked == wanted, f"{where}: {status}, post hooks {'' if hooked else 'not '}run"
    found = cluster.everything()
    if not struck:
        assert (status == "error") == case.fails, f"{where}: not struck, {result}"
        outcome = "not struck"
    elif status == "error":
        assert result[1][0], f"{where}: an error without a text"
        assert list(difference(found, known.before)) == [], f"{where}: {result}"
        outcome = "undone"
    else:
        assert status == "success", f"{where}: {status}"
        assert list(difference(found, known.after)) == [], where
        outcome = "carried through"
    if status == "success":
        put_back(cluster, case, known.before)
    return outcome


def chosen(name: str, who: str, points: int) -> range:
    """All points, or one that differs from opcode to opcode and victim to victim."""
    if FULL or not points:
        return range(points)
    point = zlib.crc32(f"{name} {who}".encode()) % points
    return range(point, point + 1)


def victims(name: str) -> tuple[str, ...]:
    """All, or the job and one of the others, which differs from opcode to opcode."""
    others = VICTIMS[1:]
    return VICTIMS if FULL else (VICTIMS[0], others[list(CASES).index(name) % len(others)])


@pytest.mark.parametrize("name", CASES)
def test_kill(arena: Arena, name: str, record_property: Any) -> None:
    case = CASES[name]
    cluster = arena.enter()
    cluster.must_do(case.first)
    known = reference(cluster, case)
    figures, problems = [], []
    for who in victims(name):
        outcomes: Counter[str] = Counter()
        for point in chosen(name, who, len(known.calls if who == "call" else known.points)):
            try:
                outcomes[strike(cluster, case, known, who, point)] += 1
            except AssertionError as problem:  # tell of all that are broken, not of the first
                problems.append(str(problem).splitlines()[:20])
                print("\n", problems[-1], flush=True)
                outcomes["broken"] += 1
                arena.leave()
                cluster = arena.enter()
                cluster.must_do(case.first)
                known = reference(cluster, case)
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        figures.append(f"{who}: {told or 'nothing to strike'}")
        print(f"\n{name}, {figures[-1]}", flush=True)
    cluster.must_do(case.last)
    record_property("figure", f"kill -9, {name}: {'; '.join(figures)}")
    assert problems == [], figures
