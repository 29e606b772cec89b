"""gnt-cluster config-history on a real cluster: the list, the differences, and the way back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from ganeti_kernel.testing.devcluster import DevCluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(2) as made:
        yield made


def rows(cluster: DevCluster) -> list[tuple[int, str]]:
    """Serial and what changed, newest first."""
    lines = cluster.must("gnt-cluster", "config-history").splitlines()[1:]
    pattern = re.compile(r"\s*(\d+) \S+ \S+\s+\S+ (.*)")
    return [(int(found[1]), found[2]) for line in lines if (found := pattern.fullmatch(line))]


def test_list_show_diff(cluster: DevCluster) -> None:
    before = rows(cluster)[0][0]
    cluster.must("gnt-cluster", "modify", "-B", "vcpus=3")
    serial, changed = rows(cluster)[0]
    assert (serial, changed) == (
        before + 1,
        "cluster cluster.example.com: beparams.default.vcpus",
    )
    diff = cluster.must("gnt-cluster", "config-history", "--diff", str(before))
    assert diff == "cluster cluster.example.com\n  beparams.default.vcpus: 1 -> 3\n"
    diff = cluster.must("gnt-cluster", "config-history", "--diff", f"{serial}..{serial}")
    assert diff == "There is no difference.\n"
    shown = json.loads(cluster.must("gnt-cluster", "config-history", "--show", str(before)))
    assert shown["serial_no"] == before
    assert shown["cluster"]["beparams"]["default"]["vcpus"] == 1
    ran = cluster.on(2, "gnt-cluster", "config-history")
    assert (ran.code, "run the command on node1" in ran.err) == (1, True)
    cluster.must("daemon-util", "stop", "ganeti-masterd")
    try:
        assert rows(cluster)[0][0] == serial
    finally:
        cluster.must("daemon-util", "start", "ganeti-masterd")


def test_back(cluster: DevCluster) -> None:
    cluster.must("gnt-cluster", "modify", "-B", "vcpus=1")
    start = rows(cluster)[0][0]
    cluster.must("gnt-cluster", "modify", "-B", "vcpus=4", "-C", "3")
    cluster.must("gnt-group", "add", "extra")
    cluster.must("gnt-node", "modify", "-D", "yes", "--auto-promote", "node2")
    out = cluster.must("gnt-cluster", "config-history", "--rollback", str(start))
    assert "* node group extra removed" in out
    assert f"Configuration {start} is back: 2 object(s) changed" in out
    assert "extra" not in cluster.must("gnt-group", "list", "--no-headers", "-o", "name")
    # What the node is does not follow what was written.
    role = cluster.must("gnt-node", "list", "--no-headers", "-o", "role", "node2").strip()
    assert role == "D"
    out = cluster.must("gnt-cluster", "config-history", "--rollback", str(start))
    assert "Nothing to change" in out
    cluster.must("gnt-node", "modify", "-D", "no", "node2")
    ssconf = cluster.nodes[0].ssconf("nodegroups").read_text()
    assert "extra" not in ssconf


def test_instances_stand_in_the_way(cluster: DevCluster) -> None:
    start = rows(cluster)[0][0]
    cluster.must(
        "gnt-instance", "add", "-t", "file", "-s", "8M", "-n", "node1", "--no-install",
        "--no-nics", "inst1.example.com",
    )  # fmt: skip
    ran = cluster.on(1, "gnt-cluster", "config-history", "--rollback", str(start))
    assert ran.code == 1
    assert "inst1.example.com was added since, runs on node1.example.com" in ran.err
    with_instance = rows(cluster)[0][0]
    cluster.must("gnt-instance", "shutdown", "inst1.example.com")
    out = cluster.must("gnt-cluster", "config-history", "--rollback", str(start), "--force")
    assert "* instance inst1.example.com removed" in out
    assert cluster.must("gnt-instance", "list", "--no-headers", "-o", "name") == ""
    ran = cluster.on(1, "gnt-cluster", "config-history", "--rollback", str(with_instance))
    assert (ran.code, "was removed since" in ran.err) == (1, True)
    cluster.must("gnt-cluster", "config-history", "--rollback", str(with_instance), "-f")
    row = cluster.must("gnt-instance", "list", "--no-headers", "-o", "name,admin_state")
    assert row.split() == ["inst1.example.com", "down"]
    cluster.must("gnt-instance", "startup", "inst1.example.com")
    cluster.must("gnt-instance", "remove", "-f", "inst1.example.com")


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (("--rollback", "999"), 1, "no configuration 999 in the history"),
        (("--show", "999"), 1, "no configuration 999 in the history"),
        (("--rollback", "1"), 1, "node2.example.com was added since"),
        (("--diff", "x"), 1, "SERIAL..SERIAL"),
        (("--show", "1", "--diff", "1"), 1, "give one of them"),
    ],
)
def test_refused(cluster: DevCluster, options: tuple[str, ...], code: int, text: str) -> None:
    ran = cluster.on(1, "gnt-cluster", "config-history", *options)
    assert (ran.code, text in ran.err) == (code, True), ran.err
