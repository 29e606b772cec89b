"""The disk of the master, or of a candidate, is full: said clearly, and over when there is room."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti_kernel.testing.devcluster import DevCluster
from ganeti_kernel.testing.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts small file systems"),
]

SIZE = "6M"


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    """Two nodes whose data directories are small file systems of their own."""
    with DevCluster(2) as made:
        for node in (2, 1):
            move_to_small_disk(made, node)
        for node in (2, 1):
            made.must("daemon-util", "start", "ganeti-noded", node=node)
        for node in (2, 1):
            made.must("daemon-util", "start-all", node=node)
        yield made  # `down` unmounts what lies below its root


def move_to_small_disk(cluster: DevCluster, node: int) -> None:
    cluster.must("daemon-util", "stop-all", node=node)
    folder = cluster.nodes[node - 1].data_dir
    kept = folder.with_name("kept")
    folder.rename(kept)
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "none", folder],
        check=True, timeout=60,
    )  # fmt: skip
    shutil.copytree(kept, folder, dirs_exist_ok=True)


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """Fill the file system of a directory to the last byte."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(bytes(4096))
    try:
        yield
    finally:
        filler.unlink()


def in_step(cluster: DevCluster) -> list[str]:
    names: list[str] = json.loads(cluster.nodes[0].replicas_file.read_text())["names"]
    return names


def add_tags_until_refused(cluster: DevCluster) -> str:
    """SQLite's log has some room left on a full disk."""
    for number in range(40):
        tags = [f"t{number}-{index}-{'x' * 100}" for index in range(60)]
        ran = cluster.on(1, "gnt-cluster", "add-tags", *tags)
        if ran.code:
            return ran.err
    raise AssertionError("the disk is not full")


def test_the_master_says_so_and_goes_on_when_there_is_room(cluster: DevCluster) -> None:
    with full(cluster.nodes[0].data_dir):
        said = add_tags_until_refused(cluster)
        assert "disk is full" in said, said
        assert "\n" not in said.strip(), "one line"
        assert "Traceback" not in said
        assert "node1" in cluster.must("gnt-node", "list"), "what only reads goes on"
    cluster.must("gnt-cluster", "add-tags", "room")
    wait_until(
        lambda: (
            not any(
                status in ("queued", "waiting", "running")
                for status in cluster.must(
                    "gnt-job", "list", "--no-headers", "-o", "status"
                ).split()
            )
        ),
        "the jobs that were taken to end",
    )
    tags = cluster.must("gnt-cluster", "list-tags").split()
    assert "room" in tags
    data = json.loads(cluster.nodes[0].config_file.read_bytes())
    assert sorted(data["cluster"]["tags"]) == sorted(tags)


def test_a_candidate_with_a_full_disk_is_left_behind_until_there_is_room(
    cluster: DevCluster,
) -> None:
    both = ["node1.example.com", "node2.example.com"]
    wait_until(lambda: in_step(cluster) == both, lambda: str(in_step(cluster)))
    log = cluster.nodes[0].log_dir / "master-daemon.log"
    with full(cluster.nodes[1].data_dir):
        for number in range(40):
            tags = [f"c{number}-{index}-{'x' * 100}" for index in range(60)]
            cluster.must("gnt-cluster", "add-tags", *tags)
            cluster.must("gnt-cluster", "remove-tags", *tags)
            if in_step(cluster) == both[:1]:
                break
        assert in_step(cluster) == both[:1]
        text = log.read_text()
        assert "candidate node2.example.com is left behind: " in text
        assert "disk is full" in text
    wait_until(lambda: in_step(cluster) == both, lambda: log.read_text()[-500:])
    ran = cluster.on(1, "gnt-cluster", "add-tags", "again")
    assert ran.code == 0, ran.err
