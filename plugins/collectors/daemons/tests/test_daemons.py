from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ganeti_collectors_daemons import CANDIDATE, EVERY_NODE, MASTER, Daemons, roles

from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.collector import CollectorContract

NODE = "node1.example.com"


class Node:
    """A node of a cluster under a root directory."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)
        self.paths.run_dir.mkdir(parents=True)
        self.paths.data_dir.mkdir(parents=True)
        self.collector = Daemons(PluginContext(paths=self.paths, node_name=NODE))

    def ssconf(self, **values: str) -> None:
        for key, value in values.items():
            self.paths.ssconf(key).write_text(value + "\n")

    def runs(self, *names: str, pid: int | None = None) -> None:
        for name in names:
            path = self.paths.run_dir / f"{name}.pid"
            path.write_text(f"{os.getpid() if pid is None else pid}\n")

    def statuses(self) -> dict[str, int]:
        return {
            item["name"]: item["status"]["code"] for item in self.collector.collect()["daemons"]
        }


@pytest.fixture
def node(ganeti_root: Path) -> Node:
    return Node(ganeti_root)


class TestContract(CollectorContract):
    @pytest.fixture
    def plugin_class(self) -> type[Daemons]:
        return Daemons

    @pytest.fixture
    def ready(self, node: Node) -> Callable[[Any], None]:
        def prepare(_plugin: Any) -> None:
            node.ssconf(cluster_name="c", master_node=NODE, master_candidates=NODE)
            node.runs("ganeti-noded", "ganeti-mond")

        return prepare


def test_all_that_should_run_runs(node: Node) -> None:
    node.ssconf(cluster_name="c", master_node="node2", master_candidates="node2")
    node.runs("ganeti-noded", "ganeti-mond")
    data = node.collector.collect()
    assert data["status"] == {"code": 0, "message": ""}
    mond = data["daemons"][0]
    assert (mond["name"], mond["pid"], mond["running"]) == ("ganeti-mond", os.getpid(), True)
    assert mond["memory"] > 1 << 20
    assert mond["files"] > 2


def test_a_missing_daemon_is_named(node: Node) -> None:
    node.ssconf(cluster_name="c", master_node=NODE, master_candidates=NODE)
    node.runs("ganeti-noded", "ganeti-mond", "ganeti-confd")
    data = node.collector.collect()
    assert data["status"] == {"code": 4, "message": "\nganeti-masterd does not run"}


def test_upstreams_master_daemon_will_do(node: Node) -> None:
    node.ssconf(cluster_name="c", master_node=NODE)
    node.runs("ganeti-noded", "ganeti-mond", "ganeti-luxid", "ganeti-rapi")
    assert set(node.statuses().values()) == {0}


def test_a_dead_or_strange_process_does_not_count(node: Node) -> None:
    node.ssconf(cluster_name="c")
    node.runs("ganeti-noded", pid=1 << 30)
    node.runs("ganeti-mond")
    os.utime(node.paths.run_dir / "ganeti-mond.pid", (1000, 1000))  # older than the process
    node.paths.run_dir.joinpath("ganeti-watcher.pid").write_text("rubbish")
    assert node.statuses() == {"ganeti-noded": 4, "ganeti-mond": 4, "ganeti-watcher": 0}


def test_roles(node: Node) -> None:
    assert roles(node.paths, NODE) == {EVERY_NODE}
    node.ssconf(master_node=NODE, master_candidates=f"node2\n{NODE}")
    assert roles(node.paths, NODE) == {EVERY_NODE, CANDIDATE, MASTER}


def test_inactive_without_a_cluster(node: Node) -> None:
    assert "no cluster" in str(node.collector.precondition())
    node.ssconf(cluster_name="c")
    assert node.collector.precondition() is None
