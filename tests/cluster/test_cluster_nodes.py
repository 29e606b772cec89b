"""gnt-cluster command, copyfile, redist-conf and rename on a real cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from ganeti_kernel.testing.devcluster import DevCluster
from ganeti_kernel.testing.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(2) as made:
        yield made


def test_command(cluster: DevCluster) -> None:
    out = cluster.must("gnt-cluster", "command", "echo", "$GANETI_HOSTNAME;", "exit", "3")
    line = "-" * 48
    assert out == "".join(
        f"{line}\nnode: {name}\n{name}\n\nreturn code = 3\n"
        for name in ("node2.example.com", "node1.example.com")  # the master last
    )
    out = cluster.must("gnt-cluster", "command", "-M", "-n", "node2", "echo", "a;", "echo", "b")
    name = "node2.example.com"
    assert out == f"{line}\n{name}: a\n{name}: b\nreturn code = 0\n"
    assert cluster.must("gnt-cluster", "command", "--failure-only", "-g", "default", "true") == ""
    ran = cluster.on(1, "gnt-cluster", "command", "-n", "nosuch", "true")
    assert (ran.code, "Node 'nosuch' not known" in ran.err) == (1, True)
    ran = cluster.on(2, "gnt-cluster", "command", "true")
    assert (ran.code, "run the command on node1" in ran.err) == (1, True)


def test_copyfile(cluster: DevCluster) -> None:
    source, copy = (paths.conf_dir / "some-file" for paths in cluster.nodes)
    source.write_bytes(os.urandom(5 << 20))
    source.chmod(0o640)
    assert cluster.must("gnt-cluster", "copyfile", str(source)) == ""
    assert copy.read_bytes() == source.read_bytes()
    assert (copy.stat().st_mode, copy.stat().st_mtime) == (
        source.stat().st_mode,
        source.stat().st_mtime,
    )
    ran = cluster.on(1, "gnt-cluster", "copyfile", "/no/such/file")
    assert (ran.code, "No such filename '/no/such/file'" in ran.err) == (1, True)
    lonely = cluster.nodes[0].under("/opt/only-here/file")
    lonely.parent.mkdir(parents=True)
    lonely.write_text("x")
    ran = cluster.on(1, "gnt-cluster", "copyfile", str(lonely))
    assert (ran.code, "to node node2.example.com failed" in ran.err) == (1, True)


def test_redistribution_mends(cluster: DevCluster) -> None:
    own, other = cluster.nodes
    wait_until(
        lambda: (
            other.config_file.exists()
            and other.config_file.read_bytes() == own.config_file.read_bytes()
        ),
        "config.data on node2",
    )
    for path in (other.ssconf("node_list"), other.config_file, other.hmac_key):
        path.chmod(0o600)
        path.write_text("damaged\n")
    assert cluster.must("gnt-cluster", "redist-conf") == ""
    for name in ("ssconf_node_list", "config.data", "hmac.key"):
        assert (other.data_dir / name).read_bytes() == (own.data_dir / name).read_bytes(), name


def test_redistribution_names_who_is_silent(cluster: DevCluster) -> None:
    pid = int((cluster.nodes[1].run_dir / "ganeti-noded.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        out = cluster.must("gnt-cluster", "redist-conf", "--dry-run")
        assert out == ""
    finally:
        os.kill(pid, signal.SIGCONT)
    cluster.must("daemon-util", "stop", "ganeti-noded", node=2)
    try:
        out = cluster.must("gnt-cluster", "redist-conf")
        assert "node2.example.com" in out
        assert "is ganeti-noded running there" in out
    finally:
        cluster.must("daemon-util", "start", "ganeti-noded", node=2)


def test_rename(cluster: DevCluster) -> None:
    hosts = cluster.nodes[0].hosts_file
    old = cluster.must("gnt-cluster", "info").splitlines()[0].removeprefix("Cluster name: ")
    address = cluster.nodes[0].ssconf("master_ip").read_text().strip()
    new_address = address.rpartition(".")[0] + ".253"
    hosts.write_text(f"{hosts.read_text()}{new_address} other.example.com\n")
    hooks = cluster.nodes[1].hooks_dir / "cluster-rename-post.d"
    hooks.mkdir(parents=True)
    noted = cluster.nodes[1].run_dir / "renamed"
    (hooks / "note").write_text(f"#!/bin/sh\necho $GANETI_OP_TARGET $GANETI_NEW_NAME > {noted}\n")
    (hooks / "note").chmod(0o755)
    out = cluster.must("gnt-cluster", "rename", "-f", "other.example.com")
    assert out == f"Cluster renamed from '{old}' to 'other.example.com'\n"
    for paths in cluster.nodes:
        assert paths.ssconf("cluster_name").read_text() == "other.example.com\n"
        assert paths.ssconf("master_ip").read_text() == f"{new_address}\n"
    assert noted.read_text() == f"{old} other.example.com\n"
    for name, text in (
        ("other.example.com", "Neither the name nor the address"),
        ("node2.example.com", "is node node2.example.com's"),
        ("nowhere.invalid", "does not resolve"),
    ):
        ran = cluster.on(1, "gnt-cluster", "rename", "-f", name)
        assert (ran.code, text in ran.err) == (1, True), ran.err
    cluster.must("daemon-util", "stop", "ganeti-masterd")
    cluster.must("daemon-util", "start", "ganeti-masterd")
    assert "Cluster name: other.example.com" in cluster.must("gnt-cluster", "info")
    cluster.must("gnt-cluster", "rename", "-f", old)
