"""Debian's Haskell client (it is in `mon-collector`) against our daemon: types 8 and 9."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from ganeti_kernel.testing import confd_peer
from ganeti_kernel.testing.confd_peer import Peer, Root

TOOL = "/usr/lib/ganeti/mon-collector"
CONFIG = Path(__file__).parents[1] / "data/config/config.data.rich1.json"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        not (Path(TOOL).exists() and confd_peer.has_upstream() and shutil.which("lvs")),
        reason="Debian's ganeti package or lvm2 is missing",
    ),
]

LINE = (
    "  uuid-{0};{1}.disk0;-wi-ao;-1;-1;253;{0};1073741824B;1;originstname+inst;;vg-uuid;xenvg;"
    "linear;0B;0;1073741824B;;/dev/sda5:0-15;/dev/sda5(0)\n"
)
"""What `lvs` prints of one volume, in the form that the collector reads."""


def collect(peer: Peer, lines: Path) -> dict[str, object]:
    """Debian's report on logical volumes, which asks for this host's instances and their disks."""
    done = subprocess.run(
        [TOOL, "lv", "--address", peer.address, "--port", str(peer.port), "--file", str(lines)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=peer.root.environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, object] = json.loads(done.stdout)
    return report


def test_the_lv_collector_gets_the_same_from_both(ganeti_root: Path) -> None:
    config = json.loads(CONFIG.read_text())
    disks = list(config["disks"])
    for node in config["nodes"].values():
        if node["name"] == "node3.example.com":
            node["name"] = socket.gethostname()  # whom the collector asks about
    for ident in disks:
        config["disks"][ident] |= {"dev_type": "plain", "logical_id": ["xenvg", f"{ident}.disk0"]}
    root = Root(ganeti_root, json.dumps(config).encode())
    # read by the client even when it is told whom to ask
    (root.data / "ssconf_master_candidates_ips").write_text("127.0.0.1\n")
    lines = ganeti_root / "lvs"
    lines.write_text("".join(LINE.format(index, ident) for index, ident in enumerate(disks)))
    with confd_peer.upstream(root) as theirs:
        expected = collect(theirs, lines)
    with confd_peer.ours(root) as ours:
        report = collect(ours, lines)
    assert report["data"] == expected["data"]
    assert "inst3.example.com" in json.dumps(report["data"])
