"""The balancing programs on a cluster: hail places instances, hbal and harep ask the master."""

from __future__ import annotations

import pytest

from ganeti_kernel.testing.devcluster import DevCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ADD = (
    *("gnt-instance", "add", "-I", "hail", "-t", "file", "--no-install"),
    *("-o", "none+default", "-B", "memory=64M,vcpus=1", "--no-name-check"),
)


def test_hail_spreads_instances_and_others_find_nothing_to_do() -> None:
    with DevCluster(3) as cluster:
        for name in ("one", "two", "three"):
            cluster.must(*ADD, "--disk", "0:size=64M", f"{name}.example.com")
        primaries = cluster.must("gnt-instance", "list", "--no-headers", "-o", "pnode").split()
        assert sorted(primaries) == [f"node{number}.example.com" for number in (1, 2, 3)]
        check_busy_nodes_are_left_out(cluster)
        refused = cluster.on(1, *ADD, "--disk", "0:size=900T", "big.example.com")
        assert refused.code == 1
        assert "FailDisk" in refused.err
        balance = cluster.must("hbal", "-L")
        assert "Loaded 3 nodes, 3 instances" in balance
        # The nodes' own figures may differ by a MiB between two readings: then hbal searches first.
        assert "Nothing to do, exiting" in balance or "Solution length=0" in balance
        tag = "ganeti:watcher:autorepair:failover"
        cluster.must("gnt-instance", "add-tags", "one.example.com", tag)
        repair = cluster.must("harep", "-L")
        assert repair.endswith("Instance status count\n---------------------\nHealthy: 3\n")


def check_busy_nodes_are_left_out(cluster: DevCluster) -> None:
    """Opportunistic locking: an instance does not wait for a node that somebody works on."""
    busy = ("gnt-debug", "delay", "--submit", "--print-jobid", "-n", "node1.example.com", "600")
    delay = cluster.must(*busy).strip()
    add = (*ADD, "--disk", "0:size=64M", "--opportunistic-locking", "idle.example.com")
    both = cluster.on(1, *add, "-n", "node2.example.com")
    assert both.code == 1
    assert "cannot both be given" in both.err or "Opportunistic locking" in both.err
    cluster.must(*add)
    where = ("gnt-instance", "list", "--no-headers", "-o", "pnode", "idle.example.com")
    assert cluster.must(*where).strip() in ("node2.example.com", "node3.example.com")
    cluster.must("gnt-job", "cancel", "--kill", "--yes-do-it", delay)
    cluster.must("gnt-instance", "remove", "-f", "idle.example.com")
