"""The commands of gnt-node that look at nodes and act on them, on a real cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture(scope="module")
def helper(cluster: DevCluster) -> Iterator[Path]:
    """An out-of-band helper for the second and third node; `LOG` has what it was told."""
    script = cluster.root / "oob"
    script.write_text(
        f"""#!/bin/sh
case "$1" in
power-status) echo '{{"powered": true}}';;
health) echo '[["fan", "OK"], ["psu", "WARNING"]]';;
*) echo "$1 $2" >> {script}.log;;
esac
"""
    )
    script.chmod(0o755)
    for node in ("node2", "node3"):
        cluster.must("gnt-node", "modify", "--node-parameters", f"oob_program={script}", node)
    yield script
    for node in ("node2", "node3"):
        cluster.must("gnt-node", "modify", "--node-parameters", "oob_program=default", node)


def test_power_of_nodes(cluster: DevCluster, helper: Path) -> None:
    ran = cluster.on(1, "gnt-node", "power", "--separator=|", "--no-headers", "status")
    assert (ran.code, ran.out.splitlines()) == (
        1,
        ["node1.example.com|(unavail)", "node2.example.com|powered", "node3.example.com|powered"],
    )
    cluster.must("gnt-node", "power", "-f", "--auto-promote", "off", "node3")
    fields = ("gnt-node", "list", "--no-headers", "--separator=|", "-o", "role,powered", "node3")
    assert cluster.must(*fields) == "O|N\n"
    out = cluster.must("gnt-node", "power", "status", "node3")
    assert "Recorded power state (False) of node 'node3.example.com' does not match" in out
    cluster.must("gnt-node", "power", "--power-delay", "0", "on", "node3", "node2")
    assert cluster.must(*fields) == "O|Y\n"
    cluster.must("gnt-node", "power", "-f", "cycle", "node2")
    cluster.must("gnt-node", "modify", "-O", "no", "node3")
    assert helper.with_name("oob.log").read_text().split("\n") == [
        "power-off node3.example.com",
        "power-on node3.example.com",
        "power-on node2.example.com",
        "power-cycle node2.example.com",
        "",
    ]


def test_health_of_nodes(cluster: DevCluster, helper: Path) -> None:
    out = cluster.must("gnt-node", "health", "--no-headers", "node2")
    first, *rows = out.splitlines()
    assert "Item 'psu' on node 'node2.example.com' has status 'WARNING'" in first
    assert [row.split() for row in rows] == [["node2.example.com", "fan=OK"], ["psu=WARNING"]]


@pytest.mark.parametrize(
    ("command", "text", "code"),
    [
        ("power explode node2", "power subcommand explode not supported", 1),
        ("power -f off", "at least one node", 1),
        ("power off node2", "--force answers yes", 1),
        ("power -f cycle node1", "not allowed for power-cycle", 1),
        ("power status nosuch", "Node 'nosuch' not known", 1),
        ("powercycle node2", "--yes answers yes", 2),
        ("powercycle --yes node1", "the master and the force parameter was not set", 1),
        ("powercycle --yes nosuch", "Node 'nosuch' not known", 1),
        ("restricted-command look", "Node group or node names must be given", 1),
        ("restricted-command look nosuch", "nosuch", 1),
        ("restricted-command look -g nosuch", "No online nodes", 1),
    ],
)
def test_power_refused(cluster: DevCluster, command: str, text: str, code: int) -> None:
    ran = cluster.on(1, "gnt-node", *command.split())
    assert (ran.code, ran.out, text in ran.err) == (code, "", True), ran.err


def test_a_node_is_reset_through_its_hypervisor(cluster: DevCluster) -> None:
    ran = cluster.on(1, "gnt-node", "powercycle", "--yes", "node2")
    assert (ran.code, ran.err) == (0, "Reboot scheduled in 5 seconds\n")
    assert (cluster.nodes[1].run_dir / "fake-hypervisor" / ".powercycle").read_text() == "5\n"


def test_restricted_commands(cluster: DevCluster) -> None:
    for paths, allowed in zip(cluster.nodes, (True, True, False), strict=True):
        paths.restricted_dir.mkdir(mode=0o755)
        script = paths.restricted_dir / "look"
        script.write_text("#!/bin/sh\necho one\necho two\n")
        script.chmod(0o755)
        if allowed:
            paths.restricted_switch.touch(mode=0o644)
    command = ("gnt-node", "restricted-command")
    rule = "-" * 48
    assert cluster.must(*command, "--sync", "-M", "look", "node1", "node2") == (
        f"{rule}\nnode1.example.com: one\nnode1.example.com: two\n"
        f"{rule}\nnode2.example.com: one\nnode2.example.com: two\n"
    )
    ran = cluster.on(1, *command, "-g", "default", "look")
    assert ran.code == 1
    assert ran.out.count("\none\ntwo\n") == 2
    assert "Command 'look' on node 'node3.example.com' failed: Executing command 'look' failed" in (
        ran.out
    )


def test_nothing_to_change_is_said(cluster: DevCluster) -> None:
    ran = cluster.on(1, "gnt-node", "modify-storage", "node1", "file", STORAGE)
    assert (ran.code, ran.err) == (0, "No changes to perform, exiting.\n")
