"""A development cluster whose daemons and jobs are killed, and everything that there is on it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

import ganeti_kernel.operations  # noqa: F401 # registers them
from ganeti_kernel.config.keys import TABLES
from ganeti_kernel.config.ssconf import is_candidate, ssconf_values
from ganeti_kernel.config.writer import load_view
from ganeti_kernel.daemons import control
from ganeti_kernel.jobs.operation import OPERATIONS
from ganeti_kernel.luxi.client import Client
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.certificates import fingerprint
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.specs.store import Store
from ganeti_kernel.store.sqlite import SqliteBackend
from ganeti_kernel.testing.devcluster import DevCluster
from ganeti_kernel.testing.waiting import wait_until

DATA: Final = Path(__file__).parents[1] / "data"
NODED: Final = "ganeti-noded"
MASTERD: Final = "ganeti-masterd"
FINAL: Final = ("success", "error", "canceled")
PATIENCE: Final = 100.0

CHANGES: Final = {"serial_no", "ctime", "mtime"}
"""Fields that tell of a change, also of one that was taken back."""

HOOKED: Final = "var/lib/ganeti/hooks-ran"
"""Where a node notes which post hooks it has run."""

VOLATILE: Final = ("var/log/", "var/lib/ganeti/store.sqlite", "points", "call-points", HOOKED)
MOMENTARY: Final = (".pid", "-shm", "-wal")
"""Ends of the names of files that a running or killed daemon has."""

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Opcode = Mapping[str, Any]
Everything = dict[str, Any]


class StruckCluster(DevCluster):
    """Three nodes; whatever is killed is started again, as a service manager would."""

    def __init__(self) -> None:
        super().__init__(3)
        self._stop = threading.Event()
        self._starting: list[tuple[int, str]] = []
        self._guard = threading.Thread(target=self._restart_what_dies)

    def up(self) -> None:
        super().up()
        self.write_os("noop")
        self.write_os("broken", "echo it was asked to fail; exit 1")
        for operation in OPERATIONS.values():
            if operation.HOOKS_PATH is not None:
                self._note_hooks(f"{operation.HOOKS_PATH}-post.d")
        with self.nodes[0].under("/etc/default/ganeti").open("a") as stream:
            stream.write('MASTERD_ARGS="--operations=struck_operations"\n')
        os.environ["PYTHONPATH"] = f"{DATA / 'modules'}:{DATA / 'struck_noded'}"
        for number in range(1, 4):
            self.must("daemon-util", "restart", NODED, node=number)
        self.must("daemon-util", "restart", MASTERD)
        self._guard.start()

    def _note_hooks(self, folder: str) -> None:
        for paths in self.nodes:
            (paths.hooks_dir / folder).mkdir(parents=True, exist_ok=True)
            script = paths.hooks_dir / folder / "note"
            script.write_text('#!/bin/sh\necho "$GANETI_OP_CODE" >> "$GANETI_DATA_DIR/hooks-ran"\n')
            script.chmod(0o755)

    def hooked(self) -> set[str]:
        """OP_IDs of the post hooks that ran since the last question."""
        ran: set[str] = set()
        for paths in self.nodes:
            with contextlib.suppress(FileNotFoundError):
                ran |= set((paths.root / HOOKED).read_text().split())
                (paths.root / HOOKED).unlink()
        return ran

    def down(self) -> None:
        self._stop.set()
        if self._guard.is_alive():
            self._guard.join()
        os.environ.pop("PYTHONPATH", None)
        super().down()

    def _restart_what_dies(self) -> None:
        while not self._stop.wait(0.1):
            for number, name in self.killed():
                self._starting = [(number, name)]
                self.on(number, "daemon-util", "start", name)
                self._starting = []

    def killed(self) -> list[tuple[int, str]]:
        """Daemons that left a pid file and do not run, on nodes of a cluster."""
        return [
            (number, name)
            for number, paths in enumerate(self.nodes, 1)
            for name in (MASTERD, NODED)
            if paths.node_certificate.exists()
            and (paths.run_dir / f"{name}.pid").exists()
            and control.pid_of(paths, name) is None
        ]

    # -- faults --------------------------------------------------------------------------------

    def strike(self, who: str, point: int, node: int) -> None:
        """Kill `who` at a point of the next job; `node`: whose daemon."""
        fault: dict[str, Any]
        if who == "call":
            path, fault = self.nodes[node - 1].root / "call-fault.json", {"point": point}
        else:
            pid_file = self.nodes[node - 1].run_dir / f"{NODED}.pid"
            path = self.nodes[0].root / "fault.json"
            fault = {"who": who, "point": point, "pid_file": str(pid_file)}
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(fault))
        fresh.rename(path)

    def struck(self) -> bool:
        """Say whether the fault struck; takes back one that did not."""
        faults = [self.nodes[0].root / "fault.json"]
        faults += [paths.root / "call-fault.json" for paths in self.nodes]
        waiting = [path for path in faults if path.exists()]
        for path in waiting:
            path.unlink(missing_ok=True)
        return not waiting

    def record(self, node: int) -> tuple[Path, Path]:
        """Have the points of the next job written down: those of the job, those of a node."""
        files = (self.nodes[0].root / "points", self.nodes[node - 1].root / "call-points")
        for path in files:
            path.write_text("")
        return files

    # -- jobs ----------------------------------------------------------------------------------

    def do(self, opcode: Opcode) -> tuple[str, Any]:
        """Submit an opcode and wait for its end, through restarts; returns status and result."""
        deadline = time.monotonic() + PATIENCE
        job_id = None
        while time.monotonic() < deadline:
            try:
                with Client(self.nodes[0].master_socket) as client:
                    if job_id is None:
                        job_id = client.submit_job([dict(opcode)])
                    row = client.query_jobs([job_id], ["status", "opresult"])[0]
            except Exception:  # the master daemon is away
                time.sleep(0.05)
                continue
            assert row is not None, f"job {job_id} was lost"
            if row[0] in FINAL:
                return row[0], row[1][0]
            time.sleep(0.02)
        raise AssertionError(f"job {job_id} does not end")

    def must_do(self, opcodes: Sequence[Opcode]) -> None:
        for opcode in opcodes:
            status, result = self.do(opcode)
            assert status == "success", (opcode, result)

    # -- what there is -------------------------------------------------------------------------

    def everything(self) -> Everything:
        """All that the cluster has and is, once it has come to rest; uuids become names."""
        unrest: list[str] = []

        def look() -> Everything | None:
            unrest[:] = self.unrest()
            if unrest:
                return None
            found = self._look()
            unrest[:] = [name for name in found["files"] if "/var/lib/ganeti/." in name]
            return None if unrest else found

        return wait_until(look, lambda: f"the cluster is not at rest: {unrest}", PATIENCE)

    def _look(self) -> Everything:
        store = self._store()
        try:
            view, _revision = load_view(store)
            prefixes = ("journal/", "ack/", "reservations/")
            left = [item.key for prefix in prefixes for item in store.list(prefix)]
        finally:
            store.close()
        found = {
            "configuration": configuration(view),
            "left in the store": left,
            "files": [line for paths in self.nodes for line in files(paths)],
            "daemons": [
                f"{paths.root.name} {name}"
                for paths in self.nodes
                for name in (*control.NODE_DAEMONS, MASTERD)
                if control.pid_of(paths, name)
            ],
        }
        named: Everything = json.loads(with_names(json.dumps(found), view))
        return named

    def _store(self) -> Store:
        backend = SqliteBackend(PluginContext(paths=self.nodes[0]))
        return backend.open(f"sqlite://{self.nodes[0].store_file}", create=False)

    def unrest(self) -> list[str]:
        """What is still going on: daemons away, jobs, locks, nodes that have old files."""
        if away := self._starting + self.killed():
            return [f"node {number}: {name} is away" for number, name in away]
        try:
            with Client(self.nodes[0].master_socket) as client:
                locks = client.query("lock", ["name", "owner", "pending"])["data"]
            store = self._store()
            try:
                view, _revision = load_view(store)
            finally:
                store.close()
        except Exception as error:  # the master daemon is away
            return [str(error)]
        leaving = [
            f"{paths.root.name}: {name} still runs"
            for paths in self.nodes
            if not paths.node_certificate.exists()
            for name in control.NODE_DAEMONS
            if control.pid_of(paths, name)
        ]
        held = [str(row) for row in locks if row[1][1] or row[2][1]]
        livelocks = [path.name for path in (self.nodes[0].run_dir / "livelocks").glob("*")]
        return leaving + held + livelocks + list(self._differences(view))

    def _differences(self, view: ConfigView) -> Iterator[str]:
        """Where a node has not what belongs there."""
        text = self.nodes[0].config_file.read_text()
        if json.loads(text)["serial_no"] != view.serial_no:
            yield "config.data of the master is old"
        certificates = {}
        for node in view.nodes.values():
            paths = self.nodes[int(node.name[4]) - 1]
            if is_candidate(view, node.uuid):
                certificates[node.uuid] = fingerprint(paths.node_certificate.read_bytes())
                if not node.offline and content(paths.config_file) != text:
                    yield f"config.data of {node.name} is old"
            if node.offline:
                continue
            replicated = is_candidate(view, node.uuid) and node.uuid != view.cluster.master_node
            if (paths.data_dir / "replica.sqlite").exists() != replicated:
                yield f"{node.name} does not follow the store yet, or still"
            if not paths.replicas_file.exists():
                yield f"{node.name} has not been told yet who follows the store"
            if paths.config_file.exists() != is_candidate(view, node.uuid):
                yield f"{node.name} has no config.data yet, or still"
            for key, value in ssconf_values(view).items():
                if content(paths.ssconf(key)).removesuffix("\n") != value:
                    yield f"{key} of {node.name} is old"
        if view.cluster.candidate_certs != certificates:
            yield f"candidates' certificates: {view.cluster.candidate_certs} for {certificates}"


def difference(found: Any, wanted: Any, where: str = "") -> Iterator[str]:
    """What differs between two states of a cluster, a line each."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted(found.keys() | wanted.keys()):
            yield from difference(found.get(key), wanted.get(key), f"{where}/{key}")
    elif isinstance(found, list) and isinstance(wanted, list):
        yield from (f"{where} + {item}" for item in found if item not in wanted)
        yield from (f"{where} - {item}" for item in wanted if item not in found)
    elif found != wanted:
        yield f"{where}: {found}, not {wanted}"


