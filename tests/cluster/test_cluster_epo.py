"""gnt-cluster epo on a real cluster: instances stop and start, helpers are called."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ganeti_kernel.testing.devcluster import DevCluster

pytestmark = pytest.mark.slow

NO_HELPER = (
    "does not support out-of-band handling, it can not be handled in a fully automated manner"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(2) as made:
        made.must(
            "gnt-instance", "add", "-t", "diskless", "-n", "node2", "--no-install", "--no-nics",
            "inst1.example.com",
        )  # fmt: skip
        made.must(
            "gnt-instance", "add", "-t", "diskless", "-n", "node2", "--no-install", "--no-nics",
            "--no-start", "inst2.example.com",
        )  # fmt: skip
        yield made


def status(cluster: DevCluster) -> list[str]:
    return cluster.must("gnt-instance", "list", "--no-headers", "-o", "status").split()


def test_without_helpers(cluster: DevCluster) -> None:
    out = cluster.must("gnt-cluster", "epo", "--all", "--force")
    assert out.splitlines()[:2] == [
        f"Node {name}.example.com {NO_HELPER}" for name in ("node1", "node2")
    ]
    assert "Submit shutdown of instance inst1.example.com" in out
    assert "inst2" not in out
    last = out.splitlines()[-1]
    assert last == "Switch off by hand, the master last: node2.example.com, node1.example.com"
    assert status(cluster) == ["ERROR_down", "ADMIN_down"]
    out = cluster.must("gnt-cluster", "epo", "--on", "--all", "--force")
    assert "Node node2.example.com became available" in out
    assert status(cluster) == ["running", "ADMIN_down"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("node1",), "node1.example.com is the master node, please do a master-failover"),
        (("--groups", "--all"), "Only one of --groups or --all"),
        (("--all", "node2"), "in combination with --all are not allowed"),
        (("--groups", "nosuch"), "Group 'nosuch' not known"),
        (("nosuch",), "Node 'nosuch' not known"),
        ((), "name nodes"),
    ],
)
def test_refused(cluster: DevCluster, options: tuple[str, ...], text: str) -> None:
    ran = cluster.on(1, "gnt-cluster", "epo", "--force", *options)
    assert (ran.code, text in ran.err) == (1, True), ran.err
    assert status(cluster) == ["running", "ADMIN_down"]


def test_it_asks(cluster: DevCluster) -> None:
    ran = cluster.run(
        "gnt-devcluster", "exec", "--root", str(cluster.root), "node1", "--",
        "gnt-cluster", "epo", "node2", start_new_session=True,
    )  # fmt: skip
    assert (ran.code, "--force answers yes" in ran.err) == (1, True)
    assert status(cluster) == ["running", "ADMIN_down"]


def test_helpers_are_called(cluster: DevCluster) -> None:
    script = cluster.root / "oob"
    script.write_text(f"#!/bin/sh\necho $1 $2 >> {script}.log\n")
    script.chmod(0o755)
    cluster.must("gnt-node", "modify", "--node-parameters", f"oob_program={script}", "node2")
    out = cluster.must("gnt-cluster", "epo", "--force", "node2")
    assert "All instances have been stopped successfully" in out
    assert "by hand" not in out
    assert status(cluster) == ["ERROR_down", "ADMIN_down"]
    out = cluster.must("gnt-cluster", "epo", "--force", "node2")
    assert "Node node2.example.com is already in desired power state, skipping" in out
    cluster.must("gnt-cluster", "epo", "--on", "--force", "--power-delay", "0", "node2")
    assert status(cluster) == ["running", "ADMIN_down"]
    assert script.with_name("oob.log").read_text().splitlines() == [
        "power-off node2.example.com",
        "power-on node2.example.com",
    ]
    script.write_text("#!/bin/sh\necho no power >&2; exit 1\n")
    ran = cluster.on(1, "gnt-cluster", "epo", "--force", "node2")
    assert ran.code == 1
    assert "There was an error changing power for node2.example.com" in ran.err
    cluster.must("gnt-instance", "startup", "inst1.example.com")
    cluster.must("gnt-node", "modify", "--node-parameters", "oob_program=default", "node2")
