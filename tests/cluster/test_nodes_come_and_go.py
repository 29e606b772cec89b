"""Nodes are added and removed, the cluster is ended, and what was theirs is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganeti_kernel.paths import Paths
from ganeti_kernel.testing.devcluster import DevCluster

pytestmark = pytest.mark.slow


def running(cluster: DevCluster, node: int) -> list[str]:
    out = cluster.must("daemon-util", "list", node=node)
    return [line.split()[0] for line in out.splitlines() if " runs " in line]


def leave_note(paths: Paths, folder: str) -> Path:
    """Install a hook that writes down which operation it belongs to and its target."""
    script = paths.hooks_dir / folder / "note"
    script.parent.mkdir(parents=True)
    said = paths.data_dir.parent / "hook-said"
    script.write_text(f'#!/bin/sh\necho "$GANETI_OP_CODE $GANETI_OP_TARGET" >> {said}\n')
    script.chmod(0o755)
    return said


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
        said = leave_note(cluster.nodes[0], "cluster-destroy-post.d")
        cluster.must("gnt-cluster", "destroy", "--yes-do-it", "--reason", "it is old", "-d")
        assert said.read_text() == "OP_CLUSTER_DESTROY cluster.example.com\n"
        assert running(cluster, 1) == []
        assert [path.name for path in cluster.nodes[0].data_dir.iterdir()] == [
            "config.data.destroyed"
        ]
        gone = cluster.on(1, "gnt-cluster", "info")
        assert (gone.code, "not part of a cluster" in gone.err) == (1, True)
