"""How fast the command line starts, beside Debian's, in one run on one machine.

    python benchmarks/bench_startup.py [--rounds N] [--check]

Prints the whole-process CPU time (medians, the programs in turn) of `gnt-instance --help` of both,
and of our `gnt-instance list` on 500 instances, with both ratios to Debian's `--help`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from ganeti_kernel.testing.devcluster import BIN, DevCluster

PEER = Path("/usr/share/ganeti/default/gnt-instance")
INSTANCES = 500
HELP_MARK = 0.45
LIST_MARK = 0.6


def cpu_seconds(argv: list[str], env: dict[str, str]) -> float:
    """Run a command to its end; returns user and system time of the process."""
    with open(os.devnull, "wb") as null:
        process = subprocess.Popen(argv, stdout=null, stderr=null, env=env)
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(argv)} failed with exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def fill(cluster: DevCluster) -> None:
    """Give the cluster 500 instances that are down, without making them."""
    cluster.must("daemon-util", "stop", "ganeti-masterd")
    data: dict[str, Any] = json.loads(cluster.must("gnt-cluster", "export-config", "-"))
    (node,) = data["nodes"]
    for number in range(INSTANCES):
        key = str(uuid.UUID(int=number + 1))
        data["instances"][key] = {
            "uuid": key,
            "name": f"inst{number}.example.com",
            "primary_node": node,
            "os": "noop",
            "hypervisor": "fake",
            "hvparams": {},
            "beparams": {},
            "osparams": {},
            "osparams_private": {},
            "admin_state": "down",
            "admin_state_source": "admin",
            "nics": [],
            "disks": [],
            "disks_active": False,
            "tags": [],
            "serial_no": 1,
            "ctime": 0,
            "mtime": 0,
        }
    path = cluster.root / "many.data"
    path.write_text(json.dumps(data))
    cluster.must("gnt-cluster", "import-config", str(path))
    cluster.must("daemon-util", "start", "ganeti-masterd")
    lines = cluster.must("gnt-instance", "list", "--no-headers").splitlines()
    if len(lines) != INSTANCES:
        raise SystemExit(f"the cluster lists {len(lines)} instances instead of {INSTANCES}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="runs of each program")
    parser.add_argument("--check", action="store_true", help="exit code 1 for a missed mark")
    options = parser.parse_args()
    if not PEER.exists():
        print(f"left out: {PEER} is missing (Debian's package ganeti)")
        return 0
    plain = dict(os.environ)
    with DevCluster(1) as cluster:
        fill(cluster)
        inside = plain | {
            "GANETI_ROOTDIR": str(cluster.nodes[0].root),
            "GANETI_HOSTNAME": "node1.example.com",
        }
        ours = str(BIN / "gnt-instance")
        commands = {
            "Debian's gnt-instance --help": ([str(PEER), "--help"], plain),
            "our gnt-instance --help": ([ours, "--help"], plain),
            f"our gnt-instance list, {INSTANCES} instances": ([ours, "list"], inside),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for argv, env in commands.values():
            cpu_seconds(argv, env)  # warm the page cache
        for _ in range(options.rounds):
            for name, (argv, env) in commands.items():
                times[name].append(cpu_seconds(argv, env))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:45} {1000 * value:7.1f} ms CPU")
    peer, help_time, list_time = medians.values()
    missed = False
    for what, ratio, mark in (
        ("--help", help_time / peer, HELP_MARK),
        ("list", list_time / peer, LIST_MARK),
    ):
        missed = missed or ratio > mark
        print(f"ratio {what:39} {ratio:7.2f}    (at most {mark})")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