def content(path: Path) -> str:
    return path.read_text() if path.exists() else "(missing)"


def files(paths: Paths) -> Iterator[str]:
    """Names of all files of a node that say something of its state, disks with their sizes."""
    for path in sorted(paths.root.rglob("*")):
        name = str(path.relative_to(paths.root))
        if path.is_dir() or name.startswith(VOLATILE) or name.endswith(MOMENTARY):
            continue
        size = f" {path.stat().st_size}" if name.startswith("srv/ganeti/file-storage") else ""
        yield f"{paths.root.name}/{name}{size}"


def configuration(view: ConfigView) -> dict[str, Any]:
    """The configuration without what differs from one making of the same thing to the next."""
    found: dict[str, Any] = {"cluster": msgspec.to_builtins(view.cluster)}
    certificates = found["cluster"]["candidate_certs"]
    found["cluster"]["candidate_certs"] = sorted(certificates)  # the values were compared already
    for table in TABLES:
        for value in getattr(view, table).values():
            found[f"{table} {value.uuid}"] = msgspec.to_builtins(value)
    plain: dict[str, Any] = _plain(found)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _plain(item) for key, item in value.items() if key not in CHANGES}
        return kept | {key: "made up" for key in ("mac",) if key in kept}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def with_names(text: str, view: ConfigView) -> str:
    """Put names in the place of UUIDs; what has none keeps its own."""
    names = {
        value.uuid: value.name
        for table in (view.nodes, view.nodegroups, view.instances, view.networks)
        for value in table.values()
    }
    for inst in view.instances.values():
        names |= {disk.uuid: f"{inst.name} {disk.iv_name}" for disk in view.instance_disks(inst)}
        names |= {nic.uuid: f"{inst.name} nic" for nic in inst.nics if nic.uuid}
    return _UUID.sub(lambda found: names.get(found[0], found[0]), text)
