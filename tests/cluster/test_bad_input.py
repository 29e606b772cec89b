"""Wrong input on a real cluster: one line that names the thing, the right exit code, no change."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti_kernel.testing.devcluster import DevCluster, Ran

pytestmark = pytest.mark.slow

ADD = "gnt-instance add -n node2 -o noop --no-install"
NEW = "new.example.com"


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANETI_EXTSTORAGE_TIMEOUT", "3")  # for the script that never ends
        with DevCluster() as cluster:
            fill(cluster)
            yield cluster


def fill(cluster: DevCluster) -> None:
    """Make networks, instances, and providers that misbehave."""
    cluster.must("gnt-network", "add", "--network", "192.0.2.0/29", "net1")
    cluster.must("gnt-network", "add", "--network", "198.51.100.0/30", "tiny")
    for name in ("net1", "tiny"):
        cluster.must("gnt-network", "connect", "-N", "mode=bridged,link=br0", name)
    add = shlex.split(ADD)
    cluster.must(*add, "-t", "diskless", "--net", "0:network=net1,ip=192.0.2.1", "old.example.com")
    for number in (1, 2):
        nic = "0:network=tiny,ip=pool"
        cluster.must(
            *add, "-t", "diskless", "--no-start", "--net", nic, f"full{number}.example.com"
        )
    for paths in cluster.nodes:
        provider(paths.under("/srv/ganeti/extstorage/garbage"), "attach", "echo not a device")
        provider(
            paths.under("/srv/ganeti/extstorage/failing"), "create", "echo no luck >&2; exit 7"
        )
        provider(paths.under("/srv/ganeti/extstorage/endless"), "create", "sleep 1000")
        provider(paths.under("/srv/ganeti/extstorage/chatty"), "attach", "yes")
        (paths.under("/srv/ganeti/extstorage/empty")).mkdir()


def provider(folder: Path, spoilt: str, body: str) -> None:
    """Write a provider of scripts of which one misbehaves."""
    folder.mkdir()
    for name in ("create", "remove", "grow", "attach", "detach", "setinfo", "verify"):
        text = body if name == spoilt else "exit 0"
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    (folder / "parameters.list").write_text("")


def state(cluster: DevCluster) -> dict[str, str]:
    """What must not change: the configuration, and files of disks."""
    config = cluster.nodes[0].config_file.read_bytes()
    files = [
        str(path.relative_to(cluster.root))
        for paths in cluster.nodes
        for path in sorted(paths.under("/srv/ganeti").rglob("*"))
    ]
    return {"config": hashlib.sha256(config).hexdigest(), "files": "\n".join(files)}


def last_line(ran: Ran) -> str:
    return ran.err.strip().splitlines()[-1] if ran.err.strip() else ""


# (command, exit code, what the last line of standard error must say)
CASES = [
    ("gnt-instance list --no-such-option", 2, "No such option '--no-such-option'"),
    ("gnt-instance no-such-command", 1, "no command 'no-such-command'"),
    ("gnt-instance start", 1, "No instance names passed"),
    ("gnt-instance add", 1, "Missing argument 'INSTANCE'"),
    (f"{ADD} -t file -s 8M -n nosuch {NEW}", 1, "Node 'nosuch' not known"),
    (f"{ADD} -t ext --disk 0:size=8,provider=nosuch {NEW}", 1, "extstorage 'nosuch'"),
    (f"{ADD} -t ext --disk 0:size=8,provider=empty {NEW}", 1, "is missing"),
    (f"{ADD} -t ext --disk 0:size=8 {NEW}", 1, "needs provider=NAME"),
    (f"{ADD} -t ext --disk 0:size=8,provider=loopfile,x=1 {NEW}", 1, "no parameter 'x'"),
    (f"{ADD} -t file --disk 0:size=8,vg=x {NEW}", 1, "'vg'"),
    (f"{ADD} -t file --disk 0:size=8,provider=loopfile {NEW}", 1, "provider"),
    (f"{ADD} -t file -s nosize {NEW}", 2, "'nosize' is not a size"),
    (f"{ADD} -t file --disk 0:size=12q {NEW}", 1, "'12q' is not a size"),
    (f"{ADD} -t file --disk 0:size=0 {NEW}", 1, "disk 0"),
    (f"{ADD} -t file --disk 1:size=8 {NEW}", 1, "disk 0 is missing"),
    (f"{ADD} -t file --disk 99:size=8 {NEW}", 1, "'99'"),
    (f"{ADD} -t nosuch -s 8M {NEW}", 1, "Disk template 'nosuch' is not enabled"),
    (f"{ADD} -t diskless -s 8M {NEW}", 1, "diskless"),
    (f"{ADD} -t file -s 1048580 {NEW}", 1, "outside 4 to 1048576"),
    (f"{ADD} -t diskless -B memory=900G {NEW}", 1, "memory size"),
    (f"{ADD} -t diskless -B memory=x {NEW}", 1, "'memory'"),
    (f"{ADD} -t diskless -B nosuch=1 {NEW}", 1, "'nosuch'"),
    (f"{ADD} -t diskless -H fake:nosuch=1 {NEW}", 1, "'nosuch'"),
    (f"{ADD} -t diskless -H fake:migration_mode=x {NEW}", 1, "migration_mode"),
    (f"{ADD} -t diskless -H nosuch {NEW}", 1, "nosuch"),
    (f"{ADD} -t diskless --net 0:network=nosuch {NEW}", 1, "Network 'nosuch' not found"),
    (f"{ADD} -t diskless --net 0:network=net1,ip=10.0.0.1 {NEW}", 1, "10.0.0.1"),
    (f"{ADD} -t diskless --net 0:network=net1,ip=192.0.2.1 {NEW}", 1, "192.0.2.1"),
    (f"{ADD} -t diskless --net 0:network=net1,ip=x {NEW}", 1, "'x' is not an IP address"),
    (f"{ADD} -t diskless --net 0:network=net1,mode=routed {NEW}", 1, "NIC 0"),
    (f"{ADD} -t diskless --net 0:network=tiny,ip=pool {NEW}", 1, "no free address"),
    (f"{ADD} -t diskless --net 0:ip=pool {NEW}", 1, "NIC 0: ip=pool needs a network"),
    (f"{ADD} -t diskless --net 0:mac=zz {NEW}", 1, "'zz' is not a MAC address"),
    (f"{ADD} -t diskless --net 0:nosuch=1 {NEW}", 1, "'nosuch'"),
    (f"{ADD} -t diskless --net 0:mode=nosuch {NEW}", 1, "'nosuch'"),
    (f"{ADD} -t diskless old.example.com", 1, "'old.example.com' is already in the cluster"),
    (f"{ADD} -t diskless node1.example.com", 1, "'node1.example.com' is the name of a node"),
    (f"{ADD} -t diskless ../../etc/x", 1, "Invalid instance name '../../etc/x'"),
    (f"gnt-instance add -n node2 -t diskless {NEW}", 1, "No guest OS or OS image specified"),
    (f"gnt-instance add -n node2 -t diskless -o nosuch {NEW}", 1, "nosuch"),
    (f"gnt-instance add -t diskless -o x --no-install {NEW}", 1, "give -n NODE"),
    ("gnt-instance info nosuch", 1, "Instance 'nosuch' not known"),
    ("gnt-instance remove -f nosuch", 1, "Instance 'nosuch' not known"),
    ("gnt-instance list nosuch", 1, "nosuch"),
    ("gnt-instance list -o name,nosuch", 14, "unknown fields nosuch"),
    ("gnt-instance list -F 'name =='", 1, "^"),
    ("gnt-network add --network 300.1.2.0/28 x", 1, "300"),
    ("gnt-network add --network 10.0.0.0/8 x", 1, "10.0.0.0/8"),
    ("gnt-network add --network 192.0.2.0/29 net1", 1, "'net1' already exists"),
    ("gnt-network add --network 10.1.0.0/24 --gateway 10.2.0.1 x", 1, "10.2.0.1"),
    ("gnt-network add --network 10.1.0.0/24 -m zz x", 1, "'zz'"),
    ("gnt-network connect nosuch default", 1, "Network 'nosuch' not found"),
    ("gnt-network connect net1 nosuch", 1, "Group 'nosuch' not known"),
    ("gnt-network connect -N nosuch=1 net1", 1, "'nosuch'"),
    ("gnt-network remove net1", 1, "connected to the following node groups: default"),
    ("gnt-network disconnect net1", 1, "old.example.com"),
    ("gnt-network info nosuch", 1, "nosuch"),
    ("gnt-node info nosuch", 1, "nosuch"),
    ("gnt-node remove node1", 1, "is the master node"),
    ("gnt-node remove node2", 1, "full1.example.com"),
    ("gnt-node add nosuch.example.com", 1, "(nosuch.example.com) does not resolve"),
    ("gnt-node add node2", 1, "node2.example.com is already in the configuration"),
    ("gnt-job info 99999", 1, ""),
    ("gnt-job cancel x", 1, "'x' is not a job id"),
    ("gnt-cluster init other.example.com", 1, "already initialised"),
    ("gnt-cluster destroy", 1, "--yes-do-it"),
    ("gnt-cluster destroy --yes-do-it", 1, "node2.example.com"),
    ("gnt-plugins info extstorage nosuch", 1, "nosuch"),
    ("gnt-plugins list nosuch", 1, "'nosuch'"),
]


@pytest.mark.parametrize(("command", "code", "text"), CASES, ids=[case[0] for case in CASES])
def test_one_line_and_no_change(cluster: DevCluster, command: str, code: int, text: str) -> None:
    before = state(cluster)
    ran = cluster.on(1, *shlex.split(command))
    assert (ran.code, "Traceback" in ran.err + ran.out) == (code, False), ran
    assert text in last_line(ran), ran.err
    assert state(cluster) == before


@pytest.mark.parametrize(
    ("provider_name", "text"),
    [
        ("failing", "no luck"),
        ("garbage", "attach"),
        ("endless", "did not end within"),
        ("chatty", "attach"),
    ],
)
def test_a_provider_that_misbehaves(cluster: DevCluster, provider_name: str, text: str) -> None:
    before = state(cluster)
    disk = f"0:size=8,provider={provider_name}"
    ran = cluster.on(1, *shlex.split(ADD), "-t", "ext", "--disk", disk, NEW)
    assert ran.code == 1
    assert "Traceback" not in ran.err
    assert text in ran.err
    assert provider_name in ran.err
    after = state(cluster)
    assert after["files"] == before["files"]
    assert NEW not in cluster.must("gnt-instance", "list", "--no-headers", "-o", "name")


def test_config_files_that_are_not_ours(cluster: DevCluster, tmp_path: Path) -> None:
    before = state(cluster)
    cut = tmp_path / "config.data"
    cut.write_bytes(cluster.nodes[0].config_file.read_bytes()[:-40])
    root = tmp_path / "elsewhere"
    environment = dict(os.environ) | {"GANETI_ROOTDIR": str(root)}
    for path, text in ((cut, "config.data"), (tmp_path / "missing", "missing")):
        ran = cluster.run("gnt-cluster", "import-config", str(path), env=environment)
        assert ran.code == 2
        assert text in ran.err
        assert len(ran.err.strip().splitlines()) == 1
    assert not (root / "var/lib/ganeti/store.sqlite").exists()
    ran = cluster.on(1, "gnt-cluster", "import-config", str(cut))
    assert ran.code == 1
    assert "ganeti-masterd runs" in ran.err
    store = root / "var/lib/ganeti/store.sqlite"
    store.parent.mkdir(parents=True, exist_ok=True)
    store.write_bytes(b"this is no store" * 100)
    good = tmp_path / "good.data"
    good.write_bytes(cluster.nodes[0].config_file.read_bytes())
    ran = cluster.run("gnt-cluster", "import-config", str(good), env=environment)
    assert ran.code == 1
    assert "store.sqlite" in ran.err
    assert store.read_bytes() == b"this is no store" * 100
    assert state(cluster) == before


@pytest.fixture
def small_disk(cluster: DevCluster) -> Iterator[Path]:
    """A pool directory of node 2 that is a file system of 8 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = cluster.nodes[1].under("/srv/ganeti/loopfile/small")
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "small", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def test_full_disk(cluster: DevCluster, small_disk: Path) -> None:
    disk = "0:size=64,provider=loopfile,pool=small,sparse=false"
    ran = cluster.on(1, *shlex.split(ADD), "-t", "ext", "--disk", disk, NEW)
    assert ran.code == 1
    assert "No space left" in ran.err
    assert list(small_disk.iterdir()) == []
    assert NEW not in cluster.must("gnt-instance", "list", "--no-headers", "-o", "name")
