"""Nodes change their roles, and who may call the nodes follows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ganeti_kernel.testing.devcluster import DevCluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(2) as made:
        yield made


def role(cluster: DevCluster, node: str) -> str:
    return cluster.must("gnt-node", "list", "--no-headers", "-o", "role", node).strip()


def trusted(cluster: DevCluster) -> int:
    return len(cluster.nodes[0].ssconf("master_candidates_certs").read_text().split())


def test_roles_and_certificates(cluster: DevCluster) -> None:
    assert (role(cluster, "node2"), trusted(cluster)) == ("C", 2)
    out = cluster.must("gnt-node", "modify", "-D", "yes", "--auto-promote", "node2")
    assert "Modified node node2" in out
    assert (role(cluster, "node2"), trusted(cluster)) == ("D", 1)
    cluster.must("gnt-node", "modify", "-D", "no", "node2")
    assert (role(cluster, "node2"), trusted(cluster)) == ("C", 2)
    cluster.must("gnt-node", "modify", "-O", "yes", "node2")
    assert role(cluster, "node2") == "O"
    cluster.must("gnt-node", "modify", "-O", "no", "-C", "no", "node2")
    assert (role(cluster, "node2"), trusted(cluster)) == ("R", 1)
    cluster.must("gnt-node", "modify", "-C", "yes", "node2")
    assert (role(cluster, "node2"), trusted(cluster)) == ("C", 2)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((), "at least one of the parameters"),
        (("-O", "yes"), "only via master-failover"),
        (("--node-parameters", "speed=2"), "unknown node parameter 'speed'"),
        (("-s", "nowhere"), "secondary IP 'nowhere' is not an address"),
    ],
)
def test_refused(cluster: DevCluster, args: tuple[str, ...], text: str) -> None:
    ran = cluster.on(1, "gnt-node", "modify", *args, "node1")
    assert (ran.code, text in ran.err) == (1, True), ran.err


def test_node_parameters(cluster: DevCluster) -> None:
    out = cluster.must("gnt-node", "modify", "--node-parameters", "ssh_port=2222", "node2")
    assert "ndparams -> {'ssh_port': 2222}" in out
    out = cluster.must("gnt-node", "modify", "--node-parameters", "ssh_port=default", "node2")
    assert "ndparams -> {}" in out


def test_queue_drain(cluster: DevCluster) -> None:
    assert cluster.must("gnt-cluster", "queue", "info") == "The drain flag is unset\n"
    cluster.must("gnt-cluster", "queue", "drain")
    try:
        assert cluster.must("gnt-cluster", "queue", "info") == "The drain flag is set\n"
        refused = cluster.on(1, "gnt-node", "modify", "--vm-capable", "yes", "node2")
        assert (refused.code, "queue is drained" in refused.err) == (1, True)
    finally:
        cluster.must("gnt-cluster", "queue", "undrain")
    cluster.must("gnt-cluster", "queue", "undrain")
    assert cluster.must("gnt-cluster", "queue", "info") == "The drain flag is unset\n"


def test_watcher_pause(cluster: DevCluster) -> None:
    assert cluster.must("gnt-cluster", "watcher", "info") == "The watcher is not paused.\n"
    assert "is paused until" in cluster.must("gnt-cluster", "watcher", "pause", "4h")
    assert "is paused until" in cluster.must("gnt-cluster", "watcher", "info")
    assert "no longer" in cluster.must("gnt-cluster", "watcher", "continue")
    assert cluster.must("gnt-cluster", "watcher", "info") == "The watcher is not paused.\n"
    assert cluster.on(1, "gnt-cluster", "watcher", "pause", "soon").code == 1


def test_master_ping(cluster: DevCluster) -> None:
    assert cluster.must("gnt-cluster", "master-ping") == ""


def test_show_ispecs(cluster: DevCluster) -> None:
    out = cluster.must("gnt-cluster", "show-ispecs-cmd")
    assert out.startswith("gnt-cluster init --ipolicy-std-specs cpu-count=1,")
    assert " --ipolicy-bounds-specs min:cpu-count=1," in out
