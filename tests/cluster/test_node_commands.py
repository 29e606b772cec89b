"""The commands of gnt-node that look at nodes and act on them, on a real cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ganeti_kernel.testing.devcluster import DevCluster

pytestmark = pytest.mark.slow

STORAGE = "/srv/ganeti/file-storage"


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(3) as made:
        yield made


@pytest.fixture(scope="module")
def instance(cluster: DevCluster) -> Iterator[str]:
    name = "inst1.example.com"
    disk = ("-t", "file", "-s", "1G", "--no-nics", "--ignore-ipolicy")
    cluster.must("gnt-instance", "add", *disk, "-n", "node2", "-o", "busybox", "--no-install", name)
    yield name
    cluster.must("gnt-instance", "remove", "-f", name)


def test_storage_units_are_listed(cluster: DevCluster) -> None:
    out = cluster.must("gnt-node", "list-storage")
    head, *rows = out.splitlines()
    titles = ["Node", "Type", "Name", "Size", "Used", "Free", "Allocatable"]
    assert head.split() == titles
    assert [row.split()[:3] + row.split()[-1:] for row in rows] == [
        [f"node{number}.example.com", "file", STORAGE, "Y"] for number in (1, 2, 3)
    ]
    figures = ("--separator=|", "--units=m", "--no-headers", "-o", "size,used,free")
    size, used, free = cluster.must("gnt-node", "list-storage", *figures, "node2").split("|")
    assert int(size) == int(used) + int(free)


def test_volumes_are_listed_with_their_instance(cluster: DevCluster, instance: str) -> None:
    stray = cluster.nodes[0].under(f"{STORAGE}/lost/disk")
    stray.parent.mkdir(parents=True)
    stray.write_bytes(bytes(1 << 20))
    out = cluster.must("gnt-node", "volumes", "--separator=|", "--no-headers")
    first, second = out.splitlines()
    assert first == f"node1.example.com|-|{STORAGE}|lost/disk|1|-"
    node, device, pool, name, size, owner = second.split("|")
    assert (node, device, pool, size) == ("node2.example.com", "-", STORAGE, "1024")
    assert (name.partition("/")[0], owner) == (instance, instance)
    stray.unlink()


def test_a_node_that_is_down_costs_its_own_rows(cluster: DevCluster) -> None:
    cluster.must("daemon-util", "stop", "ganeti-noded", node=3)
    try:
        out = cluster.must("gnt-node", "list-storage", "--no-headers", "-o", "node")
    finally:
        cluster.must("daemon-util", "start", "ganeti-noded", node=3)
    lines = out.splitlines()
    assert lines[-2:] == ["node1.example.com", "node2.example.com"]
    assert any("Can't get storage data from node node3.example.com" in line for line in lines)


def test_drbd_minors_are_asked_of_confd(cluster: DevCluster) -> None:
    assert cluster.must("gnt-node", "list-drbd", "node1") == (
        "Node Minor Instance Disk Role PeerNode\n"
    )


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("list-storage -t lvm-vg", "No enabled disk template has storage units of type 'lvm-vg'"),
        ("list-storage -o name,colour", "Unknown output fields selected: colour"),
        ("list-storage nosuch", "Node 'nosuch' not known"),
        ("volumes -o colour", "Unknown output fields selected: colour"),
        ("modify-storage --allocatable no node1 lvm-pv /dev/sda", "of type 'lvm-pv'"),
        (f"modify-storage --allocatable no node1 file {STORAGE}", "can not be modified"),
        (f"repair-storage node1 file {STORAGE}", "can not be repaired"),
        ("list-drbd nosuch", "nosuch not found"),
    ],
)
def test_refused(cluster: DevCluster, command: str, text: str) -> None:
    ran = cluster.on(1, "gnt-node", *command.split())
    assert (ran.code, ran.out, text in ran.err) == (1, "", True), ran.err


def test_nothing_to_change_is_said(cluster: DevCluster) -> None:
    ran = cluster.on(1, "gnt-node", "modify-storage", "node1", "file", STORAGE)
    assert (ran.code, ran.err) == (0, "No changes to perform, exiting.\n")
