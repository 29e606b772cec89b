"""Nodes are added and removed, the cluster is ended, and what was theirs is gone."""

from __future__ import annotations

import pytest

from ganeti_kernel.testing.devcluster import DevCluster

pytestmark = pytest.mark.slow


def running(cluster: DevCluster, node: int) -> list[str]:
    out = cluster.must("daemon-util", "list", node=node)
    return [line.split()[0] for line in out.splitlines() if " runs " in line]


def test_remove_add_destroy() -> None:
    with DevCluster(2) as cluster:
        data = cluster.nodes[1].data_dir
        assert running(cluster, 2) == ["ganeti-noded", "ganeti-confd", "ganeti-mond"]
        cluster.must("gnt-node", "remove", "node2")
        assert running(cluster, 2) in ([], ["ganeti-noded"])  # it ends after its answer
        assert not list(data.glob("ssconf_*"))
        assert not (data / "server.pem").exists()
        assert "node2" not in cluster.must("gnt-node", "list", "--no-headers", "-o", "name")
        cluster.must("gnt-node", "add", "node2")
        assert "node2.example.com" in cluster.must("gnt-node", "list", "--no-headers", "-o", "name")
        cluster.must("gnt-cluster", "verify")
        refused = cluster.on(1, "gnt-cluster", "destroy", "--yes-do-it")
        assert refused.code == 1
        assert "node2.example.com" in refused.err
        cluster.must("gnt-node", "remove", "node2")
        cluster.must("gnt-cluster", "destroy", "--yes-do-it")
        assert running(cluster, 1) == []
        assert [path.name for path in cluster.nodes[0].data_dir.iterdir()] == [
            "config.data.destroyed"
        ]
        gone = cluster.on(1, "gnt-cluster", "info")
        assert (gone.code, "not part of a cluster" in gone.err) == (1, True)
