"""Our mon-collector beside Debian's, on the same recordings: one report, field by field."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PEER = Path("/usr/lib/ganeti/mon-collector")
PLUGINS = Path(__file__).parents[2] / "plugins/collectors"
DRBD = PLUGINS / "drbd/tests/data"
LV = PLUGINS / "lv/tests/data"
DISKS = PLUGINS / "diskstats/tests/data"
PAIRING = f"--drbd-pairing={DRBD / 'instance-minor-pairing.txt'}"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not PEER.exists(), reason="Debian's ganeti-haskell is not installed"),
]

SAME = [
    *(["drbd", "-s", str(path), PAIRING] for path in sorted(DRBD.glob("proc_drbd*.txt"))),
    ["lv", "-f", str(LV / "lvs_lv.txt"), "-i", str(LV / "instance-disks.txt")],
    ["diskstats", "-f", str(DISKS / "diskstats14.txt")],
    ["diskstats", f"--file={DISKS / 'proc_diskstats.txt'}"],
]
CODES = [
    [],
    ["nosuch"],
    ["--version"],
    ["-V"],
    ["drbd", "--help"],
    ["drbd", "-V"],
    ["lv", "--help-completion"],
    ["lv", "--nosuch"],
    ["lv", "-f"],
    ["lv", "--version=x"],
    ["lv", "-p", "abc"],
    ["drbd", "argument"],
    ["diskstats", "-f", "/nonexistent"],
    ["drbd", "-s", "/dev/null", PAIRING],
]


def ours(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    program = "import sys; sys.argv[0] = 'mon-collector'; from ganeti_cli import mon_collector;"
    return run([sys.executable, "-c", f"{program} mon_collector.main()", *arguments])


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def parse(text: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(text)
    assert report.pop("timestamp") % 1000 == 0
    return report


@pytest.mark.parametrize(
    "arguments",
    SAME,
    ids=lambda item: (
        Path(item[2].split("=")[-1]).name if len(item) > 2 else Path(item[1].split("=")[-1]).name
    ),
)
def test_reports_are_equal(arguments: list[str]) -> None:
    peer, mine = run([str(PEER), *arguments]), ours(arguments)
    assert (peer.returncode, mine.returncode) == (0, 0)
    assert parse(mine.stdout) == parse(peer.stdout)
    assert list(json.loads(mine.stdout)) == list(json.loads(peer.stdout))


@pytest.mark.parametrize("arguments", CODES, ids=lambda item: " ".join(item) or "nothing")
def test_exit_codes_are_equal(arguments: list[str]) -> None:
    peer, mine = run([str(PEER), *arguments]), ours(arguments)
    assert mine.returncode == peer.returncode
    assert bool(mine.stderr) == bool(peer.stderr)
    assert "Traceback" not in mine.stderr


def test_completion_is_equal() -> None:
    for name in ("drbd", "lv", "inst-status-xen", "diskstats"):
        arguments = [name, "--help-completion"]
        wanted = run([str(PEER), *arguments]).stdout.splitlines()
        # our own line about files follows for every collector
        assert ours(arguments).stdout.splitlines()[: len(wanted)] == wanted


def test_ours_reads_what_the_peer_cannot() -> None:
    arguments = ["diskstats", "-f", str(DISKS / "diskstats20.txt")]
    assert run([str(PEER), *arguments]).returncode == 1
    assert len(parse(ours(arguments).stdout)["data"]) == 10
