"""Numbers at the edge: hail's score where a metric has no value."""

from __future__ import annotations

import json
from pathlib import Path

from tests.interop.htools.clusters import generate
from tests.interop.htools.peer import require_peer, run_ours, run_peer
from tests.interop.htools.test_bad_input import ALLOCATE


def test_node_without_spindles(tmp_path: Path) -> None:
    require_peer()
    cluster = generate(0, "drbd", 0)
    cluster.nodes = cluster.nodes[:2]
    cluster.nodes[1].spindles = 0
    request = ALLOCATE | {"disk_template": "drbd", "required_nodes": 2, "disk_space_total": 1152}
    (tmp_path / "request.json").write_text(json.dumps(cluster.ialloc(request)))
    arguments = ["--ignore-soft-errors", "--no-capacity-checks", "request.json"]
    peer = run_peer("hail", arguments, tmp_path)
    ours = run_ours("hail", arguments, tmp_path)
    assert '"success":true' in peer.stdout
    assert (ours.code, ours.stdout) == (peer.code, peer.stdout)
