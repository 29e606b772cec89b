"""Listings, configuration changes and memory of a master with thousands of instances.

    python benchmarks/bench_scale.py [--check]

1,000 instances: our `gnt-instance list` beside Debian's with Debian's own daemon, in turns; ours
asks nodes that answer, theirs nodes that refuse at once. 5,000 instances on 150 simulated nodes
with real TLS: the same listing with live fields over kept connections, changes of the configuration
(filters, over LUXI), and the master daemon's resident memory after all that. With `--check` the
exit code is 1 when a mark is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench_jobs import start
from benchmarks.simulated import configuration, node_name, set_up
from benchmarks.upstream import LUXID, environment, luxid
from ganeti_kernel.constants import NODED_PORT
from ganeti_kernel.luxi.client import Client
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.paths import Paths

PEER = Path("/usr/sbin/gnt-instance")
OURS = Path(sys.executable).parent / "gnt-instance"
NODES, INSTANCES = 150, 5000
ROUNDS = 7
CHANGES = 200

MARKS = {
    "list of 1,000 beside the peer's": 1 / 3,
    "list of 5,000 with live fields (s)": 1.0,
    "configuration change p50 (ms)": 10.0,
    "configuration change p99 (ms)": 50.0,
    "memory (MB)": 300.0,
}


def listing(program: Path, paths: Paths, instances: int, fields: str) -> float:
    """Seconds of one `gnt-instance list`."""
    began = time.perf_counter()
    done = subprocess.run(
        [program, "list", "--no-headers", "-o", fields],
        env=environment(paths),
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - began
    if done.returncode or done.stdout.count("\n") != instances:
        raise SystemExit(f"{program} listed {done.stdout.count(chr(10))} lines: {done.stderr}")
    return took


@contextlib.contextmanager
def cluster(view: ConfigView, instances: int) -> Iterator[tuple[Paths, int]]:
    """Simulated nodes and a master daemon; gives the master's paths and its process number."""
    with tempfile.TemporaryDirectory(prefix="gnt") as folder:
        root = Path(folder)
        set_up(root, len(view.nodes))
        numbers = [str(item) for item in (len(view.nodes), instances, NODED_PORT)]
        nodes = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.simulated", folder, *numbers],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert nodes.stdout is not None
        if not nodes.stdout.readline():
            raise SystemExit("the simulated nodes did not start; is a node daemon running here?")
        try:
            process, paths = start(root / node_name(1), view, "--no-voting", "--yes-do-it")
            try:
                yield paths, process.pid
            finally:
                process.terminate()
                process.wait()
        finally:
            nodes.communicate()


def beside_peer() -> float | None:
    """Our time of a listing of 1,000 instances as a part of the peer's; None without a peer."""
    if not LUXID.exists():
        print(f"{LUXID} is not installed: nothing to compare with")
        return None
    view = configuration(3, 1000)
    fields = "name,hypervisor,os,pnode,status,oper_ram"
    with (
        tempfile.TemporaryDirectory(prefix="gnt") as folder,
        luxid(Path(folder), view) as other,
        cluster(view, 1000) as (paths, _pid),
    ):
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(listing(OURS, paths, 1000, fields))
            theirs.append(listing(PEER, other, 1000, fields))
    mine, base = statistics.median(ours), statistics.median(theirs)
    print(f"1,000 instances: ours {mine:.3f} s, Debian's {base:.3f} s", flush=True)
    return mine / base


def changes(client: Client) -> list[float]:
    """Milliseconds of each change of the configuration."""
    out = []
    uuid = client.call("ReplaceFilter", [None, 9, [["jobid", ["=", "id", 0]]], "ACCEPT", []])
    for number in range(CHANGES):
        began = time.perf_counter()
        arguments = [uuid, number, [["jobid", ["=", "id", 0]]], "ACCEPT", []]
        client.call("ReplaceFilter", arguments)
        out.append(1000 * (time.perf_counter() - began))
    return sorted(out)


def resident(pid: int) -> float:
    """MB now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmRSS")


def large() -> list[float]:
    """Seconds of a listing with live fields, milliseconds of a change (p50, p99), MB."""
    with cluster(configuration(NODES, INSTANCES), INSTANCES) as (paths, pid):
        first = listing(OURS, paths, INSTANCES, "name,pnode,status,oper_ram")
        later = [
            listing(OURS, paths, INSTANCES, "name,pnode,status,oper_ram") for _ in range(ROUNDS)
        ]
        print(f"{INSTANCES} instances on {NODES} nodes: the first listing {first:.2f} s")
        with Client(paths.master_socket) as client:
            took = changes(client)
        return [
            statistics.median(later),
            took[len(took) // 2],
            took[len(took) * 99 // 100],
            resident(pid),
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    missed = 0
    for (what, mark), value in zip(MARKS.items(), [beside_peer(), *large()], strict=True):
        if value is not None:
            missed += value > mark
            print(f"{what}: {value:.2f} (mark {mark:.2f})")
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
