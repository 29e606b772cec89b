"""The master's machine is lost, or cut off, during a job; a candidate takes over.

Nothing that was acknowledged is lost, nothing is done twice, the old master is refused. `make test`
loses the master at some steps; GANETI_ALL_FAULTS=1 at every one.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from ganeti_kernel.daemons import control
from ganeti_kernel.errors import LuxiError
from ganeti_kernel.luxi.client import Client
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.store.sqlite import SqliteBackend
from ganeti_kernel.testing.devcluster import BIN, DevCluster
from ganeti_kernel.testing.waiting import wait_until

MODULES: Final = Path(__file__).parents[1] / "data" / "modules"
NAME: Final = "inst.example.com"
FINAL: Final = ("success", "error", "canceled")
EVERYBODY: Final = ["node1.example.com", "node2.example.com", "node3.example.com"]
ALL: Final = bool(os.environ.get("GANETI_ALL_FAULTS"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ADD: Final[dict[str, Any]] = {
    "OP_ID": "OP_INSTANCE_CREATE",
    "mode": "create",
    "instance_name": NAME,
    "disk_template": "file",
    "disks": [{"size": 8}],
    "nics": [{"network": "net1", "ip": "pool"}],
    "pnode": "node3.example.com",
    "os_type": "noop",
    "hypervisor": "fake",
}
REMOVE: Final[dict[str, Any]] = {
    "OP_ID": "OP_INSTANCE_REMOVE",
    "instance_name": NAME,
    "shutdown_timeout": 1,
}


class LostCluster(DevCluster):
    """Three nodes; node 1 or 2 is the master, guests are on node 3."""

    master = 1

    @property
    def other(self) -> int:
        return 3 - self.master

    @property
    def paths(self) -> Paths:
        return self.nodes[self.master - 1]

    def client(self) -> Client:
        return Client(self.paths.master_socket)

    def settle(self) -> None:
        """Wait until all nodes have everything."""

        def names() -> Any:
            return json.loads(self.paths.replicas_file.read_text())["names"]

        wait_until(lambda: names() == EVERYBODY, lambda: str(names()))

    def submit(self, *opcodes: dict[str, Any]) -> int:
        with self.client() as client:
            return client.submit_job(opcodes)

    def wait(self, job_id: int) -> tuple[str, Any]:
        def ended() -> Any:
            with self.client() as client:
                row = client.query_jobs([job_id], ["status", "opresult"])[0]
            assert row is not None, f"job {job_id} was lost"
            return row if row[0] in FINAL else None

        row = wait_until(ended, f"job {job_id} to end")
        return row[0], row[1][0]

    def status(self, job_id: int) -> str | None:
        """A job's final status, None while it has none."""
        with self.client() as client:
            row = client.query_jobs([job_id], ["status"])[0]
        assert row is not None, f"job {job_id} was lost"
        return str(row[0]) if row[0] in FINAL else None

    def do(self, *opcodes: dict[str, Any]) -> tuple[str, Any]:
        return self.wait(self.submit(*opcodes))

    def take_over(self) -> str:
        """The other candidate becomes the master; returns what was said."""
        ran = self.on(self.other, "gnt-cluster", "master-failover")
        assert "is the master of cluster.example.com" in ran.out, ran.out + ran.err
        self.master = self.other
        return ran.out + ran.err

    def store(self, prefix: str) -> dict[str, Any]:
        backend = SqliteBackend(PluginContext(paths=self.paths))
        store = backend.open(f"sqlite://{self.paths.store_file}", create=False)
        try:
            return {item.key: json.loads(item.value) for item in store.list(prefix)}
        finally:
            store.close()

    def traces(self) -> dict[str, Any]:
        """Everything that an instance leaves somewhere."""
        (network,) = self.store("config/networks/").values()
        files = [
            path
            for folder in ("/srv/ganeti/file-storage", "/var/run/ganeti/fake-hypervisor")
            for path in self.nodes[2].under(folder).rglob("*")
            if path.is_file()
        ]
        return {
            "instances": len(self.store("config/instances/")),
            "disks": len(self.store("config/disks/")),
            "reserved": network["reservations"].count("1"),
            "files": len(files),
            "left": [*self.store("reservations/"), *self.store("journal/")],
        }


NOTHING: Final = {"instances": 0, "disks": 0, "reserved": 0, "files": 0, "left": []}
THERE: Final = {"instances": 1, "disks": 1, "reserved": 1, "files": 2, "left": []}


@pytest.fixture(scope="module")
def cluster() -> Iterator[LostCluster]:
    with pytest.MonkeyPatch.context() as patch, LostCluster(3) as cluster:
        patch.setenv("PYTHONPATH", str(MODULES))
        cluster.write_os("noop")
        for paths in cluster.nodes:
            with paths.under("/etc/default/ganeti").open("a") as stream:
                stream.write('MASTERD_ARGS="--operations=host_faults"\n')
        cluster.must("gnt-network", "add", "--network", "192.0.2.0/29", "net1")
        cluster.must("gnt-network", "connect", "-N", "mode=bridged,link=br0", "net1", "default")
        cluster.must("daemon-util", "restart", "ganeti-masterd")
        yield cluster


