"""What forthcoming instances count for: exclusion tags, spindles of unknown number."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.htools.peer import require_peer, run_ours, run_peer

pytestmark = pytest.mark.peer

DATA = Path(__file__).parents[2] / "data" / "htools" / "forthcoming"

SCORES = {  # as upstream 3.0.2 prints them
    "offline-node": "41.06884881",
    "tags": "26.16940081",
    "unknown-spindles": "4.49198536",
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("program", ["hbal", "hinfo"])
def test_they_count_as_upstream_counts_them(program: str, name: str, tmp_path: Path) -> None:
    require_peer()
    arguments = ["-t", str(DATA / f"{name}.data"), *(["-v", "-v"] if program == "hinfo" else [])]
    ours, peer = (run(program, arguments, tmp_path) for run in (run_ours, run_peer))
    assert (ours.code, ours.stdout) == (peer.code, peer.stdout)
    assert SCORES[name] in ours.stdout
