"""kill -9 of the master daemon, the job or the node daemon at every step of an instance's life.

On a development cluster with hypervisor fake: whatever dies, the job ends definite, and no disk,
address, lock, reservation or guest is left of what failed.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.daemons import control
from ganeti_kernel.luxi.client import Client
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.store.sqlite import SqliteBackend
from ganeti_kernel.testing.devcluster import DevCluster

MODULES = Path(__file__).parents[1] / "data" / "modules"
NAME = "inst.example.com"
FINAL = ("success", "error", "canceled")
VICTIMS = ("job", "master", "noded")
OS_SCRIPTS = ("create", "import", "export", "rename")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class StruckCluster(DevCluster):
    """Two nodes; whatever daemon dies is started again, as a service manager would."""

    def __init__(self) -> None:
        super().__init__(2)
        self._stop = threading.Event()
        self._guard = threading.Thread(target=self._restart_what_dies)

    def use_faults(self) -> None:
        """Have the master daemon load the operations that can be struck."""
        self._append("MASTERD_ARGS", "--operations=instance_faults")
        os.environ["PYTHONPATH"] = str(MODULES)
        self.must("daemon-util", "restart", "ganeti-masterd")
        self._guard.start()

    def _append(self, key: str, value: str) -> None:
        with self.nodes[0].under("/etc/default/ganeti").open("a") as stream:
            stream.write(f'{key}="{value}"\n')

    def _restart_what_dies(self) -> None:
        while not self._stop.wait(0.1):
            for number, name in self.dead():
                self.on(number, "daemon-util", "start", name)

    def dead(self) -> list[tuple[int, str]]:
        """Daemons of the matrix that do not run: (number of the node, name)."""
        wanted = [(1, "ganeti-masterd"), (1, "ganeti-noded"), (2, "ganeti-noded")]
        return [item for item in wanted if control.pid_of(self.nodes[item[0] - 1], item[1]) is None]

    def settle(self) -> None:
        """Wait until every daemon runs."""
        deadline = time.monotonic() + 60
        while self.dead():
            assert time.monotonic() < deadline, self.dead()
            time.sleep(0.05)
        self.do({"OP_ID": "OP_OS_DIAGNOSE", "output_fields": ["name"]})

    def down(self) -> None:
        self._stop.set()
        if self._guard.is_alive():
            self._guard.join()
        os.environ.pop("PYTHONPATH", None)
        super().down()

    # -- jobs and faults -----------------------------------------------------------------------

    def fault(self, who: str, step: int, when: str) -> None:
        pid_file = self.nodes[1].run_dir / "ganeti-noded.pid"
        text = json.dumps({"who": who, "step": step, "when": when, "pid_file": str(pid_file)})
        (self.nodes[0].root / "fault.json").write_text(text)

    def fault_struck(self) -> bool:
        path = self.nodes[0].root / "fault.json"
        struck = not path.exists()
        path.unlink(missing_ok=True)
        return struck

    def do(self, opcode: dict[str, Any]) -> tuple[str, Any]:
        """Submit an opcode and wait for its end; returns status and result."""
        deadline = time.monotonic() + 100
        job_id = None
        while time.monotonic() < deadline:
            try:
                with Client(self.nodes[0].master_socket) as client:
                    if job_id is None:
                        job_id = client.submit_job([opcode])
                    row = client.query_jobs([job_id], ["status", "opresult"])[0]
            except Exception:  # the master daemon is away
                time.sleep(0.1)
                continue
            assert row is not None, f"job {job_id} was lost"
            if row[0] in FINAL:
                return row[0], row[1][0]
            time.sleep(0.05)
        raise AssertionError(f"job {job_id} does not end")

    # -- what there is -------------------------------------------------------------------------

    def store(self, prefix: str) -> dict[str, Any]:
        backend = SqliteBackend(PluginContext(paths=self.nodes[0]))
        store = backend.open(f"sqlite://{self.nodes[0].store_file}", create=False)
        try:
            return {item.key: json.loads(item.value) for item in store.list(prefix)}
        finally:
            store.close()

    def network(self) -> dict[str, Any]:
        (network,) = self.store("config/networks/").values()
        return dict(network)

    def traces(self) -> dict[str, Any]:
        """Everything that an instance leaves somewhere."""
        files = [
            str(path)
            for node in self.nodes
            for folder in ("/srv/ganeti/file-storage", "/var/run/ganeti/fake-hypervisor")
            for path in sorted(node.under(folder).rglob("*"))
            if path.is_file()
        ]
        return {
            "instances": list(self.store("config/instances/")),
            "disks": list(self.store("config/disks/")),
            "reserved": self.network()["reservations"].count("1"),
            "files": files,
            "reservations": list(self.store("reservations/")),
        }


NOTHING = {"instances": [], "disks": [], "reserved": 0, "files": [], "reservations": []}

ADD: dict[str, Any] = {
    "OP_ID": "OP_INSTANCE_CREATE",
    "mode": "create",
    "instance_name": NAME,
    "disk_template": "file",
    "disks": [{"size": 8}, {"size": 4}],
    "nics": [{"network": "net1", "ip": "pool"}],
    "pnode": "node2.example.com",
    "os_type": "noop",
    "hypervisor": "fake",
}
REMOVE: dict[str, Any] = {
    "OP_ID": "OP_INSTANCE_REMOVE",
    "instance_name": NAME,
    "shutdown_timeout": 1,
}


def write_os(paths: Paths) -> None:
    folder = paths.under("/srv/ganeti/os/noop")
    folder.mkdir(parents=True)
    (folder / "ganeti_api_version").write_text("10\n")
    for name in OS_SCRIPTS:
        (folder / name).write_text("#!/bin/sh\nexit 0\n")
        (folder / name).chmod(0o755)


@pytest.fixture(scope="module")
def cluster() -> Iterator[StruckCluster]:
    with StruckCluster() as cluster:
        for paths in cluster.nodes:
            write_os(paths)
        cluster.must("gnt-network", "add", "--network", "192.0.2.0/29", "net1")
        cluster.must("gnt-network", "connect", "-N", "mode=bridged,link=br0", "net1", "default")
        cluster.use_faults()
        yield cluster


def matrix(cluster: StruckCluster, prepare: Any, opcode: dict[str, Any], who: str) -> Iterator[str]:
    """Run an opcode with a fault at its 1st, 2nd, … step until it has no more; yields statuses."""
    for when in ("before", "after"):
        step = 0
        while True:
            cluster.settle()
            prepare()
            cluster.fault(who, step, when)
            status, result = cluster.do(opcode)
            struck = cluster.fault_struck()
            if not struck:
                assert status == "success", result
                break
            if status == "error":
                assert result[1][0], "an error without a text"
            yield status
            step += 1
        assert step >= 4


@pytest.mark.parametrize("who", VICTIMS)
def test_add(cluster: StruckCluster, who: str, record_property: Any) -> None:
    outcomes: Counter[str] = Counter()

    def nothing_there() -> None:
        if cluster.traces() != NOTHING:
            assert cluster.do(REMOVE)[0] == "success"
        assert cluster.traces() == NOTHING

    for status in matrix(cluster, nothing_there, ADD, who):
        outcomes[status] += 1
        traces = cluster.traces()
        if status == "success":
            assert len(traces["instances"]) == 1
            assert len(traces["disks"]) == 2
            assert traces["reserved"] == 1
            assert len(traces["files"]) == 3  # two disks and the guest
            assert traces["reservations"] == []
        else:
            assert traces == NOTHING
    cluster.settle()
    assert cluster.do(REMOVE)[0] == "success"
    assert cluster.traces() == NOTHING
    record_property("figure", f"add, kill -9 of {who}: {dict(outcomes)}, nothing leaked")


@pytest.mark.parametrize("who", VICTIMS)
def test_remove(cluster: StruckCluster, who: str, record_property: Any) -> None:
    outcomes: Counter[str] = Counter()

    def instance_there() -> None:
        traces = cluster.traces()
        if traces == NOTHING:
            assert cluster.do(ADD)[0] == "success"

    for status in matrix(cluster, instance_there, REMOVE, who):
        outcomes[status] += 1
        traces = cluster.traces()
        if status == "success":
            assert traces == NOTHING
        else:  # nothing was destroyed, and a repetition carries it through
            assert len(traces["disks"]) == 2
            assert traces["reserved"] == 1
            cluster.settle()
            assert cluster.do(REMOVE)[0] == "success"
            assert cluster.traces() == NOTHING
    cluster.settle()
    if cluster.traces() != NOTHING:
        assert cluster.do(REMOVE)[0] == "success"
    assert cluster.traces() == NOTHING
    record_property("figure", f"remove, kill -9 of {who}: {dict(outcomes)}, nothing leaked")
