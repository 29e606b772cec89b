"""The table of comparisons: program, seed -> options; and the differences known by seed.

A case is decided by its seed: the cluster (`clusters.generate`), the options and, for hail, the
request. The kind of cluster goes round with the seed, the options too but one further each round,
so that all kinds meet all options. ``KNOWN`` names every seed whose result differs from upstream's,
with both exit codes (ours, upstream's); each has its reason in docs/htools-differences.md. A seed
that starts to agree must be taken off the list.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from tests.interop.htools import ialloc_requests
from tests.interop.htools.clusters import KINDS, generate

SEEDS = 300

OPTIONS: dict[str, tuple[str, ...]] = {
    "hbal": ("", "-v -v", "-l 3 --no-disk-moves", "-G group-0 -C"),
    "hinfo": ("", "-v -v"),
    "hsqueeze": ("", "-C --minimal-resources 1 --target-resources 1"),
    "hroller": (
        "--force --print-moves",
        "--force -v -v",
        "--force --offline-maintenance --no-headers",
        "--force --skip-non-redundant",
        "--force --ignore-non-redundant --one-step-only",
        "--force --full-evacuation --print-moves",
        "--force --node-tags needsreboot --print-moves",
        "--print-moves",
        "--force -G group-0 -O node-0-0",
    ),
    "hcheck": (
        "",
        "--machine-readable",
        "--machine-readable --no-simulation",
        "--no-simulation --no-capacity-checks",
        "-l 2 --no-disk-moves --machine-readable",
    ),
    "hspace": (
        "--machine-readable --disk-template drbd --tiered-alloc 8g,1g,2 --standard-alloc 4g,512,1",
        "--disk-template plain --tiered-alloc 8g,1g,2 --standard-alloc 4g,512,1",
        "--machine-readable --disk-template ext --tiered-alloc 8g,1g,2 --standard-alloc 4g,512,1",
        "--disk-template drbd --no-capacity-checks -l 5 --tiered-alloc 2g,512,1",
        "--disk-template rbd --independent-groups -l 6 --tiered-alloc 2g,512,1",
        "--machine-readable --disk-template plain --accept-existing-errors -l 8"
        " --tiered-alloc 2g,512,1 --max-cpu 3 --min-disk 0.1",
    ),
    "hail": tuple(ialloc_requests.KINDS),
}

KNOWN: dict[str, dict[str, dict[str, list[int]]]] = json.loads(
    Path(__file__).with_name("known.json").read_text()
)


def options(program: str, seed: int) -> str:
    choices = OPTIONS[program]
    return choices[(seed + seed // len(KINDS)) % len(choices)]


def prepare(program: str, seed: int, directory: Path) -> list[str]:
    """Write the case's files into ``directory``; the command line that uses them."""
    chosen = options(program, seed)
    cluster = generate(seed)
    if program == "hail":
        request = ialloc_requests.KINDS[chosen](cluster, random.Random(seed))
        (directory / "request.json").write_text(json.dumps(cluster.ialloc(request)))
        return ["request.json"]
    (directory / "cluster.data").write_text(cluster.text())
    return ["-t", "cluster.data", *chosen.split()]


def known(program: str) -> dict[int, tuple[int, int]]:
    """Per seed that differs, our exit code and upstream's."""
    headings = KNOWN.get(program, {}).values()
    return {int(seed): (ours, peer) for seeds in headings for seed, (ours, peer) in seeds.items()}
