"""CPU time of our balancing programs and of Debian's, whole processes, one table.

    python benchmarks/bench_htools.py [--size small|medium|full] [--only NAME ...] [--check]

Every row runs both programs on the same generated input and prints user and system seconds of each
and their ratio (peer / ours). Where a mark is a ratio the peer is stopped once it has used that
many times our time (`>`), so that `full` takes our time times the mark at most. A program of ours
that fails is a missed mark; so is a peer that does. Short runs are repeated, the best counts. Ours
run from compiled modules, as an installation has them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

PEER = "/usr/lib/ganeti/3.0/usr/bin/htools"
SIZES = ("small", "medium", "full")
PATIENCE = 10.0  # CPU seconds for a peer no mark is measured by
SHORT = 1.0  # CPU seconds; what takes less is measured again
REPEATS = 5


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
    """``seconds`` is the most ours may take, ``ratio`` the least the peer's time may be of ours."""

    name: str
    size: str
    program: str
    arguments: str
    files: dict[str, Callable[[], str]]
    ratio: float | None = None
    seconds: float | None = None

    @property
    def mark(self) -> str:
        return f"at least {self.ratio:g}x" if self.ratio else f"ours at most {self.seconds:g} s"


def _data(nodes: int, instances: int, template: str = "drbd") -> dict[str, Callable[[], str]]:
    return {"c.data": lambda: cluster_text(nodes, instances, template)}


BIG = _data(200, 4000)
ROWS = (
    Row("hbal nothing to do", "small", "hbal", "-t c.data -l 0", _data(4, 8), seconds=0.2),
    Row("hbal 10x100", "small", "hbal", "-t c.data", _data(10, 100), ratio=8),
    Row("hbal 20x300", "medium", "hbal", "-t c.data", _data(20, 300), ratio=75),
    Row("hbal 40x800", "full", "hbal", "-t c.data", _data(40, 800), ratio=300),
    Row("hbal 200x4000", "full", "hbal", "-t c.data", BIG, seconds=480),
    Row("hsqueeze 10x100", "small", "hsqueeze", "-t c.data", _data(10, 100, "ext"), seconds=0.3),
    Row("hspace simulated", "medium", "hspace",
        "--simulate preferred,40,10T,192g,48,24 --machine-readable", {}, ratio=20),
    Row("hail allocate", "small", "hail", "-t c.data r.json",
        BIG | {"r.json": lambda: request(1)}, seconds=0.5),
    Row("hail multi-allocate 5", "medium", "hail", "-t c.data r.json",
        BIG | {"r.json": lambda: request(5)}, seconds=1),
    Row("hroller", "medium", "hroller", "-t c.data", BIG, seconds=1.5),
    Row("hspace -l 100", "medium", "hspace",
        "-t c.data -l 100 --machine-readable", BIG, seconds=1.5),
)  # fmt: skip


class Run(NamedTuple):
    """CPU seconds a process took, and how it ended: "", ">" when stopped, else what failed."""

    seconds: float
    end: str


def cpu_seconds(command: list[str], directory: Path, limit: float | None, program: str) -> Run:
    """Run a process to its end or until it has used ``limit`` seconds of CPU (whole ones)."""

    def bound() -> None:
        if limit is not None:
            whole = math.ceil(limit)
            resource.setrlimit(resource.RLIMIT_CPU, (whole, whole + 5))

    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(
        command,
        cwd=directory,
        env=environment | {"HTOOLS": program},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=bound,  # no threads here
    ) as process:
        assert process.stderr is not None
        errors = process.stderr.read().decode(errors="replace")
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    spent = usage.ru_utime + usage.ru_stime
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL) and limit is not None:
        return Run(spent, ">")
    if process.returncode:
        last = errors.strip().splitlines()[-1:]
        return Run(spent, f"exit code {process.returncode}: {' '.join(last)}")
    return Run(spent, "")


def best(command: list[str], directory: Path, limit: float | None, program: str) -> Run:
    """The shortest of several runs, or the one run of a program that takes its time or fails."""
    run = cpu_seconds(command, directory, limit, program)
    repeats = 0 if run.end or run.seconds > SHORT else REPEATS
    again = [cpu_seconds(command, directory, limit, program) for _ in range(repeats)]
    return min(run, *again) if again else run


def measured(row: Row) -> tuple[str, bool]:
    """The row's line and whether it reaches its mark."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        for name, make in row.files.items():
            (directory / name).write_text(make())
        arguments = row.arguments.split()
        program = str(Path(sys.executable).parent / row.program)
        ours = best([program, *arguments], directory, None, row.program)
        if ours.end:
            return f"{row.name:24}  ours: {ours.end}", False
        limit = PATIENCE if row.ratio is None else row.ratio * ours.seconds
        peer = best([PEER, *arguments], directory, limit, row.program)
    if peer.end not in ("", ">"):
        return f"{row.name:24}  peer: {peer.end}", False
    ratio = peer.seconds / max(ours.seconds, 0.001)
    reached = ratio >= (row.ratio or 0) and ours.seconds <= (row.seconds or math.inf)
    shown = f"{peer.end}{peer.seconds:.2f}"
    verdict = row.mark if reached else f"{row.mark} MISSED"
    return f"{row.name:24}{shown:>10}{ours.seconds:>10.2f}{ratio:>8.1f}x  {verdict}", reached


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="medium")
    parser.add_argument("--only", nargs="*", default=[], help="parts of row names")
    parser.add_argument("--check", action="store_true", help="exit code 1 for a missed mark")
    chosen = parser.parse_args()
    if not Path(PEER).exists():
        print(f"left out: {PEER} is missing (Debian's package ganeti-htools-3.0)")
        return 0
    allowed = SIZES[: SIZES.index(chosen.size) + 1]
    print(f"{'CPU seconds':24}{'peer':>10}{'ours':>10}{'ratio':>9}  mark")
    missed = False
    for row in ROWS:
        wanted = not chosen.only or any(part in row.name for part in chosen.only)
        if row.size in allowed and wanted:
            line, reached = measured(row)
            print(line, flush=True)
            missed = missed or not reached
    return 1 if missed and chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
