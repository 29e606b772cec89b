"""The job queue: how fast jobs are taken and run, and what a large configuration costs them.

    python benchmarks/bench_jobs.py [--jobs N] [--check]

Starts a master daemon without nodes on a temporary directory, on a configuration of 10 and then of
4,000 instances. Prints submissions a second, empty jobs a second, the master daemon's CPU time a
job, and the time of a job that looks at the configuration; then, on the small one, durable
submissions a second of CLIENTS programs that submit one job at a time, and the time of one job from
submission to end. With `--check` the exit code is 1 when a mark is missed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from ganeti_kernel.config.bootstrap import initial_view, store_view
from ganeti_kernel.errors import LuxiError
from ganeti_kernel.luxi.client import Client
from ganeti_kernel.objects import ConfigView, Disk, Instance, Nic
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.store.sqlite import SqliteBackend

NODE = "node1.example.com"
SIZES = (10, 4000)
ROUNDS = 7
CLIENTS = 16
EACH = 60

MARK = 8.0
SUBMISSIONS_MARK = 1000.0
JOBS_MARK = 100.0
ONE_JOB_MARK = 0.06

EMPTY: dict[str, Any] = {"OP_ID": "OP_TEST_DELAY", "duration": 0}
LOOKING: dict[str, Any] = {**EMPTY, "no_locks": False, "on_nodes": [NODE], "dry_run": True}
"""Looks its node up in the configuration and calls nobody."""


def configuration(instances: int) -> ConfigView:
    """One node with this many instances, each with a disk and a NIC."""
    view = initial_view(
        cluster_name="cluster.example.com",
        node_name=NODE,
        primary_ip="127.0.0.1",
        master_ip="127.0.0.1",
        hvparams={"none": {}},
        enabled_hypervisors=["none"],
        enabled_disk_templates=["diskless"],
        now=time.time(),
    )
    node = view.cluster.master_node
    guests: dict[str, Instance] = {}
    disks: dict[str, Disk] = {}
    for number in range(instances):
        mac = f"aa:00:00:00:{number >> 8:02x}:{number & 255:02x}"
        disk = Disk(uuid=f"d{number}", dev_type="x", size=1024, nodes=[node], iv_name="disk/0")
        guest = Instance(
            uuid=f"i{number}",
            name=f"inst{number}.example.com",
            primary_node=node,
            nics=[Nic(uuid=f"n{number}", mac=mac)],
            disks=[disk.uuid],
        )
        guests[guest.uuid], disks[disk.uuid] = guest, disk
    return ConfigView(
        cluster=view.cluster,
        nodes=view.nodes,
        nodegroups=view.nodegroups,
        instances=guests,
        disks=disks,
        version=view.version,
        serial_no=view.serial_no,
        ctime=view.ctime,
        mtime=view.mtime,
    )


def start(root: Path, view: ConfigView, *options: str) -> tuple[subprocess.Popen[bytes], Paths]:
    """Start a master daemon and wait until it serves."""
    paths = Paths(root)
    paths.data_dir.mkdir(parents=True, exist_ok=True)
    backend = SqliteBackend(PluginContext(paths=paths))
    store = backend.open(f"sqlite://{paths.store_file}", create=True)
    store_view(store, view)
    store.close()
    process = subprocess.Popen(
        [sys.executable, "-m", "ganeti_kernel.daemons.masterd", "-f", *options],
        env=os.environ | {"GANETI_ROOTDIR": str(root), "GANETI_HOSTNAME": NODE},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        try:
            Client(paths.master_socket).close()
        except LuxiError:
            time.sleep(0.02)
        else:
            return process, paths
    raise SystemExit("the master daemon did not start")


def wait(client: Client, job_id: int) -> None:
    info: list[Any] | None = None
    while info != ["success"]:
        answer = client.wait_for_job_change(job_id, ["status"], info, None)
        if answer is not None:
            info = answer[0]
        if info and info[0] in ("error", "canceled"):
            raise SystemExit(f"job {job_id}: {client.query_jobs([job_id], ['opresult'])}")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def submit_some(socket: Path, barrier: Barrier) -> None:
    """One client: submits EACH jobs, one after the other."""
    with Client(socket) as client:
        client.query_config_values(["cluster_name"])
        barrier.wait()
        for _ in range(EACH):
            client.submit_job([EMPTY])


def submissions(paths: Paths) -> float:
    """Durable submissions a second of CLIENTS processes; none of the jobs starts."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(CLIENTS + 1)
    target = (paths.master_socket, barrier)
    clients = [context.Process(target=submit_some, args=target) for _ in range(CLIENTS)]
    for process in clients:
        process.start()
    barrier.wait()
    began = time.perf_counter()
    for process in clients:
        process.join()
    return CLIENTS * EACH / (time.perf_counter() - began)


def single_figures() -> tuple[float, float]:
    """Submissions a second, and the seconds of one job, on the small configuration."""
    with tempfile.TemporaryDirectory(prefix="gnt") as folder:
        process, paths = start(Path(folder) / "r", configuration(SIZES[0]))
        try:
            with Client(paths.master_socket) as client:
                took = []
                for _ in range(3 * ROUNDS):
                    began = time.perf_counter()
                    wait(client, client.submit_job([EMPTY]))
                    took.append(time.perf_counter() - began)
                client.call("ReplaceFilter", [None, 0, [], "PAUSE", []])
            rate = submissions(paths)
        finally:
            process.terminate()
            process.wait()
    return rate, statistics.median(took)


def measure(instances: int, jobs: int) -> tuple[float, float]:
    """Print the figures for one size; returns the seconds of a job that looks, jobs a second."""
    with tempfile.TemporaryDirectory(prefix="gnt") as folder:
        process, paths = start(Path(folder) / "r", configuration(instances))
        try:
            with Client(paths.master_socket) as client:
                wait(client, client.submit_job([LOOKING]))
                looks = []
                for _ in range(ROUNDS):
                    began = time.perf_counter()
                    wait(client, client.submit_job([LOOKING]))
                    looks.append(time.perf_counter() - began)
                before, began = cpu_seconds(process.pid), time.perf_counter()
                answers = client.submit_many_jobs([[EMPTY]] * jobs)
                taken = time.perf_counter() - began
                wait(client, answers[-1][1])
                took = time.perf_counter() - began
                used = cpu_seconds(process.pid) - before
                for _ok, job_id in answers:  # one that runs on would wait for a master daemon
                    wait(client, job_id)
        finally:
            process.terminate()
            process.wait()
    look = statistics.median(looks)
    print(
        f"{instances:5} instances: {jobs / taken:8.0f} submissions/s, {jobs / took:5.0f} jobs/s, "
        f"{1000 * used / jobs:5.2f} ms CPU a job, {1000 * look:6.1f} ms for a job that looks"
    )
    return look, jobs / took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    (small, rate), (large, _) = (measure(size, options.jobs) for size in SIZES)
    ratio = large / small
    submitted, one = single_figures()
    print(f"a job that looks: {ratio:.1f} times as long on {SIZES[1]} instances (mark {MARK:g})")
    print(f"empty jobs a second: {rate:.0f} (mark {JOBS_MARK:g})")
    print(f"submissions a second of {CLIENTS} clients: {submitted:.0f} (mark {SUBMISSIONS_MARK:g})")
    print(f"one job from submission to end: {one:.3f} s (mark {ONE_JOB_MARK:g})")
    missed = ratio > MARK or rate < JOBS_MARK
    missed |= submitted < SUBMISSIONS_MARK or one > ONE_JOB_MARK
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
