"""The master role moves: by order, after a loss, and not where something would be lost."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator

import pytest

from ganeti_kernel.config.ssconf import read_ssconf
from ganeti_kernel.daemons import control
from ganeti_kernel.paths import Paths
from ganeti_kernel.testing.devcluster import DevCluster, Ran
from ganeti_kernel.testing.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECRETS = ("ca.key", "cluster-domain-secret")


class MovingCluster(DevCluster):
    """Three nodes; the master is any of them, and is known by its number."""

    @property
    def master(self) -> int:
        running = [
            number
            for number, paths in enumerate(self.nodes, 1)
            if control.pid_of(paths, "ganeti-masterd")
        ]
        assert len(running) == 1, running
        return running[0]

    def paths(self, node: int) -> Paths:
        return self.nodes[node - 1]

    def record(self, node: int) -> list[str]:
        return [
            name.partition(".")[0]
            for name in json.loads(self.paths(node).replicas_file.read_text())["names"]
        ]

    def settle(self) -> None:
        """Wait until all three nodes are in step and know the master."""
        everybody = ["node1", "node2", "node3"]
        wait_until(
            lambda: self.record(self.master) == everybody, lambda: str(self.record(self.master))
        )
        name = f"node{self.master}.example.com"
        wait_until(
            lambda: all(read_ssconf(paths, "master_node") == name for paths in self.nodes),
            lambda: str([read_ssconf(paths, "master_node") for paths in self.nodes]),
        )

    def fail_over(self, node: int, *options: str) -> Ran:
        return self.on(node, "gnt-cluster", "master-failover", *options)


@pytest.fixture(scope="module")
def shared() -> Iterator[MovingCluster]:
    with MovingCluster(3) as made:
        yield made


@pytest.fixture
def cluster(shared: MovingCluster) -> MovingCluster:
    for node in (1, 2, 3):
        shared.start_node(node)
    shared.settle()
    return shared


def others(cluster: MovingCluster) -> tuple[int, int, int]:
    """The master's number and those of the two other nodes."""
    master = cluster.master
    one, two = (number for number in (1, 2, 3) if number != master)
    return master, one, two


def test_candidates_have_what_a_master_needs(cluster: MovingCluster) -> None:
    master, _one, two = others(cluster)
    folder = cluster.paths(two).data_dir
    wait_until(lambda: (folder / "ca.key").exists(), "the key on a candidate")
    for name in SECRETS:
        theirs, ours = folder / name, cluster.paths(master).data_dir / name
        assert theirs.read_bytes() == ours.read_bytes()
        assert stat.S_IMODE(theirs.stat().st_mode) == 0o600
    assert stat.S_IMODE(cluster.paths(two).replica_file.stat().st_mode) == 0o600

    cluster.must("gnt-node", "modify", "-C", "no", "--auto-promote", f"node{two}", node=master)
    kept = {"ca.key", "cluster-domain-secret", "config.data", "replica.sqlite"}
    wait_until(
        lambda: not kept & {path.name for path in folder.iterdir()}, "what a regular node has not"
    )
    ran = cluster.fail_over(two)
    assert ran.code == 1
    assert f"node{two}.example.com is no master candidate" in ran.err
    cluster.must("gnt-node", "modify", "-C", "yes", f"node{two}", node=master)
    cluster.settle()


def test_a_living_master_hands_over(cluster: MovingCluster) -> None:
    master, one, two = others(cluster)
    cluster.must("gnt-cluster", "add-tags", "before", node=master)
    jobs = cluster.must("gnt-job", "list", "--no-headers", node=master)
    ran = cluster.fail_over(one)
    assert (ran.code, ran.err) == (0, ""), ran.out + ran.err
    assert f"ended on node{master}.example.com: ganeti-masterd" in ran.out
    assert cluster.master == one
    for node in (1, 2, 3):
        assert cluster.must("gnt-cluster", "getmaster", node=node) == f"node{one}.example.com\n"
    cluster.must("gnt-cluster", "master-ping", node=one)
    assert cluster.on(two, "gnt-cluster", "master-ping").code == 1
    assert "before" in cluster.must("gnt-cluster", "list-tags", node=one)
    assert cluster.must("gnt-job", "list", "--no-headers", node=one) == jobs
    cluster.must("gnt-cluster", "remove-tags", "before", node=one)
    cluster.settle()
    kept = list(cluster.paths(master).data_dir.glob("store.sqlite*"))
    assert kept
    assert all(".replaced-" in path.name for path in kept), "the old store is put aside"


def test_the_master_itself_is_refused(cluster: MovingCluster) -> None:
    ran = cluster.fail_over(cluster.master)
    assert ran.code == 1
    assert "is the master already" in ran.err


def test_no_majority(cluster: MovingCluster) -> None:
    master, one, two = others(cluster)
    cluster.kill_host(master)
    cluster.kill_host(two)
    ran = cluster.fail_over(one)
    assert ran.code == 1
    assert "only 1 of 3 nodes answer, more than half are needed (silent: " in ran.err
    ran = cluster.fail_over(one, "--no-voting")
    assert ran.code == 13
    assert "--yes-do-it answers yes" in ran.err
    # with the third node's voice it works
    cluster.start_node(two)
    ran = cluster.fail_over(one)
    assert ran.code == 1, "with a warning: the old master could not be stopped"
    assert f"node{master}.example.com cannot be reached; its daemons are not stopped" in ran.err
    assert cluster.master == one


def test_a_stale_candidate_is_refused_by_name_and_number(cluster: MovingCluster) -> None:
    master, one, two = others(cluster)
    cluster.kill_host(one)
    cluster.must("gnt-cluster", "add-tags", "committed", node=master)
    assert cluster.record(two) == sorted([f"node{master}", f"node{two}"])
    cluster.kill_host(master)
    cluster.start_node(one)
    ran = cluster.fail_over(one)
    assert ran.code == 1
    assert f"node node{two}.example.com has configuration" in ran.err, ran.err
    assert f"node node{one}.example.com only" in ran.err
    ran = cluster.fail_over(two)
    assert ran.code == 1
    assert f"node{master}.example.com cannot be reached" in ran.err, ran.err
    assert "committed" in cluster.must("gnt-cluster", "list-tags", node=two)
    cluster.must("gnt-cluster", "remove-tags", "committed", node=two)


def test_a_master_that_was_replaced_does_not_start(cluster: MovingCluster) -> None:
    master, one, _two = others(cluster)
    cluster.kill_host(master)
    cluster.fail_over(one)
    # its own files still say that it is the master
    ran = cluster.on(master, "ganeti-masterd", "-f")
    assert ran.code == 11
    assert f"this master was replaced by node{one}.example.com" in ran.err
    ran = cluster.on(master, "daemon-util", "start-all")
    assert ran.code == 1
    assert "jobs and changes go there now" in ran.err
    cluster.settle()  # it follows the new master now


def test_no_voting_needs_a_second_word(cluster: MovingCluster) -> None:
    ran = cluster.on(1, "ganeti-masterd", "-f", "--no-voting")
    assert ran.code == 1
    assert "say --yes-do-it as well" in ran.err
