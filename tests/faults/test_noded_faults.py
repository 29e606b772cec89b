"""A real node daemon: killed, asked twice, asked what hangs, stopped, reloaded."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ganeti_kernel.errors import OpExecError, RemoteError
from ganeti_kernel.node.setup import Setup, set_up_node
from ganeti_kernel.objects.cluster import Node
from ganeti_kernel.objects.guest import Guest
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc import certificates
from ganeti_kernel.rpc.sync import SyncNodeClient
from ganeti_kernel.testing.waiting import wait_until

NAME = "node1.example.com"
NODE = Node(name=NAME, primary_ip="127.0.0.1", uuid="n1")
GUEST = Guest(name="inst1.example.com", uuid="i1", hypervisor="none", os="probe")
PATIENCE = 30.0
T = TypeVar("T")


class Noded:
    """One node under a root of its own, and its daemon's process."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)
        self.authority = certificates.create_authority("c.example.com")
        self.renew()
        self.log = root / "noded.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def renew(self) -> None:
        own = certificates.issue_certificate(self.authority, NAME)
        set_up_node(
            self.paths,
            Setup(
                cluster_name="c.example.com",
                node_name=NAME,
                ca=self.authority.certificate.decode(),
                certificate=own.pem.decode(),
                master_fingerprint=certificates.fingerprint(own.certificate),
            ),
        )

    def start(self) -> None:
        env = {**os.environ, "GANETI_ROOTDIR": str(self.paths.root), "GANETI_HOSTNAME": NAME}
        command = [sys.executable, "-m", "ganeti_kernel.daemons.noded"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "-f", "-b", "127.0.0.1", "-p", "0"], env=env, stderr=log
            )
        found = self.wait_for(
            lambda: re.search(r"ready: .* port (\d+)", self.log.read_text()), "the daemon is ready"
        )
        self.port = int(found[1])

    def wait_for(self, look: Callable[[], T | None], what: str) -> T:
        return wait_until(look, lambda: f"{what}; log:\n{self.log.read_text()}", PATIENCE)

    def kill(self, sign: int = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(sign)
        return self.process.wait(PATIENCE)

    def client(self, epoch: int = 0) -> SyncNodeClient:
        return SyncNodeClient(self.paths, epoch, port=self.port)

    def os_script(self, name: str, body: str) -> None:
        path = self.paths.os_search_path[0] / "probe"
        path.mkdir(parents=True, exist_ok=True)
        (path / "ganeti_api_version").write_text("20\n")
        (path / "parameters.list").write_text("")
        for script in ("create", "import", "export", "rename", "verify"):
            if not (path / script).exists():
                (path / script).write_text("#!/bin/sh\n")
        (path / name).write_text(f"#!/bin/sh\n{body}\n")
        for item in path.iterdir():
            item.chmod(0o755)


@pytest.fixture
def noded(tmp_path: Path) -> Iterator[Noded]:
    made = Noded(tmp_path / "root")
    made.start()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


def test_a_daemon_killed_during_an_installation(noded: Noded, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    noded.os_script("create", f"echo begin $$ >> {notes}; exec sleep 600")
    with noded.client() as client:
        failures: list[RemoteError] = []

        def call() -> None:
            try:
                client.call(NODE, "os_create", guest=GUEST, osparams={})
            except RemoteError as error:
                failures.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        noded.wait_for(
            lambda: notes.exists() and notes.read_text().endswith("\n"), "the script begins"
        )
        noded.kill()
        thread.join(PATIENCE)
    assert failures
    assert failures[0].uncertain, "the request had got there"
    assert f"node {NAME}, call os_create: " in str(failures[0])
    script = int(notes.read_text().split()[1])
    os.kill(script, 0)  # it outlived its daemon

    noded.start()
    noded.os_script("create", f"echo again >> {notes}")
    with noded.client() as client:
        client.call(NODE, "os_create", guest=GUEST, osparams={})
    assert notes.read_text().splitlines()[1:] == ["again"]
    state = Path(f"/proc/{script}/stat")
    noded.wait_for(
        lambda: not state.exists() or state.read_text().split()[2] == "Z",
        "the script of before ends",
    )


def test_the_same_call_while_the_first_still_runs(noded: Noded, tmp_path: Path) -> None:
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    noded.os_script("create", f"echo run >> {notes}; while [ ! -e {gate} ]; do sleep 0.05; done")
    outcomes: list[str] = []

    def call() -> None:
        with noded.client() as client:
            client.call(NODE, "os_create", guest=GUEST, osparams={})
            outcomes.append("done")

    threads = [threading.Thread(target=call) for _ in range(3)]
    threads[0].start()
    noded.wait_for(notes.exists, "the script begins")
    for thread in threads[1:]:
        thread.start()
    with noded.client() as client:
        for _ in range(20):  # others are served meanwhile
            client.call(NODE, "version")
    gate.touch()
    for thread in threads:
        thread.join(PATIENCE)
    assert outcomes == ["done"] * 3
    assert notes.read_text() == "run\n"


def test_what_hangs_ends_with_an_error_and_later_calls_work(noded: Noded, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    noded.os_script("verify", f"while [ ! -e {gate} ]; do sleep 0.05; done")
    with noded.client() as client:
        with pytest.raises(RemoteError, match=r"os_check did not end within 0\.3 seconds"):
            client.call(NODE, "os_check", deadline=0.3, name="probe", osparams={})
        assert client.call(NODE, "version") > 0
        assert client.call(NODE, "os_diagnose")[0].name == "probe"
        gate.touch()
        assert client.call(NODE, "os_check", name="probe", osparams={}) == []


def test_removing_a_disk_ends_the_installation_onto_it(noded: Noded, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    noded.os_script("create", f"echo run >> {notes}; exec sleep 600")
    failures: list[str] = []

    def call() -> None:
        with noded.client() as client:
            try:
                client.call(NODE, "os_create", guest=GUEST, osparams={})
            except OpExecError as error:
                failures.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    noded.wait_for(notes.exists, "the script begins")
    disk = {"uuid": "d", "index": 0, "dev_type": "none", "logical_id": [], "size": 1}
    with noded.client() as client, pytest.raises(Exception, match="'none' is not installed"):
        client.call(NODE, "disk_remove", disk={**disk, "instance": GUEST.name})
    thread.join(PATIENCE)
    assert "was ended by signal" in failures[0]


def test_a_killed_daemon_still_knows_its_master(noded: Noded) -> None:
    with noded.client(epoch=7) as client:
        client.call(NODE, "ssconf_write", values={"master_node": NAME})
    noded.kill()
    noded.start()
    with noded.client(epoch=6) as client:
        with pytest.raises(RemoteError, match="this node already obeys epoch 7"):
            client.call(NODE, "ssconf_write", values={"master_node": "evil.example.com"})
        assert client.call(NODE, "master_node") == NAME


def test_a_stop_lets_running_calls_end(noded: Noded) -> None:
    outcomes: list[Any] = []
    with noded.client() as client:
        client.call(NODE, "version")

        def call() -> None:
            outcomes.append(client.call(NODE, "test_delay", duration=1.0))

        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(0.3)
        assert noded.kill(signal.SIGTERM) == 0
        thread.join(PATIENCE)
        assert outcomes == [None]
    # another client: a connection that was kept may break first, and then nobody can be sure
    refused = pytest.raises(RemoteError, match=r"Connection refused; is ganeti-noded running")
    with noded.client() as client, refused as caught:
        client.call(NODE, "version")
    assert not caught.value.uncertain


def test_a_reload_takes_up_a_new_certificate(noded: Noded) -> None:
    with noded.client() as client:
        client.call(NODE, "version")
    noded.renew()
    assert noded.process is not None
    noded.process.send_signal(signal.SIGHUP)
    noded.wait_for(lambda: "reloading" in noded.log.read_text(), "the reload is told")
    with noded.client() as client:
        client.call(NODE, "version")
    assert "Traceback" not in noded.log.read_text()


def test_a_refused_handshake_leaves_one_line_in_the_log(noded: Noded) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", noded.port), timeout=PATIENCE) as plain,
        contextlib.suppress(OSError),
        context.wrap_socket(plain) as tls,
    ):
        tls.sendall(b"POST /version HTTP/1.1\r\n\r\n")
        assert tls.recv(100) == b""
    line = "refused a connection during the TLS handshake: peer did not return a certificate"
    noded.wait_for(lambda: line in noded.log.read_text(), line)
    assert "Traceback" not in noded.log.read_text()


def test_leaving_the_cluster_stops_the_daemon(noded: Noded) -> None:
    with noded.client() as client:
        client.call(NODE, "node_leave")
    assert noded.process is not None
    assert noded.process.wait(PATIENCE) == 0
    assert not noded.paths.node_certificate.exists()


@pytest.mark.parametrize("missing", ["server.pem", "ca.pem"])
def test_a_machine_that_is_no_node_gets_one_line(tmp_path: Path, missing: str) -> None:
    node = Noded(tmp_path / "root")
    (node.paths.data_dir / missing).unlink()
    done = subprocess.run(
        [sys.executable, "-m", "ganeti_kernel.daemons.noded", "-f", "-b", "127.0.0.1", "-p", "0"],
        env={**os.environ, "GANETI_ROOTDIR": str(node.paths.root), "GANETI_HOSTNAME": NAME},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    assert f"{missing}: No such file or directory; this machine is not set up" in done.stderr
    assert "Traceback" not in done.stderr
