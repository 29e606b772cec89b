"""Our programs and Debian's say the same on generated clusters."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.htools.cases import OPTIONS, SEEDS, known, prepare
from tests.interop.htools.peer import Outcome, require_peer, run_ours, run_peer

pytestmark = pytest.mark.peer

BATCH = 30
SAMPLE = 75  # one case in so many runs our installed program rather than its function


def _visible(outcome: Outcome) -> tuple[int, str]:
    return outcome.code, outcome.stdout


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("start", range(0, SEEDS, BATCH))
@pytest.mark.parametrize("program", sorted(OPTIONS))
def test_same_output_and_exit_code(program: str, start: int, tmp_path: Path) -> None:
    require_peer()
    different: dict[int, tuple[int, int]] = {}
    for seed in range(start, start + BATCH):
        arguments = prepare(program, seed, tmp_path)
        peer = run_peer(program, arguments, tmp_path)
        ours = run_ours(program, arguments, tmp_path, as_process=seed % SAMPLE == 0)
        if _visible(ours) != _visible(peer):
            different[seed] = (ours.code, peer.code)
    expected = {s: codes for s, codes in known(program).items() if start <= s < start + BATCH}
    assert different == expected
