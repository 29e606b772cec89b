"""gnt-cluster verify-disks and repair-disk-sizes on real files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti_kernel.testing.devcluster import DevCluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(2) as made:
        made.must(
            "gnt-instance", "add", "-t", "file", "--disk", "0:size=8M", "--disk", "1:size=16M",
            "-n", "node2", "--no-install", "--no-nics", "inst1.example.com",
        )  # fmt: skip
        yield made


def disks(cluster: DevCluster) -> list[Path]:
    document = json.loads(cluster.must("gnt-cluster", "export-config", "-"))
    found = sorted(document["disks"].values(), key=lambda item: str(item["iv_name"]))
    return [cluster.nodes[1].under(item["logical_id"][1]) for item in found]


def test_all_is_well(cluster: DevCluster) -> None:
    out = cluster.must("gnt-cluster", "verify-disks")
    assert out.endswith("No disks need to be activated.\n")
    assert "Waiting for job" in out
    assert cluster.must("gnt-cluster", "repair-disk-sizes") == ""


def test_missing_disk(cluster: DevCluster) -> None:
    path = disks(cluster)[1]
    away = path.with_name("away")
    path.rename(away)
    try:
        ran = cluster.on(1, "gnt-cluster", "verify-disks", "-g", "default")
        assert ran.code == 1
        assert "Instance inst1.example.com has missing logical volumes:\n\tnode2" in ran.out
        assert path.name in ran.out
        out = cluster.must("gnt-cluster", "repair-disk-sizes", "inst1.example.com")
        assert "disk 1 of instance inst1.example.com is left out" in out
    finally:
        away.rename(path)


def test_sizes_are_mended(cluster: DevCluster) -> None:
    path = disks(cluster)[0]
    with path.open("ab") as stream:
        stream.truncate(12 << 20)
    out = cluster.must("gnt-cluster", "repair-disk-sizes")
    assert "recorded 8, actual 12" in out
    sizes = cluster.must("gnt-instance", "list", "--no-headers", "--units=m", "-o", "disk.sizes")
    assert sizes.strip() == "12,16"
    assert cluster.must("gnt-cluster", "repair-disk-sizes") == ""
    ran = cluster.on(1, "gnt-cluster", "repair-disk-sizes", "nosuch")
    assert (ran.code, "Instance 'nosuch' not known" in ran.err) == (1, True)


def test_silent_node(cluster: DevCluster) -> None:
    cluster.must("daemon-util", "stop", "ganeti-noded", node=2)
    try:
        ran = cluster.on(1, "gnt-cluster", "verify-disks")
        assert ran.code == 1
        assert "Error gathering data on node node2.example.com" in ran.out
        assert "You need to fix these nodes first" in ran.out
    finally:
        cluster.must("daemon-util", "start", "ganeti-noded", node=2)
    ran = cluster.on(1, "gnt-cluster", "verify-disks", "-g", "nosuch")
    assert (ran.code, "Group 'nosuch' not known" in ran.err) == (1, True)
