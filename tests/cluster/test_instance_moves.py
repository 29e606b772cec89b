"""Instances go from node to node: migrate, failover, and a balancer that has them do so."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from ganeti_kernel.testing.devcluster import DevCluster, Ran

pytestmark = pytest.mark.slow

ADD = (
    *("gnt-instance", "add", "--no-install", "-o", "none+default", "--no-name-check"),
    *("-B", "memory=64M,vcpus=1", "-n", "node1.example.com"),
)
EXT = ("-t", "ext", "--disk", "0:size=12M,provider=loopfile")
N2, N3 = "node2.example.com", "node3.example.com"


@pytest.fixture(scope="module")
def running() -> Iterator[DevCluster]:
    with DevCluster(3) as cluster:
        yield cluster


@pytest.fixture
def cluster(running: DevCluster) -> Iterator[DevCluster]:
    """The cluster; no instance stays behind."""
    yield running
    for name in running.must("gnt-instance", "list", "--no-headers", "-o", "name").split():
        running.must("gnt-instance", "remove", "-f", "--shutdown-timeout=1", name)
    left = [str(path) for paths in running.nodes for path in guests(paths.root.name, running)]
    assert left == []


def guests(node: str, cluster: DevCluster) -> list[str]:
    """Names of files of hypervisor fake, marks of migrations too."""
    folder = cluster.root / node / "var/run/ganeti/fake-hypervisor"
    return sorted(path.name for path in folder.glob("*")) if folder.is_dir() else []


def place(cluster: DevCluster, name: str) -> tuple[str, list[str]]:
    """The primary node as configured, and the nodes on which the guest really is."""
    noted = cluster.must("gnt-instance", "list", "--no-headers", "-o", "pnode", name).strip()
    really = [paths.root.name for paths in cluster.nodes if guests(paths.root.name, cluster)]
    return noted, really


def move(cluster: DevCluster, verb: str, *options: str) -> Ran:
    return cluster.on(1, "gnt-instance", verb, *options, "one.example.com")


@pytest.mark.parametrize("verb", ["migrate", "failover"])
@pytest.mark.parametrize("storage", [("-t", "diskless"), EXT], ids=["diskless", "ext"])
def test_a_guest_moves(cluster: DevCluster, verb: str, storage: tuple[str, ...]) -> None:
    cluster.must(*ADD, *storage, "one.example.com")
    assert place(cluster, "one.example.com") == ("node1.example.com", ["node1"])
    for node in (N2, N3):
        ran = move(cluster, verb, "-f", "-n", node)
        assert ran.code == 0, ran.err
        assert place(cluster, "one.example.com") == (node, [node.split(".")[0]])
    ran = move(cluster, verb, "-f", "-I", "hail")
    assert "via iallocator hail" in ran.out, ran.err
    noted, really = place(cluster, "one.example.com")
    assert noted != N3
    assert really == [noted.split(".")[0]]


def test_a_stopped_guest_fails_over_and_stays_down(cluster: DevCluster) -> None:
    cluster.must(*ADD, *EXT, "--no-start", "one.example.com")
    refused = move(cluster, "migrate", "-f", "-n", N2)
    assert refused.code == 1
    assert "does not run on node node1.example.com; use gnt-instance failover" in refused.err
    ran = move(cluster, "migrate", "-f", "--allow-failover", "-n", N2)
    assert "failed over instead" in ran.out, ran.err
    assert place(cluster, "one.example.com") == (N2, [])


def test_always_failover_is_obeyed(cluster: DevCluster) -> None:
    add = [word.replace("vcpus=1", "vcpus=1,always_failover=yes") for word in ADD]
    cluster.must(*add, "-t", "diskless", "one.example.com")
    ran = move(cluster, "migrate", "-f", "-n", N2)
    assert "Failover instance one.example.com" in ran.out, ran.err
    assert place(cluster, "one.example.com") == (N2, ["node2"])


def test_an_offline_node_loses_its_guest_by_failover_only(cluster: DevCluster) -> None:
    cluster.must(*ADD, "-t", "diskless", "one.example.com")
    assert move(cluster, "migrate", "-f", "-n", N3).code == 0
    cluster.must("daemon-util", "stop", "ganeti-noded", node=3)
    refused = move(cluster, "failover", "-f", "-n", N2)
    cluster.must("gnt-node", "modify", "--offline=yes", N3)
    assert refused.code == 1
    assert "may still run on node node3.example.com" in refused.err
    assert "gnt-node modify --offline=yes node3.example.com" in refused.err
    refused = move(cluster, "migrate", "-f", "-n", N2)
    assert "is offline; use gnt-instance failover" in refused.err
    ran = move(cluster, "failover", "-f", "-n", N2)
    assert ran.code == 0, ran.err
    assert "node node3.example.com is offline; nothing is stopped there" in ran.out
    # The node comes back with its guest: the clean-up finds two of them and names both.
    cluster.must("daemon-util", "start", "ganeti-noded", node=3)
    cluster.must("gnt-node", "modify", "--offline=no", N3)
    refused = move(cluster, "migrate", "-f", "--cleanup")
    assert f"runs on several nodes at once: {N2}, {N3}" in refused.err
    (cluster.root / "node3/var/run/ganeti/fake-hypervisor/one.example.com").unlink()
    assert "confirmed to be running" in move(cluster, "migrate", "-f", "--cleanup").out


def test_cleanup_notes_where_the_guest_is(cluster: DevCluster) -> None:
    cluster.must(*ADD, *EXT, "one.example.com")
    first = cluster.root / "node1/var/run/ganeti/fake-hypervisor/one.example.com"
    second = cluster.root / "node2/var/run/ganeti/fake-hypervisor/one.example.com"
    second.parent.mkdir(parents=True, exist_ok=True)
    first.rename(second)
    for verb in ("migrate", "failover"):
        ran = move(cluster, verb, "-f", "--cleanup")
        assert ran.code == 0, ran.err
        assert place(cluster, "one.example.com") == (N2, ["node2"])
    second.unlink()
    refused = move(cluster, "migrate", "-f", "--cleanup")
    assert "runs nowhere" in refused.err


REFUSED = {
    ("-n", "node1.example.com"): "is on node node1.example.com already",
    ("-n", "node9.example.com"): "Node 'node9.example.com' not known",
    ("-n", N2, "-I", "hail"): "a node and an allocator cannot both be given",
    (): "the cluster has no default allocator; give -n NODE or -I NAME",
    ("-I", "nobody"): "nobody",
}


def test_what_cannot_be_is_refused(cluster: DevCluster) -> None:
    cluster.must(*ADD, "-t", "diskless", "one.example.com")
    for options, text in REFUSED.items():
        verb = "failover" if options else "migrate"
        refused = move(cluster, verb, "-f", *options)
        assert refused.code == 1
        assert text in refused.err
    assert place(cluster, "one.example.com") == ("node1.example.com", ["node1"])


def test_what_needs_copying_is_refused_by_name(cluster: DevCluster) -> None:
    cluster.must(*ADD, "-t", "file", "--disk", "0:size=8M", "one.example.com")
    for verb in ("migrate", "failover"):
        refused = move(cluster, verb, "-f", "-n", N2)
        assert refused.code == 1
        assert "other nodes do not reach its disks (template file)" in refused.err


def test_a_question_comes_first(cluster: DevCluster) -> None:
    cluster.must(*ADD, "-t", "diskless", "one.example.com")
    for verb, word in (("migrate", "will be migrated"), ("failover", "Failover will happen")):
        asked = move(cluster, verb, "-n", N2)
        assert word in asked.err
        assert asked.code == 1
    assert place(cluster, "one.example.com") == ("node1.example.com", ["node1"])
    refused = move(cluster, "migrate", "--non-live", "--migration-mode=live")
    assert "Only one of the --non-live and --migration-mode" in refused.err


# -- a balancer -----------------------------------------------------------------------------------


def planned(text: str) -> dict[str, str]:
    """Instance -> node of the plan's commands; a later move wins."""
    lines = re.findall(r"gnt-instance (?:migrate|failover) -f -n (\S+) (\S+)", text)
    return {f"{name}.example.com": f"{node}.example.com" for node, name in lines}