def lose(cluster: LostCluster, opcode: dict[str, Any], step: int, when: str) -> str | None:
    """Run an opcode on a master that is lost at a step; its final status, None: no such step."""
    cluster.settle()
    lost, number = cluster.paths.root / "lost.json", cluster.master
    tag = f"behind-{step}-{when}-{number}-{opcode['OP_ID'][12:]}".lower()
    lost.write_text(json.dumps({"step": step, "when": when}))
    first = cluster.submit(opcode)
    tags = {"OP_ID": "OP_TAGS_SET", "kind": "cluster", "name": "", "tags": [tag]}
    try:
        behind = cluster.submit(tags | {"depends": [[first, list(FINAL)]]})
    except LuxiError:  # the machine was lost before it took this one
        behind = 0

    def over() -> str | None:
        if not lost.exists():
            return "lost"
        try:
            return cluster.status(first)
        except LuxiError:
            return None  # it is being lost

    if wait_until(over, "the master to be lost, or the job to end") != "lost":
        lost.unlink()
        assert cluster.wait(first)[0] == "success"
        cluster.wait(behind)
        return None
    wait_until(lambda: not cluster.processes(number), "the node's processes to end")
    cluster.take_over()
    status, result = cluster.wait(first)
    if status == "error":
        assert result[1][0], "an error without a text"
    if behind:
        assert cluster.wait(behind)[0] == "success"
        assert tag in cluster.must("gnt-cluster", "list-tags", node=cluster.master).split()
    cluster.start_node(number)
    return status


def points(some: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    if not ALL:
        yield from some
        return
    for when in ("before", "after"):
        for step in range(12):
            yield step, when


def test_lost_while_an_instance_is_made(cluster: LostCluster, record_property: Any) -> None:
    outcomes: Counter[str] = Counter()
    for step, when in points([(0, "after"), (2, "before")]):
        if cluster.traces() != NOTHING:
            assert cluster.do(REMOVE)[0] == "success"
        status = lose(cluster, ADD, step, when)
        if status is None:
            continue
        outcomes[status] += 1
        assert cluster.traces() == (THERE if status == "success" else NOTHING), (step, when)
    assert outcomes
    record_property("figure", f"instance add, master lost: {dict(outcomes)}, nothing leaked")


def test_lost_while_an_instance_is_removed(cluster: LostCluster, record_property: Any) -> None:
    outcomes: Counter[str] = Counter()
    for step, when in points([(2, "after")]):
        if cluster.traces() == NOTHING:
            assert cluster.do(ADD)[0] == "success"
        assert cluster.traces() == THERE
        status = lose(cluster, REMOVE, step, when)
        if status is None:
            continue
        outcomes[status] += 1
        if status == "success":
            assert cluster.traces() == NOTHING, (step, when)
        else:  # nothing was destroyed
            assert cluster.traces()["disks"] == 1, (step, when)
    assert outcomes
    record_property("figure", f"instance remove, master lost: {dict(outcomes)}, nothing leaked")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces")
def test_a_master_that_was_cut_off_is_refused() -> None:
    with LostCluster(3, "--mode", "netns") as cluster:
        cluster.settle()
        cut_off_and_back(cluster)


def cut_off_and_back(cluster: LostCluster) -> None:
    old = cluster.paths
    delay = {"OP_ID": "OP_TEST_DELAY", "duration": 300, "on_nodes": ["node3.example.com"]}
    running = cluster.submit(delay)

    def status() -> Any:
        with cluster.client() as client:
            row = client.query_jobs([running], ["status"])[0]
        return row and row[0] == "running"

    wait_until(status, "the job to run")
    layout = json.loads((cluster.root / "devcluster.json").read_text())
    link = ["ip", "-n", f"gdc{layout['tag']}sw", "link", "set", "p1"]
    subprocess.run([*link, "down"], check=True, timeout=20)

    # what it is told now it acknowledges to nobody
    waiting = subprocess.Popen(
        [BIN / "gnt-devcluster", "exec", "--root", str(cluster.root), "node1", "--",
         "gnt-cluster", "add-tags", "lost"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with waiting:
        log = old.log_dir / "master-daemon.log"
        wait_until(lambda: "reaches only 1 of 3 nodes" in log.read_text(), "it to notice")
        refused = cluster.on(1, "gnt-cluster", "queue", "drain")
        assert refused.code == 1
        assert "this master reaches only 1 of 3 nodes" in refused.err
        assert waiting.poll() is None

        said = cluster.take_over()
        assert "node1.example.com cannot be reached; its daemons are not stopped" in said
        outcome, result = cluster.wait(running)
        assert outcome == "error"
        assert "its process died" in result[1][0]
        cluster.must("gnt-cluster", "add-tags", "new", node=2)
        assert control.pid_of(old, "ganeti-masterd"), "it does not know yet"

        subprocess.run([*link, "up"], check=True, timeout=20)
        wait_until(lambda: not control.pid_of(old, "ganeti-masterd"), "the old master to end")
        out, _err = waiting.communicate(timeout=60)
        assert waiting.returncode == 1, out
    text = log.read_text()
    assert "that master was replaced (the master is node2.example.com)" in text
    assert f"ended the processes of jobs {running}" in text
    assert not list((old.run_dir / "livelocks").glob("job_*"))
    cluster.settle()
    assert cluster.must("gnt-cluster", "list-tags", node=2).split() == ["new"]
    assert cluster.must("gnt-cluster", "getmaster", node=1) == "node2.example.com\n"
    assert list(old.data_dir.glob("store.sqlite.replaced-*")), "what it never acknowledged"
