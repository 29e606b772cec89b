"""Disks are activated without starting the instance, and deactivated again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti_kernel.testing.devcluster import DevCluster

NAME = "one.example.com"
BLOCK = next((str(path) for path in sorted(Path("/dev").iterdir()) if path.is_block_device()), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BLOCK is None, reason="no block device is visible here"),
]

SCRIPTS = ("create", "remove", "grow", "setinfo", "verify", "detach")


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(1) as cluster:
        provider(cluster)
        cluster.must(
            *("gnt-instance", "add", "-t", "ext", "-o", "x", "--no-install", "--no-nics"),
            *("--no-start", "-n", "node1", "-B", "memory=16M"),
            *("--disk", "0:size=4M,provider=notes", "--disk", "1:size=4M,provider=notes", NAME),
        )
        yield cluster


def provider(cluster: DevCluster) -> None:
    """An ExtStorage provider that notes which volumes are attached; the device is never opened."""
    folder = cluster.nodes[0].under("/srv/ganeti/extstorage/notes")
    folder.mkdir()
    notes = cluster.root / "notes"
    notes.mkdir()
    volume = f"{notes}/$VOL_NAME"
    refused = f"[ ! -e {notes}/refuse-$VOL_NAME ] || exit 1"
    texts = dict.fromkeys(SCRIPTS, "") | {
        "attach": f"{refused}\ntouch {volume}\necho {BLOCK}",
        "detach": f"rm -f {volume}",
    }
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    (folder / "parameters.list").write_text("")


def attached(cluster: DevCluster) -> list[str]:
    return sorted(path.name for path in (cluster.root / "notes").glob("*.disk*"))


def disks_active(cluster: DevCluster) -> bool:
    config = json.loads(cluster.nodes[0].config_file.read_text())
    (inst,) = config["instances"].values()
    return bool(inst["disks_active"])


def test_disks_come_and_go(cluster: DevCluster) -> None:
    assert not disks_active(cluster)
    lines = cluster.must("gnt-instance", "activate-disks", "--wait-for-sync", NAME).splitlines()
    assert lines == [f"node1.example.com:disk/{index}:{BLOCK}" for index in (0, 1)]
    assert len(attached(cluster)) == 2
    assert disks_active(cluster)
    assert cluster.must("gnt-instance", "activate-disks", NAME).splitlines() == lines, "again"
    cluster.must("gnt-instance", "deactivate-disks", NAME)
    assert attached(cluster) == []
    assert not disks_active(cluster)


def test_disks_of_a_running_instance_stay(cluster: DevCluster) -> None:
    cluster.must("gnt-instance", "startup", NAME)
    ran = cluster.on(1, "gnt-instance", "deactivate-disks", NAME)
    assert (ran.code, f"Instance {NAME} is running" in ran.err) == (1, True)
    assert len(attached(cluster)) == 2
    cluster.must("gnt-instance", "shutdown", NAME)
    assert attached(cluster) == []


def test_what_cannot_be_attached_leaves_nothing_attached(cluster: DevCluster) -> None:
    cluster.must("gnt-instance", "activate-disks", NAME)
    second = next(name for name in attached(cluster) if name.endswith("disk1"))
    cluster.must("gnt-instance", "deactivate-disks", NAME)
    refuse = cluster.root / "notes" / f"refuse-{second}"
    refuse.touch()
    try:
        ran = cluster.on(1, "gnt-instance", "activate-disks", NAME)
        assert (ran.code, "step disks.attach" in ran.err) == (1, True), ran.err
        assert [name for name in attached(cluster) if not name.startswith("refuse")] == []
        assert not disks_active(cluster)
    finally:
        refuse.unlink()
