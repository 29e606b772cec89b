"""CPU time of our programs and of Debian's, whole processes, one table.

    python benchmarks/htools/compare.py [--size small|medium|full] [--only NAME ...]

Every row runs both programs on the same generated input and prints user+system seconds of each and
their ratio (peer / ours). `small` takes about a minute; `full` includes the peer's thirteen-minute
steps only as the figure given with the goal, it is never waited for longer than ``--deadline``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

PEER = "/usr/lib/ganeti/3.0/usr/bin/htools"
SIZES = ("small", "medium", "full")


def cluster_text(nodes: int, instances: int, template: str = "drbd", seed: int = 1) -> str:
    """A consistent single-group cluster of equal nodes in the text format."""
    rng = random.Random(seed)
    free = [[196608 - 4096, 8_000_000] for _ in range(nodes)]
    rows = []
    for number in range(instances):
        primary, secondary = rng.sample(range(nodes), 2)
        mem, disk = rng.choice((1024, 2048, 4096)), rng.choice((10240, 20480, 40960))
        free[primary][0] -= mem
        for node in (primary, secondary) if template == "drbd" else (primary,):
            free[node][1] -= disk
        second = f"node-{secondary}" if template == "drbd" else ""
        rows.append(
            f"inst-{number}|{mem}|{disk}|{rng.choice((1, 2))}|running|Y|node-{primary}|{second}"
            f"|{template}||1|-|N"
        )
    policy = "128,1,1024,1,1,1|64,1,128,1,1,1;32768,16,1048576,16,8,12|drbd,plain,ext|4.0|32.0"
    lines = ["group-0|uuid-0|preferred||", ""]
    for number, (mem, disk) in enumerate(free):
        state = "M" if number == 0 else "N"
        lines.append(
            f"node-{number}|196608|4096|{mem}|8000000|{disk}|48|{state}|uuid-0|24||N|0|1|1.0"
        )
    return "\n".join([*lines, "", *rows, "", "", f"|{policy}", f"group-0|{policy}"]) + "\n"


def request(count: int) -> str:
    """An IAllocator request for one or more DRBD instances; the cluster comes with ``-t``."""
    one = {
        "name": "new", "disk_template": "drbd", "tags": [], "os": "noop", "vcpus": 1,
        "memory": 1024, "spindle_use": 1, "disks": [{"size": 10240, "mode": "rw"}],
        "disk_space_total": 10368, "nics": [], "required_nodes": 2, "hypervisor": "kvm",
    }  # fmt: skip
    wanted: dict[str, object] = {"type": "allocate", **one}
    if count > 1:
        items = [one | {"name": f"new-{number}"} for number in range(count)]
        wanted = {"type": "multi-allocate", "instances": items}
    empty: dict[str, object] = {"nodegroups": {}, "nodes": {}, "instances": {}, "ipolicy": {}}
    head = {"version": 2, "cluster_name": "c", "cluster_tags": [], "enabled_hypervisors": []}
    return json.dumps(head | empty | {"request": wanted})


class Row(NamedTuple):
    name: str
    size: str
    program: str
    arguments: str
    files: dict[str, Callable[[], str]]
    goal: str


def _data(nodes: int, instances: int) -> dict[str, Callable[[], str]]:
    return {"c.data": lambda: cluster_text(nodes, instances)}


BIG = _data(200, 4000)
ROWS = (
    Row("hbal nothing to do", "small", "hbal", "-t c.data -l 0", _data(4, 8), "ours <= 0.2 s"),
    Row("hbal 10x100", "small", "hbal", "-t c.data", _data(10, 100), ">= 8x"),
    Row("hbal 20x300", "medium", "hbal", "-t c.data", _data(20, 300), ">= 75x"),
    Row("hbal 40x800", "full", "hbal", "-t c.data", _data(40, 800), ">= 300x"),
    Row("hbal 200x4000", "full", "hbal", "-t c.data", BIG, "ours <= 480 s, 120 s with numba"),
    Row("hsqueeze 10x100", "small", "hsqueeze", "-t c.data", _data(10, 100), "ours <= 0.3 s"),
    Row("hspace simulated", "medium", "hspace",
        "--simulate preferred,40,10T,192g,48,24 --machine-readable", {}, ">= 20x"),
    Row("hail allocate", "small", "hail", "-t c.data r.json",
        BIG | {"r.json": lambda: request(1)}, "ours <= 0.5 s"),
    Row("hail multi-allocate 5", "medium", "hail", "-t c.data r.json",
        BIG | {"r.json": lambda: request(5)}, "ours <= 1 s"),
    Row("hroller", "medium", "hroller", "-t c.data", BIG, "ours <= 1.5 s"),
    Row("hspace -l 100", "medium", "hspace",
        "-t c.data -l 100 --machine-readable", BIG, "ours <= 1.5 s"),
)  # fmt: skip


def cpu_seconds(command: list[str], directory: Path, deadline: float, program: str) -> str:
    """User and system time of a process, as text; ``>N`` when stopped at the deadline."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        subprocess.run(
            command,
            cwd=directory,
            env=os.environ | {"HTOOLS": program},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=deadline,
            check=False,
        )
        mark = ""
    except subprocess.TimeoutExpired:
        mark = ">"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{mark}{spent:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--only", nargs="*", default=[], help="parts of row names")
    parser.add_argument("--deadline", type=float, default=300.0, help="seconds per process")
    chosen = parser.parse_args()
    allowed = SIZES[: SIZES.index(chosen.size) + 1]
    print(f"{'':24}{'peer':>10}{'ours':>10}{'ratio':>9}  goal")
    for row in ROWS:
        if row.size not in allowed or (
            chosen.only and not any(part in row.name for part in chosen.only)
        ):
            continue
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder)
            for name, make in row.files.items():
                (directory / name).write_text(make())
            arguments = row.arguments.split()
            ours_path = str(Path(sys.executable).parent / row.program)
            ours = cpu_seconds([ours_path, *arguments], directory, chosen.deadline, row.program)
            peer = cpu_seconds([PEER, *arguments], directory, chosen.deadline, row.program)
        ratio = float(peer.lstrip(">")) / max(float(ours.lstrip(">")), 0.001)
        print(f"{row.name:24}{peer:>10}{ours:>10}{ratio:>8.1f}x  {row.goal}", flush=True)


if __name__ == "__main__":
    main()
