"""harep says, submits and notes what Debian's does, on generated clusters, over LUXI."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.interop.htools import harep_scenes
from tests.interop.htools.luxi_master import serving
from tests.interop.htools.peer import Outcome, require_peer, run_ours, run_peer

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]

SEEDS, BATCH = 300, 50
AT_ONCE = 25  # upstream's spends its time asleep, half a second for each tag

_CHANGING = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r":1\d{9}:"), ":NOW:"),
    (re.compile(r"\b1\d{18}\b"), "NOW"),
    (re.compile(r"3\.0\.2-\d+"), "3.0.2"),
    (re.compile(r"(Job submission error): .*"), r"\1"),
)


def same_way(text: str) -> str:
    """Text without what differs from run to run: random ids, times, the package's version."""
    for pattern, word in _CHANGING:
        text = pattern.sub(word, text)
    return text


def seen(outcome: Outcome, asked: list[Any]) -> dict[str, Any]:
    """What a run showed and asked for; questions that are repeated while waiting count once."""
    questions = [same_way(json.dumps(item, sort_keys=True)) for item in asked]
    once = [
        text for text, before in zip(questions, ["", *questions], strict=False) if text != before
    ]
    return {
        "code": outcome.code,
        "out": same_way(outcome.stdout).splitlines(),
        "err": same_way(outcome.stderr).splitlines(),
        "asked": once,
    }


def watched(run: Any, seed: int, folder: Path) -> dict[str, Any]:
    """Run ours or upstream's on the scene of a seed."""
    scene, options = harep_scenes.make(seed)
    with serving(scene) as master:
        outcome = run("harep", [f"-L{master.path}", *options], folder)
    return seen(outcome, master.asked)


@pytest.mark.parametrize("start", range(0, SEEDS, BATCH))
def test_same_on_generated_clusters(start: int, tmp_path: Path) -> None:
    require_peer()
    seeds = range(start, start + BATCH)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        theirs = list(pool.map(lambda seed: watched(run_peer, seed, tmp_path), seeds))
    for seed, expected in zip(seeds, theirs, strict=True):
        assert watched(run_ours, seed, tmp_path) == expected, f"seed {seed}"


def test_the_scenes_cover_what_can_happen() -> None:
    """Each kind of repair, refusal and end is in some scene (else the comparison says little)."""
    text = "".join(
        line for seed in range(SEEDS) for line in watched(run_ours, seed, Path("/"))["out"]
    )
    for what in (
        *("Executing ArFixStorage", "Executing ArFailover", "Executing ArReinstall"),
        *("only repairs up to ArFixStorage", "up to ArMigrate", "up to ArFailover"),
        *("ArNotEnabled", "ArSuspended Forever", "ArSuspended (Until"),
        *('"Pending repair" to "Healthy"', '"Pending repair" to "Failure"'),
        *("Needs repair: ", "Failure: ", "Pending repair: ", ":enoperm:", "jobs: [["),
    ):
        assert what in text, what


def test_a_lost_job_is_told_and_counts_as_failed(tmp_path: Path) -> None:
    """Upstream stops for the whole cluster, which is worse (docs/htools-differences.md)."""
    require_peer()
    scene, _options = harep_scenes.make(0)
    tag = f"{harep_scenes.PREFIX}pending:failover:a:1000:77"
    scene.instance = [{**scene.instance[0], "tags": [tag]}]
    scene.gone = 77
    with serving(scene) as master:
        peer = run_peer("harep", [f"-L{master.path}"], tmp_path)
        assert peer.code == 1
        assert "could not check job status" in peer.stderr
        ours = run_ours("harep", [f"-L{master.path}"], tmp_path)
        assert ours.code == 0
        assert "Warning: job 77 is not in the queue; taken as failed" in ours.stderr
        assert ours.stdout.endswith("Failure: 1\n")


@pytest.mark.parametrize(
    "options",
    [
        ("--job-delay=x",),
        ("--job-delay",),
        ("-v",),
        ("argument",),
        ("--luxi=/nowhere",),
        ("-t", "f"),
    ],
)
def test_misuse_ends_alike(options: tuple[str, ...], tmp_path: Path) -> None:
    require_peer()
    peer, ours = (run("harep", options, tmp_path) for run in (run_peer, run_ours))
    assert (ours.code, ours.stdout) == (peer.code, peer.stdout)
    first = [same_way(outcome.stderr).splitlines()[0] for outcome in (ours, peer)]
    assert first[0] == first[1] or "failed to load data, aborting" in "".join(first)


def test_version_and_completion(tmp_path: Path) -> None:
    require_peer()
    for option in ("--version", "--help-completion"):
        peer, ours = (run("harep", [option], tmp_path) for run in (run_peer, run_ours))
        assert ours.code == peer.code == 0
        lines = [same_way(outcome.stdout).splitlines() for outcome in (ours, peer)]
        assert lines[0][0] == lines[1][0]
    assert lines[0] == lines[1]
