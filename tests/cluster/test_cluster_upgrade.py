"""gnt-cluster upgrade on a real cluster that has the configuration of an older release."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ganeti_kernel.testing.devcluster import DevCluster
from ganeti_kernel.version import CONFIG_VERSION, SOFTWARE_VERSION

pytestmark = pytest.mark.slow
OLD = 2_160_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(2) as made:
        made.must(
            "gnt-instance", "add", "-t", "diskless", "-n", "node2", "--no-install", "--no-nics",
            "inst1.example.com",
        )  # fmt: skip
        yield made


def version(cluster: DevCluster) -> int:
    value: int = json.loads(cluster.must("gnt-cluster", "export-config", "-"))["version"]
    return value


def make_old(cluster: DevCluster) -> None:
    """Give the cluster the configuration of an older release."""
    document = json.loads(cluster.must("gnt-cluster", "export-config", "-"))
    file = cluster.root / "old.json"
    file.write_text(json.dumps(document | {"version": OLD}))
    cluster.must("daemon-util", "stop", "ganeti-masterd")
    cluster.must("gnt-cluster", "import-config", str(file))
    cluster.must("daemon-util", "start", "ganeti-masterd")
    assert version(cluster) == OLD


def is_open(cluster: DevCluster) -> None:
    """The queue takes jobs, the watcher goes on, nothing is pending, the guest lives."""
    assert cluster.must("gnt-cluster", "queue", "info") == "The drain flag is unset\n"
    assert cluster.must("gnt-cluster", "watcher", "info") == "The watcher is not paused.\n"
    assert not (cluster.nodes[0].data_dir / "intent-to-upgrade").exists()
    status = cluster.must("gnt-instance", "list", "--no-headers", "-o", "name,status")
    assert status.split() == ["inst1.example.com", "running"]


def node_daemons(cluster: DevCluster) -> list[str]:
    return [(paths.run_dir / "ganeti-noded.pid").read_text() for paths in cluster.nodes]


def test_upgrade(cluster: DevCluster) -> None:
    make_old(cluster)
    before = node_daemons(cluster)
    ran = cluster.on(1, "gnt-cluster", "upgrade", "--to", SOFTWARE_VERSION)
    assert ran.code == 0, ran.out + ran.err
    assert f"configuration version {OLD} (2.16) -> {CONFIG_VERSION} (3.0)" in ran.out
    assert ran.err == ""
    assert version(cluster) == CONFIG_VERSION
    assert all(old != new for old, new in zip(before, node_daemons(cluster), strict=True))
    copy = json.loads(cluster.nodes[1].config_file.read_text())
    assert copy["version"] == CONFIG_VERSION
    assert list(cluster.nodes[0].data_dir.parent.glob("ganeti-before-upgrade-*.tar"))
    is_open(cluster)


def test_new_software_does_not_start(cluster: DevCluster) -> None:
    make_old(cluster)
    cluster.must("gnt-cluster", "modify", "-C", "7")  # must not be lost with the way back
    settings = cluster.nodes[0].under("/etc/default/ganeti")
    good = settings.read_text()
    settings.write_text(good + 'MASTERD_ARGS="--bogus"\n')
    try:
        ran = cluster.on(1, "gnt-cluster", "upgrade", "--to", SOFTWARE_VERSION)
    finally:
        settings.write_text(good)
    assert ran.code == 1
    assert "The upgrade failed at: restart" in ran.err
    assert "unrecognized arguments: --bogus" in ran.err
    cluster.must("daemon-util", "start-all")
    assert version(cluster) == OLD
    assert "candidate pool size: 7" in cluster.must("gnt-cluster", "info")
    is_open(cluster)


def test_resumed_after_it_was_killed(cluster: DevCluster) -> None:
    make_old(cluster)
    cluster.must("gnt-cluster", "queue", "drain")
    cluster.must("daemon-util", "stop", "ganeti-masterd")
    note = cluster.nodes[0].data_dir / "intent-to-upgrade"
    note.write_text(f"{SOFTWARE_VERSION} {SOFTWARE_VERSION} 1\nbackup\n")
    ran = cluster.on(1, "gnt-cluster", "upgrade", "--to", SOFTWARE_VERSION)
    assert (ran.code, "finish it with --resume" in ran.err) == (1, True)
    out = cluster.must("gnt-cluster", "upgrade", "--resume")
    assert "at: backup" in out
    assert version(cluster) == CONFIG_VERSION
    is_open(cluster)


@pytest.mark.parametrize(
    ("node", "options", "code", "text"),
    [
        (1, (), 1, "Precisely one of the options --to and --resume has to be given"),
        (1, ("--to", "99.1"), 1, "version 99.1 is not installed on this node"),
        (1, ("--to", "new"), 1, "'new' is not a version"),
        (2, ("--to", SOFTWARE_VERSION), 1, "run the command on node1"),
        (1, ("--resume",), 0, "nothing to resume"),
    ],
)
def test_refused(
    cluster: DevCluster, node: int, options: tuple[str, ...], code: int, text: str
) -> None:
    ran = cluster.on(node, "gnt-cluster", "upgrade", *options)
    assert (ran.code, text in ran.out + ran.err) == (code, True), ran.err
