"""Debian's gnt-cluster and ours against the same master: what they print and how they end."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Master

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        not Path("/usr/share/ganeti/3.0").is_dir(), reason="Debian's ganeti is not installed"
    ),
]

THEIRS = Path("/usr/sbin")
OURS = Path(sys.executable).parent
ADDED = ("Switch off by hand",)
"""Beginnings of lines that only ours print."""


def run(master: Master, folder: Path, words: str) -> tuple[int, list[str]]:
    """Exit code and lines printed, without times and job numbers."""
    environment = {
        name: value for name, value in master.environment.items() if not name.startswith("PYTHON")
    }
    done = subprocess.run(
        [folder / "gnt-cluster", *shlex.split(words)],
        env=environment | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    text = re.sub(r"^\w{3} \w{3} +\d+ [\d:]{8} \d{4} ", "", done.stdout, flags=re.MULTILINE)
    text = re.sub(r"([Jj]obs?) \d+", r"\1 N", text)
    lines = [line for line in text.splitlines() if line and not line.startswith(ADDED)]
    return done.returncode, lines


@pytest.fixture
def master(plain_master: Master) -> Master:
    hosts = plain_master.paths.hosts_file
    hosts.parent.mkdir(parents=True, exist_ok=True)
    hosts.write_text("127.0.0.1 node1.example.com\n127.0.0.7 other.example.com\n")
    return plain_master


SAME = (
    "modify -C 5",
    "modify --enabled-disk-templates nosuch",
    "modify --uid-pool 10-20 --max-running-jobs 9",
    "modify --remove-uids 99",
    "redist-conf",
    "verify-disks",
    "verify-disks -g nosuch",
    "repair-disk-sizes",
    "repair-disk-sizes nosuch",
    "epo --all --force",
    "rename -f cluster.example.invalid",
    "modify -B minmem=4096,maxmem=512",
)


def test_same_words_same_answer(master: Master) -> None:
    different = {}
    for words in SAME:
        run(master, THEIRS, words)  # so that both find what one of them did
        theirs, ours = run(master, THEIRS, words), run(master, OURS, words)
        if theirs != ours:
            different[words] = (theirs, ours)
    assert different == {}


def test_rename(master: Master) -> None:
    code, lines = run(master, THEIRS, "rename -f other.example.com")
    assert (code, lines[-1]) == (
        0,
        "Cluster renamed from 'cluster.example.com' to 'other.example.com'",
    )
    code, lines = run(master, THEIRS, "rename -f other.example.com")
    assert code == 1
    assert "Neither the name nor the address of the cluster has changed" in lines[-1]
    assert run(master, THEIRS, "info")[1][0] == "Cluster name: other.example.com"


def test_settings_that_debians_client_made(master: Master) -> None:
    words = "modify -C 7 -B vcpus=3,memory=256 --max-tracked-jobs 11 -m aa:bb:cc --vg-name xenvg"
    assert run(master, THEIRS, words)[0] == 0
    shown = "\n".join(run(master, THEIRS, "info")[1])
    for text in (
        "candidate pool size: 7",
        "vcpus: 3",
        "maxmem: 256",
        "simultaneously tracked by the scheduler: 11",
        "mac prefix: aa:bb:cc",
        "lvm volume group: xenvg",
    ):
        assert text in shown
