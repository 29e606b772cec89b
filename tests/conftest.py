"""A real master daemon on a root directory of its own, alone: no other daemon runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.config.bootstrap import initial_view, store_view
from ganeti_kernel.luxi.client import Client
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.specs.store import Store
from ganeti_kernel.store.sqlite import SqliteBackend
from ganeti_kernel.testing.waiting import wait_until

MODULES = Path(__file__).parent / "data" / "modules"
NODE = "node1.example.com"
LONG = 60.0
FINAL = ("success", "error", "canceled")


FAULTY = ("--operations=faulty_operations", "--node-calls=faulty_operations:NoNodes")
"""Options that give a master daemon the operations of `data/modules/faulty_operations.py`."""


def one_node() -> ConfigView:
    """The configuration of a cluster of one node."""
    return initial_view(
        cluster_name="cluster.example.com",
        node_name=NODE,
        primary_ip="127.0.0.1",
        master_ip="127.0.0.1",
        hvparams={"none": {}},
        enabled_hypervisors=["none"],
        enabled_disk_templates=["diskless"],
        now=time.time(),
    )


def make_cluster(root: Path, view: ConfigView) -> Paths:
    """The state of a cluster."""
    paths = Paths(root)
    for folder in (paths.data_dir, paths.log_dir):
        folder.mkdir(parents=True)
    store = open_store(paths, create=True)
    store_view(store, view)
    store.close()
    return paths


def open_store(paths: Paths, *, create: bool = False) -> Store:
    backend = SqliteBackend(PluginContext(paths=paths))
    return backend.open(f"sqlite://{paths.store_file}", create=create)


class Master:
    """The master daemon of a test cluster."""

    def __init__(self, root: Path, options: Sequence[str] = (), view: ConfigView | None = None):
        self.paths = make_cluster(root, view or one_node())
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = os.environ | {
            "GANETI_ROOTDIR": str(root),
            "GANETI_HOSTNAME": NODE,
            "PYTHONPATH": str(MODULES),
        }

    def start(self) -> None:
        log = (self.paths.log_dir / "masterd.stderr").open("ab")
        with log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "ganeti_kernel.daemons.masterd",
                    "-f",
                    *self.options,
                ],
                env=self.environment,
                stderr=log,
            )
        wait_until(self.serves, lambda: f"the master daemon serves: {self.errors()}")

    def serves(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.errors()
        try:
            with Client(self.paths.master_socket) as client:
                client.query_config_values(["cluster_name"])
        except Exception:
            return False
        return True

    def errors(self) -> str:
        return (self.paths.log_dir / "masterd.stderr").read_text()[-3000:]

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def ensure(self) -> None:
        """Start it again if it was killed."""
        assert self.process is not None
        if self.process.poll() is not None:
            self.start()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(LONG)
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        """All processes of this cluster that still live."""
        mark = f"GANETI_ROOTDIR={self.paths.root}\0".encode()
        out = []
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and mark in (folder / "environ").read_bytes():
                    out.append(int(folder.name))
            except OSError:
                continue
        return [pid for pid in out if pid != os.getpid()]

    def client(self) -> Client:
        return Client(self.paths.master_socket)

    def set_fault(self, **fault: Any) -> None:
        (self.paths.root / "fault.json").write_text(json.dumps(fault))

    def fault_fired(self) -> bool:
        try:
            (self.paths.root / "fault.json").unlink()
        except FileNotFoundError:
            return True
        return False

    def submit(self, *ops: dict[str, Any]) -> int:
        with self.client() as client:
            return client.submit_job(ops)

    def job(self, job_id: int, fields: Sequence[str] = ("status",)) -> list[Any]:
        with self.client() as client:
            (row,) = client.query_jobs([job_id], fields)
        assert row is not None
        return row

    def wait(self, job_id: int) -> tuple[str, Any, list[str]]:
        """Wait for a job's end through restarts; returns status, first opcode's result, log."""
        fields = ["status", "opresult", "oplog"]

        def ended() -> list[Any] | None:
            self.ensure()
            try:
                row = self.job(job_id, fields)
            except Exception:
                return None
            return row if row[0] in FINAL else None

        status, results, logs = wait_until(ended, f"job {job_id} to end")
        return status, results[0], [entry[3] for log in logs for entry in log]

    def wait_until(self, condition: Callable[[], Any], what: str) -> None:
        wait_until(condition, what)

    def wait_status(self, job_id: int, status: str) -> None:
        wait_until(lambda: self.job(job_id)[0] == status, f"job {job_id} to be {status}")

    def leftovers(self) -> list[str]:
        """What jobs that ended must not leave in the store."""
        store = open_store(self.paths)
        try:
            return [
                entry.key
                for prefix in ("journal/", "ack/", "reservations/")
                for entry in store.list(prefix)
            ]
        finally:
            store.close()


@pytest.fixture
def masters() -> Iterator[Callable[..., Master]]:
    """Start master daemons; arguments as `Master`."""
    made: list[Master] = []

    def make(*args: Any, **options: Any) -> Master:
        made.append(Master(*args, **options))
        made[-1].start()
        return made[-1]

    try:
        yield make
    finally:
        for daemon in made:
            daemon.stop()
    wait_until(lambda: not any(daemon.processes() for daemon in made), "the processes to end")


@pytest.fixture
def master(tmp_path: Path, masters: Callable[..., Master]) -> Master:
    """A master daemon with the operations of `data/modules/faulty_operations.py`."""
    return masters(tmp_path / "root", FAULTY)


@pytest.fixture
def plain_master(masters: Callable[..., Master]) -> Iterator[Master]:
    """A master daemon as it is installed.

    The root's name ends as upstream's programs want it, and is short enough for their sockets.
    """
    with tempfile.TemporaryDirectory(prefix="gnt") as folder:
        daemon = masters(Path(folder) / NODE)
        try:
            yield daemon
        finally:
            daemon.stop()
            wait_until(lambda: not daemon.processes(), "the processes to end")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what tests measured (`record_property("figure", text)`), also where they passed."""
    figures = [
        str(value)
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "figure"
    ]
    if figures:
        terminalreporter.section("figures")
        for figure in sorted(figures):
            terminalreporter.write_line(figure)
