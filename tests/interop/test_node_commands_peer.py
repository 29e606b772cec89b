"""Debian's gnt-node, gnt-group and gnt-network against a real cluster of ours, beside our own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti_kernel.testing.devcluster import DevCluster, Ran

PROGRAMS = Path("/usr/sbin")

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/usr/share/ganeti/3.0").is_dir(), reason="Debian's ganeti is not installed"
    ),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(2) as made:
        # Upstream's programs want the root's last part to be the node's name.
        (made.root / "peer").mkdir()
        (made.root / "peer" / "node1.example.com").symlink_to(made.root / "node1")
        disk = ("-t", "file", "-s", "1G", "--no-nics", "--ignore-ipolicy", "--no-install")
        made.must("gnt-instance", "add", *disk, "-n", "node2", "-o", "busybox", "i1.example.com")
        allow(made)
        yield made


def allow(cluster: DevCluster) -> None:
    """Install a restricted command on both nodes, and an out-of-band helper for the second."""
    for paths in cluster.nodes:
        paths.restricted_dir.mkdir(mode=0o755)
        paths.restricted_switch.touch(mode=0o644)
        for name, body in {"look": "echo one; echo two", "bad": "echo no; exit 3"}.items():
            script = paths.restricted_dir / name
            script.write_text(f"#!/bin/sh\n{body}\n")
            script.chmod(0o755)
    helper = cluster.root / "oob"
    status, health = '{"powered": true}', '[["fan", "OK"], ["psu", "UNKNOWN"]]'
    helper.write_text(
        f"#!/bin/sh\ncase $1 in\npower-status) echo '{status}';;\nhealth) echo '{health}';;\nesac\n"
    )
    helper.chmod(0o755)
    cluster.must("gnt-node", "modify", "--node-parameters", f"oob_program={helper}", "node2")


def peer(cluster: DevCluster, program: str, *args: str) -> Ran:
    """Run Debian's program as on the first node."""
    environment = {
        "GANETI_ROOTDIR": str(cluster.root / "peer" / "node1.example.com"),
        "GANETI_HOSTNAME": "node1.example.com",
        "PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.defpath}",
    }
    done = subprocess.run(
        [PROGRAMS / program, *args],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


SAME = [
    "gnt-node list-storage -o node,type,name,size,allocatable",
    "gnt-node list-storage --separator=| --units=g -o node,type,name,allocatable node2",
    "gnt-node list-storage -t lvm-vg",
    "gnt-node list-storage nosuch",
    "gnt-node volumes",
    "gnt-node volumes --no-headers -o name,instance node2",
    "gnt-node modify-storage node1 file /srv/ganeti/file-storage",
    "gnt-node modify-storage --allocatable no node1 lvm-pv /dev/sda",
    "gnt-node repair-storage node1 lvm-vg xenvg",
    "gnt-node restricted-command look node1 node2",
    "gnt-node restricted-command -M -g default look",
    "gnt-node restricted-command bad node2",
    "gnt-node restricted-command look",
    "gnt-node power status",
    "gnt-node power --no-headers --separator=| status node2",
    "gnt-node power on node2",
    "gnt-node power -f cycle node2",
    "gnt-node power -f cycle node1",
    "gnt-node power -f off node1",
    "gnt-node health",
    "gnt-node health --no-headers --separator=: node2",
    "gnt-node powercycle --yes node2",
    "gnt-node powercycle --yes node1",
    "gnt-node powercycle --yes -f node1",
    "gnt-node migrate -f node1",
    "gnt-node migrate -f -n node1 node2",
    "gnt-node failover -f node1",
    "gnt-node evacuate -f -I hail node1",
    "gnt-node evacuate -f -n node1 node2",
    "gnt-node evacuate -f node2",
    "gnt-node evacuate -p -s node2",
    "gnt-group evacuate default",
    "gnt-group evacuate nosuch",
    "gnt-group show-ispecs-cmd",
    "gnt-group show-ispecs-cmd --include-defaults default",
    "gnt-group modify --ipolicy-vcpu-ratio 3 -D ext:access=userspace default",
    "gnt-group modify --ipolicy-vcpu-ratio default -D ext:access=default default",
    "gnt-group modify --node-parameters nosuch=1 default",
    "gnt-network modify --gateway 192.0.2.1 nosuch",
]


@pytest.mark.parametrize("command", SAME)
def test_both_say_the_same(cluster: DevCluster, command: str) -> None:
    """One cluster, two clients: output, errors and exit codes are equal."""
    program, *args = command.split()
    theirs, ours = peer(cluster, program, *args), cluster.on(1, program, *args)
    assert ours == theirs


def test_group_info_has_the_same_lines(cluster: DevCluster) -> None:
    """Upstream's order of some of them changes from run to run."""
    theirs, ours = peer(cluster, "gnt-group", "info"), cluster.on(1, "gnt-group", "info")
    lines = [sorted(line.lstrip(" -") for line in ran.out.splitlines()) for ran in (theirs, ours)]
    assert lines[0] == lines[1]
    assert (ours.code, theirs.code) == (0, 0)
