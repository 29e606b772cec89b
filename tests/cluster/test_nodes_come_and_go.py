"""Nodes are added and removed, the cluster is ended, and what was theirs is gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ganeti_kernel.paths import Paths
from ganeti_kernel.testing.devcluster import DevCluster
from ganeti_kernel.testing.waiting import wait_until

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


SETTINGS = "/etc/default/ganeti"
BROKEN = 'NODED_ARGS="--no-such-option"\n'


def test_an_add_that_fails_leaves_nothing_on_the_node() -> None:
    with DevCluster(2) as cluster:
        cluster.must("gnt-node", "remove", "node2")
        wait_until(lambda: running(cluster, 2) == [], "node2 to stop")
        settings = cluster.nodes[1].under(SETTINGS)
        good = settings.read_text()
        settings.write_text(BROKEN + good)
        before = there(cluster)
        refused = cluster.on(1, "gnt-node", "add", "node2")
        assert refused.code == 1
        assert "step node.prepare: cannot run a command on node2.example.com" in refused.err
        assert "WARNING" not in refused.out
        assert (there(cluster), running(cluster, 2)) == (before, [])
        check_it_says_what_removes_the_rest(cluster, before)
        settings.write_text(good)
        cluster.must("gnt-node", "add", "node2")
        assert running(cluster, 2) == ["ganeti-noded", "ganeti-confd", "ganeti-mond"]
        cluster.must("gnt-cluster", "verify")


def check_it_says_what_removes_the_rest(cluster: DevCluster, before: list[str]) -> None:
    """The node cannot be reached a second time, by no way: the text has the command for it."""
    shell = cluster.nodes[0].conf_dir / "remote-shell"
    good = shell.read_text()
    head, rest = good.split("\n", 1)
    shell.write_text(f'{head}\ncase "$*" in *--leave*) echo lost >&2; exit 1;; esac\n{rest}')
    refused = cluster.on(1, "gnt-node", "add", "node2")
    shell.write_text(good)
    assert refused.code == 1
    assert there(cluster) != before
    told = re.search(r"WARNING: .* run on it, as root: (.*)$", refused.out, re.MULTILINE)
    assert told, refused.out
    other = told[1].replace(" --leave ", " --leave other.").replace(":", "", 1)
    assert cluster.on(2, "sh", "-c", other).code == 12
    assert there(cluster) != before
    cluster.must("sh", "-c", told[1], node=2)
    assert (there(cluster), running(cluster, 2)) == (before, [])
    cluster.must("sh", "-c", told[1], node=2)
    master = cluster.on(1, "sh", "-c", told[1])
    assert (master.code, "gnt-cluster destroy" in master.err) == (1, True)
    cluster.must("gnt-node", "list")


def there(cluster: DevCluster) -> list[str]:
    """Files of the second node, logs aside."""
    root = cluster.nodes[1].root
    names = (path for path in root.rglob("*") if not path.is_dir())
    return sorted(str(path.relative_to(root)) for path in names if "/log/" not in str(path))
