"""The balancing programs on a cluster: hail places instances, hbal and harep ask the master."""

from __future__ import annotations

import json
from typing import Any

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
        check_many_at_once(cluster)
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


def check_many_at_once(cluster: DevCluster) -> None:
    """`batch-create`: all are placed in one request, then each is made by a job of its own."""

    def batch(*argv: str, **changes: Any) -> Any:
        wishes = [
            {
                "instance_name": f"many{number}.example.com",
                "mode": "create",
                "disk_template": "file",
                "disks": [{"size": 64}],
                "nics": [],
                "no_install": True,
                "beparams": {"memory": 64, "vcpus": 1},
                **changes,
            }
            for number in (1, 2, 3)
        ]
        file = cluster.root / "many.json"
        file.write_text(json.dumps(wishes))
        return cluster.on(1, "gnt-instance", "batch-create", *argv, str(file))

    def there() -> list[str]:
        out = cluster.must("gnt-instance", "list", "--no-headers", "-o", "name,pnode")
        return [line for line in out.splitlines() if line.startswith("many")]

    dry = batch("-I", "hail", "--dry-run")
    assert (dry.code, dry.err) == (0, "")
    assert "can be created: many1.example.com, many2.example.com, many3.example.com" in dry.out
    for refused, why in (
        (batch("-I", "hail", disks=[{"size": 900 << 20}]), "FailDisk"),
        (batch("-I", "hail", pnode="node1.example.com"), "nodes and an allocator cannot both"),
        (batch("-I", "hail", iallocator="hail"), "has an allocator of its own"),
        (batch("-I", "hail", colour="red"), "Unknown parameter 'colour'"),
        (batch("-I", "hail", hvparams={"colour": "red"}), "colour"),
    ):
        assert refused.code == 1
        assert why in refused.err
    assert there() == []
    done = batch("-I", "hail")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("All instances created successfully.\n")
    assert sorted(line.split()[1] for line in there()) == [
        f"node{number}.example.com" for number in (1, 2, 3)
    ]
    for number in (1, 2, 3):
        cluster.must("gnt-instance", "remove", "-f", f"many{number}.example.com")
    named = batch(pnode="node2.example.com", start=False)
    assert named.code == 0, named.err
    assert {line.split()[1] for line in there()} == {"node2.example.com"}
    for number in (1, 2, 3):
        cluster.must("gnt-instance", "remove", "-f", f"many{number}.example.com")
