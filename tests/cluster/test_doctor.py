"""`gnt-cluster doctor` on nodes that are damaged: it says what is wrong and what to do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ganeti_kernel.daemons import doctor as room
from ganeti_kernel.daemons.doctor.cluster import protocols, votes
from ganeti_kernel.errors import RemoteError
from ganeti_kernel.node import health
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.certificates import Identity, create_authority, issue_certificate
from ganeti_kernel.rpc.client import Result
from ganeti_kernel.testing.devcluster import DevCluster
from ganeti_kernel.testing.waiting import wait_until
from ganeti_kernel.version import PROTOCOL_VERSION
from tests.cluster.damage import edit, kept, remove, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

NODE1, NODE2 = "node1.example.com", "node2.example.com"
DATA = "/var/lib/ganeti"
Damage = Callable[[DevCluster], contextlib.AbstractContextManager[Any]]


class Told(NamedTuple):
    severity: str
    area: str
    text: str
    advice: str


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(2) as cluster:
        yield cluster


def doctor(cluster: DevCluster, node: int) -> tuple[int, list[Told]]:
    ran = cluster.on(node, "gnt-cluster", "doctor", "--json")
    report = json.loads(ran.out)
    assert report["healthy"] == (ran.code == 0)
    return ran.code, [Told(**item) for item in report["findings"]]


def on_file(node: int, name: str, change: Callable[[Path], Any]) -> Damage:
    @contextlib.contextmanager
    def put(cluster: DevCluster) -> Iterator[None]:
        with kept(cluster, cluster.nodes[node - 1].under(name)) as path:
            change(path)
            yield

    return put


def stopped(node: int, name: str) -> Damage:
    @contextlib.contextmanager
    def put(cluster: DevCluster) -> Iterator[None]:
        cluster.must("daemon-util", "stop", name, node=node)
        try:
            yield
        finally:
            cluster.must("daemon-util", "start", name, node=node)

    return put


def frozen(node: int, name: str) -> Damage:
    """A daemon that runs and does not answer."""

    @contextlib.contextmanager
    def put(cluster: DevCluster) -> Iterator[None]:
        pid = int((cluster.nodes[node - 1].run_dir / f"{name}.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    return put


def killed(node: int, name: str) -> Damage:
    @contextlib.contextmanager
    def put(cluster: DevCluster) -> Iterator[None]:
        pid = int((cluster.nodes[node - 1].run_dir / f"{name}.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}/cmdline").exists(), "it to end")
        try:
            yield
        finally:
            cluster.must("daemon-util", "start", name, node=node)

    return put


def reissued(days: int, *, stranger: bool = False) -> Damage:
    @contextlib.contextmanager
    def put(cluster: DevCluster) -> Iterator[None]:
        master, other = cluster.nodes
        authority = Identity(master.ca_key.read_bytes(), master.ca_file.read_bytes())
        if stranger:
            authority = create_authority("another")
        with kept(cluster, other.node_certificate) as path:
            path.write_bytes(issue_certificate(authority, NODE2, validity_days=days).pem)
            yield

    return put


@contextlib.contextmanager
def damaged_store(cluster: DevCluster) -> Iterator[None]:
    """The master daemon is down and a page of its store is gone."""
    cluster.must("daemon-util", "stop", "ganeti-masterd")
    try:
        with kept(cluster, cluster.nodes[0].data_dir):  # the write-ahead log is beside the store
            store = cluster.nodes[0].store_file
            store.write_bytes(b"garbage" * 4096)
            for path in store.parent.glob(f"{store.name}-*"):
                path.unlink()
            yield
    finally:
        cluster.must("daemon-util", "start", "ganeti-masterd")


@contextlib.contextmanager
def dangling(cluster: DevCluster) -> Iterator[None]:
    """The master daemon is down and the store has lost its node group."""
    cluster.must("daemon-util", "stop", "ganeti-masterd")
    try:
        with kept(cluster, cluster.nodes[0].data_dir):
            path = cluster.nodes[0].store_file
            with contextlib.closing(sqlite3.connect(path)) as store, store:
                store.execute("DELETE FROM entries WHERE key LIKE 'config/nodegroups/%'")
            yield
    finally:
        cluster.must("daemon-util", "start", "ganeti-masterd")


def old_serial(path: Path) -> None:
    content = json.loads(path.read_text())
    write(json.dumps(content | {"serial_no": 1}))(path)


ERROR, WARNING = room.ERROR, room.WARNING
CASES: dict[str, tuple[int, Damage, tuple[tuple[str, str, str], ...]]] = {
    "no log directory": (
        2,
        on_file(2, "/var/log/ganeti", remove),
        ((ERROR, "paths", "/var/log/ganeti is missing"),),
    ),
    "a key that others can read": (
        2,
        on_file(2, f"{DATA}/server.pem", lambda path: path.chmod(0o644)),
        ((ERROR, "permissions", "server.pem has mode 0644"),),
    ),
    "no confd key": (
        2,
        on_file(2, f"{DATA}/hmac.key", remove),
        ((ERROR, "keys", "hmac.key: No such file"), (ERROR, "daemons", "ganeti-confd runs and")),
    ),
    "no authority on the master": (
        1,
        on_file(1, f"{DATA}/ca.key", remove),
        ((ERROR, "keys", "ca.key"),),
    ),
    "no authority on a candidate": (
        2,
        on_file(2, f"{DATA}/ca.key", remove),
        ((ERROR, "keys", "ca.key is missing on a master candidate"),),
    ),
    "another key of the authority": (
        1,
        on_file(1, f"{DATA}/ca.key", lambda path: path.write_bytes(create_authority("x").key)),
        ((ERROR, "keys", "the key does not belong to the certificate"),),
    ),
    "a certificate has expired": (
        2,
        reissued(-1),
        ((ERROR, "certificates", "server.pem has expired"), (WARNING, "voting", NODE1)),
    ),
    "a certificate ends soon": (
        2,
        reissued(3),
        ((WARNING, "certificates", "expires in 3 days"), (WARNING, "voting", NODE1)),
    ),
    "a certificate that is not listed": (
        2,
        reissued(100),
        ((ERROR, "certificates", "its fingerprint is not"), (WARNING, "voting", NODE1)),
    ),
    "a certificate of a stranger": (
        2,
        reissued(100, stranger=True),
        ((ERROR, "certificates", "not made by"), (WARNING, "voting", NODE1)),
    ),
    "no list of nodes": (
        2,
        on_file(2, f"{DATA}/ssconf_node_list", remove),
        ((ERROR, "ssconf", "ssconf_node_list is missing"),),
    ),
    "not among the nodes": (
        2,
        on_file(2, f"{DATA}/ssconf_node_list", write(NODE1)),
        ((ERROR, "ssconf", f"{NODE2} is not among"),),
    ),
    "an old ssconf file on the master": (
        1,
        on_file(1, f"{DATA}/ssconf_instance_list", write("old")),
        ((ERROR, "ssconf", "ssconf_instance_list: not what the store says"),),
    ),
    "an old config.data on the master": (
        1,
        on_file(1, f"{DATA}/config.data", old_serial),
        ((ERROR, "config.data", "serial number"),),
    ),
    "garbage for config.data": (
        2,
        on_file(2, f"{DATA}/config.data", write("{")),
        ((ERROR, "config.data", "config.data"),),
    ),
    "no store": (
        1,
        on_file(1, f"{DATA}/store.sqlite", remove),
        ((ERROR, "store", "does not exist"),),
    ),
    "a damaged store": (
        1,
        damaged_store,
        ((ERROR, "store", "store"), (ERROR, "daemons", "ganeti-masterd does not run")),
    ),
    "a store that contradicts itself": (
        1,
        dangling,
        (
            *((ERROR, "store", "node group") for _ in range(2)),
            (ERROR, "ssconf", "ssconf_nodegroups"),
            (ERROR, "daemons", "ganeti-masterd does not run"),
        ),
    ),
    "confd is down": (
        2,
        stopped(2, "ganeti-confd"),
        ((ERROR, "daemons", "ganeti-confd does not"),),
    ),
    "mond was killed": (
        2,
        killed(2, "ganeti-mond"),
        ((ERROR, "daemons", "ganeti-mond does not run (it was ended without notice)"),),
    ),
    "the master daemon is down": (
        1,
        stopped(1, "ganeti-masterd"),
        ((ERROR, "daemons", "ganeti-masterd does not run"),),
    ),
    "the master daemon hangs": (
        1,
        frozen(1, "ganeti-masterd"),
        ((ERROR, "daemons", "ganeti-masterd runs and does not answer"),),
    ),
    "confd hangs": (
        2,
        frozen(2, "ganeti-confd"),
        ((ERROR, "daemons", "ganeti-confd runs and does not answer"),),
    ),
    "the other node is down": (
        1,
        stopped(2, "ganeti-noded"),
        ((WARNING, "voting", NODE2), (ERROR, "voting", "no majority: 1 of 2")),
    ),
    "two masters": (
        1,
        on_file(2, f"{DATA}/ssconf_master_node", write(NODE2)),
        ((ERROR, "voting", f"1 of 2 nodes take {NODE2}"), (ERROR, "voting", "no majority")),
    ),
    "another release": (
        2,
        on_file(2, f"{DATA}/ssconf_release_version", write("9.9")),
        ((ERROR, "versions", "the cluster 9.9"),),
    ),
    "a name leads elsewhere": (
        2,
        on_file(2, "/etc/ganeti/hosts", edit(f" {NODE1}", " nosuch.invalid")),
        ((ERROR, "names", NODE1),),
    ),
    "the hypervisor is switched off": (
        2,
        on_file(2, "/etc/ganeti/plugins.toml", write('[disabled]\nhypervisor = ["fake"]\n')),
        ((ERROR, "plugins", "hypervisor fake is enabled in the cluster"),),
    ),
    "a broken plugins.toml": (
        2,
        on_file(2, "/etc/ganeti/plugins.toml", write("disabled = 1")),
        ((ERROR, "plugins", "plugins.toml"),),
    ),
}


def test_sound_nodes_are_well(cluster: DevCluster) -> None:
    for node in (1, 2):
        assert doctor(cluster, node) == (0, [])
    assert cluster.must("gnt-cluster", "doctor") == f"{NODE1} is master\nAll is well.\n"


@pytest.mark.parametrize("name", CASES)
def test_each_damage_is_told(cluster: DevCluster, name: str) -> None:
    node, damage, expected = CASES[name]
    with damage(cluster):
        code, found = doctor(cluster, node)
    for severity, area, text in expected:
        match = next(
            (item for item in found if item[:2] == (severity, area) and text in item.text), None
        )
        assert match is not None, f"no {severity} of {area} with {text!r} in {found}"
        assert match.advice
        found.remove(match)
    # a node whose certificate is refused has nobody who votes with it
    assert [item for item in found if "no majority" not in item.text] == []
    assert code == (1 if any(item[0] == ERROR for item in expected) or found else 0)


def test_the_lines_for_people(cluster: DevCluster) -> None:
    with stopped(2, "ganeti-mond")(cluster):
        ran = cluster.on(2, "gnt-cluster", "doctor")
    lines = ran.out.splitlines()
    assert lines[0] == f"{NODE2} is candidate"
    assert lines[1].startswith("ERROR: daemons: ganeti-mond does not run; daemon-util start")
    assert lines[2:] == ["1 error(s), 0 warning(s)"]


def test_everything_down(cluster: DevCluster) -> None:
    for node in (1, 2):
        cluster.must("daemon-util", "stop-all", node=node)
    try:
        code, found = doctor(cluster, 1)
    finally:
        for node in (1, 2):
            cluster.must("daemon-util", "start-all", node=node)
    assert code == 1
    down = [item.text.split()[0] for item in found if item.area == "daemons"]
    assert down == ["ganeti-masterd", "ganeti-noded", "ganeti-confd", "ganeti-mond"]
    assert {item.area for item in found} == {"daemons", "voting"}


def test_no_node_at_all(tmp_path: Path) -> None:
    (found,) = room.examine(room.Site(Paths(tmp_path), NODE1))
    assert (found.severity, found.area) == (ERROR, "cluster")
    assert "gnt-cluster init" in found.advice


def test_too_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths(tmp_path)
    for name in health.DIRECTORIES:
        paths.under(name).mkdir(parents=True)
    assert list(health.room_problems(paths)) == []
    monkeypatch.setattr(health, "MIN_FREE", 1 << 80)
    assert len(list(health.room_problems(paths))) == 2


def test_votes_and_versions_of_many(tmp_path: Path) -> None:
    site = room.Site(Paths(tmp_path), NODE1)
    site.__dict__["master"] = NODE1
    good, other = Result(ok=True, value=NODE1), Result(ok=True, value=NODE2)
    silent = Result(ok=False, error=RemoteError("no route"))
    assert list(votes(site, {"a": good, "b": good})) == []
    found = list(votes(site, {"a": good, "b": other, "c": silent}))
    assert [(item.severity, item.text.split(";")[0]) for item in found] == [
        (WARNING, "c does not answer: no route"),
        (ERROR, f"1 of 4 nodes take {NODE2} for the master, this one {NODE1}"),
        (ERROR, f"no majority: 2 of 4 nodes name {NODE1}"),
    ]
    answers = {"a": Result(ok=True, value=PROTOCOL_VERSION), "b": Result(ok=True, value=1)}
    assert [item.text for item in protocols(answers)] == [
        f"b speaks protocol 1, this node {PROTOCOL_VERSION}"
    ]
