"""Nodes and groups are emptied on a real cluster: planned, submitted, followed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ganeti_kernel.testing.devcluster import DevCluster

pytestmark = pytest.mark.slow

NAMES = ("one.example.com", "two.example.com")
BOUND = "bound.example.com"


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(3) as made:
        # hail keeps no room for what cannot be copied anyway
        options = ("--default-iallocator", "hail", "--default-iallocator-params")
        made.must("gnt-cluster", "modify", *options, "no-capacity-checks")
        for name in NAMES:
            made.must("gnt-instance", "add", "-t", "diskless", *BARE, "-n", "node2", name)
        yield made


BARE = ("-o", "busybox", "--no-install", "--no-nics", "--ignore-ipolicy")


def homes(cluster: DevCluster) -> set[str]:
    """Where the instances are; all of them run there."""
    fields = ("--no-headers", "--separator=|", "-o", "pnode,status")
    rows = cluster.must("gnt-instance", "list", *fields, *NAMES).splitlines()
    found = [row.split("|") for row in rows]
    assert {status for _node, status in found} == {"running"}
    return {node.partition(".")[0] for node, _status in found}


def gather(cluster: DevCluster, node: str) -> None:
    """Bring all instances to one node, wherever other tests left them."""
    for other in sorted({"node1", "node2", "node3"} - {node}):
        cluster.must("gnt-node", "migrate", "-f", "-n", node, other)
    assert homes(cluster) == {node}


def test_a_node_is_emptied_by_migration_and_by_failover(cluster: DevCluster) -> None:
    gather(cluster, "node2")
    out = cluster.must("gnt-node", "migrate", "-f", "-n", "node3", "node2")
    first, *_rest, last = out.splitlines()
    assert first.startswith("Submitted jobs ")
    assert out.count("Waiting for job ") == 2
    assert last == "All instances migrated successfully."
    assert homes(cluster) == {"node3"}
    assert cluster.must("gnt-node", "migrate", "-f", "node2") == (
        "No primary instances on node node2.example.com, exiting.\n"
    )
    out = cluster.must("gnt-node", "failover", "-f", "-I", "hail", "node3")
    assert f" for {NAMES[0]} ...\n" in out
    assert out.endswith("All 2 instance(s) failed over successfully.\n")
    assert "node3" not in homes(cluster)


def test_a_node_and_a_group_are_evacuated(cluster: DevCluster) -> None:
    gather(cluster, "node2")
    out = cluster.must("gnt-node", "evacuate", "-f", "-p", "node2")
    assert out.endswith("All instances evacuated successfully.\n")
    assert "node2" not in homes(cluster)
    cluster.must("gnt-group", "add", "rack2")
    cluster.must("gnt-group", "assign-nodes", "rack2", "node2")
    out = cluster.must("gnt-group", "evacuate", "--sequential", "--force-failover", "default")
    assert out.endswith("All instances evacuated successfully.\n")
    assert "Failover instance one.example.com" in out
    assert homes(cluster) == {"node2"}
    cluster.must("gnt-group", "evacuate", "--to", "default", "rack2")
    assert "node2" not in homes(cluster)
    cluster.must("gnt-group", "assign-nodes", "default", "node2")
    cluster.must("gnt-group", "remove", "rack2")


REFUSED = [
    ("gnt-node migrate node2", "--force answers yes", 13),
    ("gnt-node failover node2", "--force answers yes", 2),
    ("gnt-node evacuate node2", "--force answers yes", 13),
    ("gnt-node migrate -f -n node3 node2", f"instance {BOUND} cannot move", 1),
    ("gnt-node evacuate -f -I hail node2", BOUND, 1),
    ("gnt-node migrate -f nosuch", "nosuch", 1),
    ("gnt-node failover -f nosuch", "nosuch", 1),
    ("gnt-node evacuate -f nosuch", "nosuch", 1),
    ("gnt-node evacuate -p -s node2", "Only one of the --primary-only and", 1),
    ("gnt-node migrate --non-live --migration-mode live node2", "Only one of the", 1),
    ("gnt-group evacuate nosuch", "Group 'nosuch' not known", 1),
    ("gnt-group evacuate --to default default", "to itself", 1),
]


def test_what_cannot_be_done_is_refused_before_anything_happens(cluster: DevCluster) -> None:
    """An instance whose disk is a file cannot leave its node."""
    gather(cluster, "node2")
    disk = ("-t", "file", "-s", "1G", "-n", "node2", "--no-start")
    cluster.must("gnt-instance", "add", *disk, *BARE, BOUND)
    for command, text, code in REFUSED:
        ran = cluster.on(1, *command.split())
        assert (ran.code, ran.out, text in ran.err) == (code, "", True), f"{command}: {ran.err}"
    assert homes(cluster) == {"node2"}
    cluster.must("gnt-instance", "remove", "-f", BOUND)


def test_a_job_that_fails_is_told_with_its_reason(cluster: DevCluster) -> None:
    """What does not run cannot migrate; the others go on."""
    gather(cluster, "node2")
    stopped = "stopped.example.com"
    cluster.must(
        "gnt-instance", "add", "-t", "diskless", "-n", "node2", "--no-start", *BARE, stopped
    )
    ran = cluster.on(1, "gnt-node", "migrate", "-f", "-n", "node3", "node2")
    assert ran.code == 1
    assert f"instance {stopped} does not run" in ran.err
    assert ran.out.endswith("There were 1 errors during the node migration.\n")
    assert homes(cluster) == {"node3"}
    cluster.must("gnt-instance", "remove", "-f", stopped)


def test_a_submitted_evacuation_is_not_waited_for(cluster: DevCluster) -> None:
    ran = cluster.on(1, "gnt-group", "evacuate", "--submit", "--print-jobid", "default")
    number = ran.out.strip()
    assert (ran.code, ran.err) == (0, f"JobID: {number}\n")
    summary = cluster.must("gnt-job", "list", "--no-headers", "-o", "summary", number)
    assert summary == "GROUP_EVACUATE(default)\n"
    assert cluster.on(1, "gnt-job", "wait", number).code == 1  # there is no other group
