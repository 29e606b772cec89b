"""`ganeti-watcher` on a real cluster of two node groups: what stopped runs again."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti_kernel.paths import Paths
from ganeti_kernel.testing.devcluster import DevCluster, Ran
from ganeti_kernel.testing.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ONE, TWO = "one.example.com", "two.example.com"


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(2) as cluster:
        cluster.must("gnt-group", "add", "rack2")
        cluster.must("gnt-group", "assign-nodes", "rack2", "node2")
        add = ("gnt-instance", "add", "-t", "diskless", "-o", "x", "--no-install", "--no-nics")
        for node, name in (("node1", ONE), ("node2", TWO)):
            cluster.must(*add, "-B", "memory=16M", "-n", node, name)
        yield cluster


def guest(cluster: DevCluster, node: int, name: str) -> Path:
    """The file that says that an instance of the fake hypervisor runs."""
    return cluster.nodes[node - 1].run_dir / "fake-hypervisor" / name


def watch(cluster: DevCluster, *options: str, node: int = 1) -> Ran:
    return cluster.on(node, "ganeti-watcher", *options)


def log_of(paths: Paths) -> str:
    return (paths.log_dir / "watcher.log").read_text()


def group_uuid(cluster: DevCluster, group: str) -> str:
    return cluster.must("gnt-group", "list", "--no-headers", "-o", "uuid", group).strip()


def state_of(cluster: DevCluster, group: str) -> dict[str, dict[str, dict[str, object]]]:
    path = cluster.nodes[0].data_dir / f"watcher.{group_uuid(cluster, group)}.data"
    found: dict[str, dict[str, dict[str, object]]] = json.loads(path.read_text())
    return found


def last_jobs(cluster: DevCluster) -> list[str]:
    out = cluster.must("gnt-job", "list", "--no-headers", "--separator= ", "-o", "summary,status")
    return out.splitlines()


def test_instances_that_stopped_run_again_in_all_groups(cluster: DevCluster) -> None:
    for node, name in ((1, ONE), (2, TWO)):
        guest(cluster, node, name).unlink()
    ran = watch(cluster)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert guest(cluster, 1, ONE).exists()
    assert guest(cluster, 2, TWO).exists()
    for group, name in (("default", ONE), ("rack2", TWO)):
        state = state_of(cluster, group)
        assert state["instance"][name]["restart_count"] == 1
        assert len(state["node"]) == 1
    status = (cluster.nodes[0].run_dir / "instance-status").read_text()
    assert status == f"{ONE} ERROR_down\n{TWO} ERROR_down\n"
    assert watch(cluster).code == 0
    assert state_of(cluster, "default")["instance"] == {}, "it runs: nothing to remember"
    status = (cluster.nodes[0].run_dir / "instance-status").read_text()
    assert status == f"{ONE} running\n{TWO} running\n"
    jobs = last_jobs(cluster)
    assert f"INSTANCE_STARTUP({ONE}) success" in jobs
    for group in ("default", "rack2"):
        uuid = group_uuid(cluster, group)
        assert jobs.count(f"GROUP_VERIFY_DISKS({uuid}) success") == 2


def test_a_watcher_on_another_node_mends_its_daemons_only(cluster: DevCluster) -> None:
    cluster.must("daemon-util", "stop", "ganeti-mond", node=2)
    guest(cluster, 2, TWO).unlink()
    ran = watch(cluster, node=2)
    assert (ran.code, ran.out, ran.err) == (11, "", "")
    assert cluster.on(2, "daemon-util", "check", "ganeti-mond").code == 0
    assert not guest(cluster, 2, TWO).exists(), "instances are the master's business"
    assert "ganeti-mond does not run; starting it" in log_of(cluster.nodes[1])
    assert watch(cluster).code == 0
    assert guest(cluster, 2, TWO).exists()


def test_the_master_daemon_is_started_when_it_is_gone(cluster: DevCluster) -> None:
    pid_file = cluster.nodes[0].run_dir / "ganeti-masterd.pid"
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    wait_until(
        lambda: cluster.on(1, "daemon-util", "check", "ganeti-masterd").code, "it to be gone"
    )
    assert watch(cluster, "--no-verify-disks").code == 0
    assert cluster.must("gnt-cluster", "getmaster") == "node1.example.com\n"
    cluster.must("gnt-cluster", "master-ping")
    assert "the master daemon does not answer" in log_of(cluster.nodes[0])


def test_a_restart_that_fails_is_tried_five_times(cluster: DevCluster) -> None:
    guest(cluster, 1, ONE).unlink()
    hooks = cluster.nodes[0].hooks_dir / "instance-start-pre.d"
    hooks.mkdir(parents=True)
    (hooks / "no").write_text("#!/bin/sh\necho not now; exit 1\n")
    (hooks / "no").chmod(0o755)
    try:
        codes = [watch(cluster, "--no-verify-disks").code for _ in range(5)]
        assert codes == [1] * 5
        assert state_of(cluster, "default")["instance"][ONE]["restart_count"] == 5
        before = len(last_jobs(cluster))
        assert watch(cluster, "--no-verify-disks").code == 0, "nothing is tried any more"
        assert len(last_jobs(cluster)) == before
        assert f"{ONE} is ERROR_down; 5 tries failed, the next in 8.0 hours" in log_of(
            cluster.nodes[0]
        )
        assert "not now" in log_of(cluster.nodes[0])
    finally:
        (hooks / "no").unlink()
    for path in cluster.nodes[0].data_dir.glob("watcher.*.data"):
        path.unlink()  # as the manual says: counters begin at zero
    assert watch(cluster, "--no-verify-disks").code == 0
    assert guest(cluster, 1, ONE).exists()


def test_a_pause_holds_on_all_nodes_until_it_ends(cluster: DevCluster) -> None:
    told = cluster.must("gnt-cluster", "watcher", "pause", "1h")
    assert told.startswith("The watcher is paused until ")
    guest(cluster, 1, ONE).unlink()
    cluster.must("daemon-util", "stop", "ganeti-mond", node=2)
    assert [watch(cluster, node=node).code for node in (1, 2)] == [0, 0]
    assert not guest(cluster, 1, ONE).exists()
    assert cluster.on(2, "daemon-util", "check", "ganeti-mond").code == 1
    assert "gnt-cluster watcher continue ends the pause" in log_of(cluster.nodes[1])
    assert watch(cluster, "--ignore-pause", "--no-verify-disks").code == 0
    assert guest(cluster, 1, ONE).exists()
    assert (
        cluster.must("gnt-cluster", "watcher", "continue") == "The watcher is no longer paused.\n"
    )
    assert not cluster.nodes[1].watcher_pause.exists()
    assert watch(cluster, node=2).code == 11
    assert cluster.on(2, "daemon-util", "check", "ganeti-mond").code == 0


def test_a_pause_that_does_not_reach_a_node_says_so(cluster: DevCluster) -> None:
    cluster.must("daemon-util", "stop", "ganeti-noded", node=2)
    ran = cluster.on(1, "gnt-cluster", "watcher", "pause", "1h")
    cluster.must("daemon-util", "start", "ganeti-noded", node=2)
    assert ran.code == 1
    assert "the watcher is paused, but could not tell node2.example.com" in ran.err
    cluster.must("gnt-cluster", "watcher", "continue")


def test_old_jobs_are_archived(cluster: DevCluster) -> None:
    cluster.must("gnt-debug", "delay", "0")
    time.sleep(1.1)
    assert watch(cluster, "--no-verify-disks").code == 0
    assert last_jobs(cluster), "they are younger than six hours"
    assert watch(cluster, "--job-age", "1s", "--no-verify-disks").code == 0
    assert last_jobs(cluster) == []


def test_scripts_of_the_administrator_run(cluster: DevCluster) -> None:
    folder = cluster.nodes[1].hooks_dir / "watcher"
    folder.mkdir(parents=True)
    said = cluster.root / "said"
    for name, text, mode in (
        ("10-good", f"env >{said}", 0o755),
        ("20-bad", "echo no disk; exit 3", 0o755),
        ("30-off", f"echo off >>{said}", 0o644),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(mode)
    ran = watch(cluster, node=2)
    assert ran.code == 1
    assert "PATH=" in said.read_text()
    assert "off" not in said.read_text().split()
    assert "watcher script 20-bad failed with exit code 3: no disk" in log_of(cluster.nodes[1])
    (folder / "20-bad").unlink()
    assert watch(cluster, node=2).code == 11


def test_a_node_that_was_given_up_stops_its_guests(cluster: DevCluster) -> None:
    cluster.must("gnt-cluster", "modify", "--maintain-node-health", "yes")
    wait_until(
        lambda: cluster.nodes[1].ssconf("maintain_node_health").read_text() == "True\n",
        "node2 to know",
    )
    assert watch(cluster, node=2).code == 11
    assert guest(cluster, 2, TWO).exists(), "the node is online"
    cluster.must("gnt-node", "modify", "--offline", "yes", "--force", "node2")
    try:
        assert watch(cluster, node=2).code == 11
        assert not guest(cluster, 2, TWO).exists()
        assert "the master candidates know this node as offline" in log_of(cluster.nodes[1])
    finally:
        cluster.must("gnt-node", "modify", "--offline", "no", "node2")
        cluster.must("gnt-cluster", "modify", "--maintain-node-health", "no")
    assert watch(cluster, "--no-verify-disks").code == 0
    assert guest(cluster, 2, TWO).exists()


def test_one_watcher_at_a_time(cluster: DevCluster) -> None:
    lock = cluster.nodes[0].lock_dir / "ganeti-watcher.lock"
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ran = watch(cluster)
    assert (ran.code, "another watcher is at work already" in ran.err) == (1, True)


def test_without_waiting_the_groups_are_watched_all_the_same(cluster: DevCluster) -> None:
    guest(cluster, 2, TWO).unlink()
    assert watch(cluster, "--no-wait-children", "--no-verify-disks").code == 0
    wait_until(guest(cluster, 2, TWO).exists, "the instance to run again")


def test_a_development_cluster_is_watched_by_one_command(cluster: DevCluster) -> None:
    guest(cluster, 1, ONE).unlink()
    ran = cluster.run("gnt-devcluster", "watch", "--root", str(cluster.root))
    assert ran.out == "node2.example.com: all is well\nnode1.example.com: all is well\n", ran.err
    assert ran.code == 0
    assert guest(cluster, 1, ONE).exists()


def test_misuse(cluster: DevCluster) -> None:
    assert watch(cluster, "--no-such-option").code == 2
    assert watch(cluster, "--job-age", "soon").code == 2
    ran = watch(cluster, "--node-group", "x", node=2)
    assert ran.code == 11
    ran = cluster.run(
        "ganeti-watcher", env=os.environ | {"GANETI_ROOTDIR": str(cluster.root / "x")}
    )
    assert (ran.code, "no node of a cluster" in ran.err) == (5, True)