def scores(text: str) -> tuple[float, float]:
    found = re.search(r"Cluster score improved from ([\d.]+) to ([\d.]+)", text)
    assert found is not None, text
    return float(found[1]), float(found[2])


def test_hbal_balances_for_real(cluster: DevCluster) -> None:
    names = [f"inst{number}.example.com" for number in range(1, 7)]
    for name in names:
        cluster.must(*ADD, *EXT, name)
    cluster.must("gnt-instance", "shutdown", names[0])
    # One run plans and carries out: the nodes' free memory is this machine's, and never at rest.
    done = cluster.must("hbal", "-L", "-C", "--exec")
    plan = planned(done)
    wanted = dict.fromkeys(names, "node1.example.com") | plan
    assert set(wanted.values()) == {"node1.example.com", N2, N3}, done
    before, after = scores(done)
    assert after < before
    listed = cluster.must(
        "gnt-instance", "list", "--no-headers", "--separator=:", "-o", "name,pnode"
    )
    assert dict(line.split(":") for line in listed.split()) == wanted
    for number in (1, 2, 3):
        there = [name for name in names[1:] if wanted[name] == f"node{number}.example.com"]
        assert guests(f"node{number}", cluster) == there
    jobs = cluster.must("gnt-job", "list", "--no-headers", "-o", "status,summary").splitlines()
    moves = [line.split() for line in jobs if "INSTANCE_MIGRATE(inst" in line]
    assert len(moves) >= len(plan)
    assert {status for status, _summary in moves} == {"success"}
    again = cluster.must("hbal", "-L", "--exec")
    assert "Got job IDs" not in again
    assert "Nothing to do, exiting" in again or "Solution length=0" in again
    initial = re.search(r"Initial score: ([\d.]+)", again)
    assert initial is None or float(initial[1]) < (before + after) / 2
