"""Commands used wrongly: the exit code is that of Debian's program, and something is said."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PEER = Path("/usr/sbin")
OWN = Path(sys.executable).parent
HOST = "node1.example.com"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        not Path("/usr/share/ganeti/3.0").is_dir(), reason="Debian's ganeti is not installed"
    ),
]

COMMANDS = [
    "gnt-instance",
    "gnt-cluster",
    "gnt-job",
    "gnt-instance nosuch",
    "gnt-instance list --nosuch",
    "gnt-instance list --units x",
    "gnt-instance list -o",
    "gnt-instance console",
    "gnt-instance console a b",
    "gnt-instance remove --shutdown-timeout x a",
    "gnt-instance add -s x -o x -t file -n y a",
    "gnt-instance add --disk foo -o x -t file -n y a",
    "gnt-instance start --priority x a",
    "gnt-instance reboot -t nosuch a",
    "gnt-node modify -O maybe n",
    "gnt-node info --nosuch",
    "gnt-cluster queue nosuch",
    "gnt-cluster watcher pause",
    "gnt-cluster watcher nosuch",
    "gnt-cluster watcher pause 4x",
    "gnt-cluster verify x",
    "gnt-cluster verify --node-group",
    "gnt-cluster verify --ignore-errors ENOSUCH",
    "gnt-cluster copyfile",
    "gnt-cluster getmaster x",
    "gnt-cluster modify",
    "gnt-cluster modify -C x",
    "gnt-cluster modify --maintain-node-health maybe",
    "gnt-cluster modify --uid-pool x",
    "gnt-group rename a b c",
    "gnt-job info x",
    "gnt-job archive",
    "gnt-network add x",
    "gnt-filter delete",
    "gnt-debug delay x",
]


def run(folder: Path, root: Path, command: str) -> subprocess.CompletedProcess[str]:
    program, *args = shlex.split(command)
    return subprocess.run(
        [folder / program, *args],
        env={
            "PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.defpath}",
            "GANETI_ROOTDIR": str(root),
            "GANETI_HOSTNAME": HOST,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_misuse_ends_as_upstreams(tmp_path: Path, command: str) -> None:
    root = tmp_path / HOST  # upstream wants it named so
    root.mkdir()
    own, peer = run(OWN, root, command), run(PEER, root, command)
    assert own.returncode == peer.returncode, own.stderr + peer.stderr
    assert own.returncode in (1, 2)
    assert own.stderr.strip() or own.stdout.strip()
    assert "Traceback" not in own.stderr
