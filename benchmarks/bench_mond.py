"""mond beside Debian's ganeti-mond, nginx and node_exporter, in one run on one machine.

    python benchmarks/bench_mond.py [--seconds S] [--check] [--soak]

As root. All servers live in one set of namespaces (network, host name, mounts), where
`/proc/diskstats` has the 14 columns that upstream's parser wants. Each measure is taken for all
peers in turn, several times over, and the median counts. `--soak` sends 200,000 requests and has
1,000 rounds collected, and shows memory and descriptors before and after. With `--check` the
exit code is 1 when a figure misses its mark.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganeti_kernel.testing.configurations import plain_cluster

TEMPLATE = Path(__file__).parents[1] / "tests/data/config/config.data.rich1.json"
NODE = "node1.example.com"
PEER = Path("/usr/sbin/ganeti-mond")
PEER_CONFD = Path("/usr/sbin/ganeti-confd")
ROUNDS = 3
CLIENTS = 16
REQUESTS = 200_000
COLLECTIONS = 1_000
TICKS = os.sysconf("SC_CLK_TCK")

SETUP = """
ip link set lo up; hostname {node}
printf '127.0.0.1 localhost\\n127.0.0.1 {node}\\n' > {place}/hosts
mount --bind {place}/hosts /etc/hosts
awk '{{for(i=1;i<=14;i++) printf "%s%s",$i,(i<14?" ":"\\n")}}' /proc/diskstats > {place}/diskstats
mount --bind {place}/diskstats /proc/diskstats
echo ready; exec sleep 86400
"""
NGINX = """
daemon off; master_process off; pid {place}/nginx.pid; error_log stderr crit;
events {{ worker_connections 512; }}
http {{ access_log off; default_type application/json; keepalive_requests 100000000;
  server {{ listen 127.0.0.1:{port}; root {place}/www; }} }}
"""


class Namespaces:
    """A process that holds namespaces; `run` and `start` work inside them."""

    def __init__(self, place: Path) -> None:
        script = SETUP.format(node=NODE, place=place)
        self.holder = subprocess.Popen(
            ["unshare", "-n", "-u", "-m", "sh", "-c", script], stdout=subprocess.PIPE, text=True
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == "ready\n"
        self.enter = ["nsenter", "-t", str(self.holder.pid), "-n", "-u", "-m"]
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self, argv: Sequence[str], root: Path | None = None) -> int:
        """Start a daemon; returns its process id."""
        environment = os.environ | {"GANETI_HOSTNAME": NODE}
        if root is not None:
            environment["GANETI_ROOTDIR"] = str(root)
        process = subprocess.Popen(
            [*self.enter, *argv],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.daemons.append(process)
        return process.pid

    def run(self, argv: Sequence[str]) -> str:
        return subprocess.run(
            [*self.enter, *argv], capture_output=True, text=True, check=True, timeout=600
        ).stdout

    def close(self) -> None:
        everyone: list[subprocess.Popen[Any]] = [*self.daemons, self.holder]
        for process in everyone:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


@dataclass(frozen=True)
class Load:
    """What a burst of requests came to: rate per second, CPU seconds per request, median time."""

    rate: float
    cpu: float
    latency: float
    failed: int


class Server:
    """A daemon under load."""

    def __init__(self, spaces: Namespaces, name: str, pid: int, port: int) -> None:
        self.spaces, self.name, self.pid, self.port = spaces, name, pid, port

    def get(self, path: str, timeout: float = 60) -> str:
        url = f"http://127.0.0.1:{self.port}{path}"
        return self.spaces.run(["curl", "-sS", "-m", str(timeout), url])

    def wait(self, path: str = "/") -> Server:
        for _attempt in range(100):
            with contextlib.suppress(subprocess.CalledProcessError):
                self.get(path, 5)
                return self
            time.sleep(0.1)
        raise SystemExit(f"{self.name} does not answer on port {self.port}")

    def load(self, path: str, seconds: float, clients: int = CLIENTS) -> Load:
        before = self.cpu()
        url = f"http://127.0.0.1:{self.port}{path}"
        wrk = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--timeout", "30s", "--latency"]
        text = self.spaces.run([*wrk, url])
        used = self.cpu() - before
        count = int(_find(r"(\d+) requests in", text))
        failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        return Load(
            float(_find(r"Requests/sec:\s*([\d.]+)", text)),
            used / max(count, 1),
            _seconds(_find(r"50%\s+(\S+)", text)),
            int(failed[1]) if failed else 0,
        )

    def cpu(self) -> float:
        """CPU seconds of the daemon and of all processes it ever had that are known."""
        return sum(map(_cpu_of, self.tree()))

    def tree(self) -> list[int]:
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    children.setdefault(int(fields[1]), []).append(int(entry.name))
        found, left = [], [self.pid]
        while left:
            pid = left.pop()
            found.append(pid)
            left += children.get(pid, [])
        return found

    def memory(self) -> float:
        """MiB of memory of the daemon and its processes, shared pages counted once."""
        total = 0.0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += int(_find(r"^Pss:\s+(\d+)", text)) / 1024
        return total

    def own_memory(self) -> float:
        """MiB resident in the serving process alone."""
        return int(_find(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())) / 1024

    def files(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


def _cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICKS


def _find(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise SystemExit(f"{pattern!r} is not in what a program printed:\n{text}")
    return match[1]


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if match is None:  # wrk prints "-nan" for too few samples
        return float("nan")
    return float(match[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}[match[2]]


class Table:
    """Lines of figures; remembers which missed their mark."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def compare(self, what: str, theirs: float, ours: float, mark: float, *, more: bool) -> None:
        """`more`: a rate, better when higher; else a cost. `mark`: times better, at least."""
        ratio = ours / theirs if more else theirs / ours
        figures = f"{theirs:14,.6g} {ours:14,.6g} {ratio:9.1f}x"
        self._line(what, figures, f">= {mark:g}x", ratio >= mark)

    def limit(self, what: str, value: float, mark: float, unit: str) -> None:
        self._line(what, f"{'':14} {value:14.3f} {unit:9}", f"<= {mark:g} {unit}", value <= mark)

    def note(self, what: str, text: str) -> None:
        print(f"{what:46} {text}", flush=True)

    def _line(self, what: str, figures: str, mark: str, good: bool) -> None:
        if not good:
            self.missed.append(what)
        print(f"{what:46} {figures}  {mark:12} {'ok' if good else 'MISSED'}", flush=True)


def make_root(place: Path, name: str, config: dict[str, Any]) -> Path:
    """A node's root directory with key, configuration and the files mond reads."""
    root = place / name
    data = root / "var/lib/ganeti"
    for part in (data, root / "var/run/ganeti", root / "var/log/ganeti", root / "etc/ganeti"):
        part.mkdir(parents=True)
    (data / "hmac.key").write_text("a secret of this benchmark\n")
    (data / "config.data").write_text(json.dumps(config))
    values = {
        "cluster_name": "cluster.example.com",
        "master_node": NODE,
        "master_candidates": NODE,
        "master_candidates_ips": "127.0.0.1",
        "hypervisor_list": "fake",
    }
    for key, value in values.items():
        (data / f"ssconf_{key}").write_text(f"{value}\n")
    return root


def settled(config: dict[str, Any], **active: bool) -> dict[str, Any]:
    """The configuration with some collectors switched on or off."""
    collectors = config["cluster"].setdefault("data_collectors", {})
    for name in (
        *("cpu-avg-load", "diskstats", "drbd", "inst-status-xen", "lv", "xen-cpu-avg-load"),
    ):
        collectors.setdefault(name, {"active": True, "interval": 5_000_000})
    for name, value in active.items():
        collectors[name]["active"] = value
    return config


def small(template: dict[str, Any]) -> dict[str, Any]:
    return settled(plain_cluster(template, 10, nodes=3), drbd=False, **{"inst-status-xen": False})


def large(template: dict[str, Any]) -> dict[str, Any]:
    return settled(plain_cluster(template, 1000, nodes=5), drbd=False, **{"inst-status-xen": False})


@contextlib.contextmanager
def cluster(place: Path, name: str, config: dict[str, Any]) -> Iterator[tuple[Server, Server]]:
    """Upstream's mond with upstream's confd, and ours with ours, each in namespaces of its own
    kind but alike: two nodes that differ in nothing but the software."""
    spaces = {}
    with contextlib.ExitStack() as stack:
        pair = []
        for side in ("upstream", "ours"):
            corner = place / f"{name}-{side}"
            corner.mkdir()
            root = make_root(corner, "root", config)
            space = spaces[side] = Namespaces(corner)
            stack.callback(space.close)
            binaries = (
                ([str(PEER_CONFD)], [str(PEER)])
                if side == "upstream"
                else (
                    [sys.executable, "-m", "ganeti_kernel.daemons.confd"],
                    [sys.executable, "-m", "ganeti_kernel.daemons.mond"],
                )
            )
            common = ["-f", "--no-user-checks", "-b", "127.0.0.1"]
            space.start([*binaries[0], *common], root)
            time.sleep(1.5)
            pid = space.start([*binaries[1], *common, "-p", "1815"], root)
            pair.append(Server(space, side, pid, 1815).wait())
        time.sleep(6)  # both have a second sample of the CPUs
        yield pair[0], pair[1]


def median_loads(servers: Sequence[Server], path: str, seconds: float) -> list[Load]:
    """The median by rate of several loads, taken in turn."""
    all_loads: list[list[Load]] = [[] for _ in servers]
    for _round in range(ROUNDS):
        for loads, server in zip(all_loads, servers, strict=True):
            loads.append(server.load(path, seconds))
    return [sorted(loads, key=lambda load: load.rate)[ROUNDS // 2] for loads in all_loads]


def compare_serving(table: Table, place: Path, config: dict[str, Any], seconds: float) -> None:
    with cluster(place, "small", config) as (theirs, ours):
        assert json.loads(theirs.get("/1/report/all"))
        body = ours.get("/1/report/all")
        assert json.loads(body)
        a, b = median_loads((theirs, ours), "/1/report/all", seconds)
        table.compare("all reports, requests/s", a.rate, b.rate, 50, more=True)
        table.compare("all reports, CPU ms/request", a.cpu * 1e3, b.cpu * 1e3, 50, more=False)
        fresh = ours.load("/1/report/all?fresh=1", seconds)
        table.compare("all reports, fresh, requests/s", a.rate, fresh.rate, 3, more=True)
        costs = a.cpu * 1e3, fresh.cpu * 1e3
        table.compare("all reports, fresh, CPU ms/request", *costs, 1, more=False)
        c, d = median_loads((theirs, ours), "/1/list/collectors", seconds)
        table.compare("list of collectors, requests/s", c.rate, d.rate, 1.2, more=True)
        beside(table, ours, place, body, b, seconds)
        table.note("memory of ours, all processes", f"{ours.memory():.1f} MiB")
        table.note("memory of upstream's", f"{theirs.memory():.1f} MiB")


def beside(
    table: Table, ours: Server, place: Path, body: str, served: Load, seconds: float
) -> None:
    """nginx with the same bytes and node_exporter's metrics, for scale."""
    if shutil.which("nginx"):
        www = place / "www/1/report"
        www.mkdir(parents=True)
        (www / "all").write_text(body)
        (place / "nginx.conf").write_text(NGINX.format(place=place, port=1816))
        pid = ours.spaces.start(["nginx", "-c", str(place / "nginx.conf")])
        load = (
            Server(ours.spaces, "nginx", pid, 1816)
            .wait("/1/report/all")
            .load("/1/report/all", seconds)
        )
        table.note(
            "nginx with the same bytes, requests/s", f"{load.rate:,.0f} (ours {served.rate:,.0f})"
        )
    if shutil.which("prometheus-node-exporter"):
        listen = "--web.listen-address=127.0.0.1:1817"
        pid = ours.spaces.start(["prometheus-node-exporter", listen])
        theirs = Server(ours.spaces, "node_exporter", pid, 1817).wait("/metrics")
        load = theirs.load("/metrics", seconds, 4)
        mine = ours.load("/metrics", seconds, 4)
        table.note(
            "node_exporter, metrics/s",
            f"{load.rate:,.0f} ({load.cpu * 1e3:.2f} ms CPU), ours {mine.rate:,.0f} "
            f"({mine.cpu * 1e3:.2f} ms CPU)",
        )


def compare_large(table: Table, place: Path, config: dict[str, Any]) -> None:
    """One node of a cluster of 1,000 instances: its confd answers are large."""
    with cluster(place, "large", config) as (theirs, ours):
        waited = statistics.median(timed(theirs, "/1/report/all") for _round in range(ROUNDS))
        memory, fresh = (
            statistics.median(ours.load(path, 1, 1).latency for _round in range(ROUNDS))
            for path in ("/1/report/all", "/1/report/all?fresh=1")
        )
        table.note("1,000 instances: upstream's all reports", f"{waited:.3f} s")
        table.limit("1,000 instances: ours, from memory", memory * 1e3, 50, "ms")
        table.note("1,000 instances: ours, fresh", f"{fresh * 1e3:.1f} ms")
        status = json.loads(ours.get("/1/report/instance/inst-status"))["data"]
        table.note("1,000 instances: on this node", f"{len(status['instances'])} instances")


def timed(server: Server, path: str) -> float:
    """Seconds a request takes, by curl's clock."""
    url = f"http://127.0.0.1:{server.port}{path}"
    words = ["curl", "-sS", "-o", "/dev/null", "-m", "60", "-w", "%{time_total}", url]
    return float(server.spaces.run(words))


def measure_collection(table: Table, place: Path) -> None:
    """CPU of our parsers and encoder on a node with many devices."""
    from ganeti_collectors_drbd import Drbd
    from ganeti_collectors_lv import LogicalVolumes

    from ganeti_kernel.mond.report import encode, identity_of, timestamp_now
    from ganeti_kernel.paths import Paths
    from ganeti_kernel.specs import PluginContext

    drbd, pairing, volumes, owners = recordings(place)
    context = PluginContext(paths=Paths(place))
    first, second = Drbd(context), LogicalVolumes(context)
    first.use_inputs({"drbd-status": str(drbd), "drbd-pairing": str(pairing)})
    second.use_inputs({"file": str(volumes), "instances": str(owners)})
    times = []
    for _round in range(20):
        before = time.process_time()
        for name, collector in (("drbd", first), ("lv", second)):
            encode(identity_of(name, collector), timestamp_now(), collector.collect())
        times.append(time.process_time() - before)
    assert len(first.collect()["deviceInfos"]) == 200
    assert len(second.collect()) == 400
    table.limit("200 DRBD + 400 LVs, CPU", statistics.median(times) * 1e3, 10, "ms")
    tool = Path("/usr/lib/ganeti/mon-collector")
    if tool.exists():
        commands = (
            [str(tool), "drbd", "-s", str(drbd), "-p", str(pairing)],
            [str(tool), "lv", "-f", str(volumes), "-i", str(owners)],
        )
        before = children_cpu()
        for command in commands * 5:
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        used = (children_cpu() - before) / 5
        table.note("the same by upstream's two programs, CPU", f"{used * 1e3:.1f} ms")


def children_cpu() -> float:
    used = os.times()
    return used.children_user + used.children_system


def recordings(place: Path) -> tuple[Path, Path, Path, Path]:
    """Inputs of 200 DRBD devices and 400 logical volumes."""
    lines = ["version: 8.4.2 (api:1/proto:86-101)", "srcversion: 2D876214BAAD53B31ADC1D6"]
    rows: list[list[Any]] = []
    volumes: list[str] = []
    instances: list[list[Any]] = []
    for minor in range(200):
        lines += [
            f"{minor:2}: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----",
            f"    ns:{minor}048576 nr:0 dw:0 dr:{minor}776 al:0 bm:64 lo:0 pe:0 ua:0 ap:0 ep:1 "
            "wo:f oos:0",
        ]
        name = f"inst{minor}.example.com"
        rows.append([NODE, minor, name, "disk/0", "primary", "node2.example.com"])
        children = []
        for part in ("data", "meta"):
            volume = f"df9ff3f6-a833-48ff-8bd5-{minor:012}.disk0_{part}"
            kernel = len(volumes)
            volumes.append(
                f"  nhasjL-cnZi-uqLS-WRLj-tkXI-nvCB-{kernel:06};{volume};-wi-ao;-1;-1;253;{kernel};"
                f"1073741824B;1;originstname+{name};;uZgXit-eiRr-vRqe-xpEo-e9nU-mTuR-9nfVIU;xenvg;"
                f"linear;0B;0;1073741824B;;/dev/sda5:{kernel}-15;/dev/sda5({kernel})"
            )
            children.append(_disk("plain", ["xenvg", volume], minor))
        disk = _disk("drbd", ["a", "b", 11000, minor, minor, "secret"], minor)
        instances.append([_instance(name, minor), [disk | {"children": children}]])
    status, listing = "\n".join(lines), "\n".join(volumes)
    texts = (f"{status}\n", json.dumps(rows), f"{listing}\n", json.dumps(instances))
    paths = tuple(place / name for name in ("drbd", "pairing", "lvs", "instances"))
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths[0], paths[1], paths[2], paths[3]


def _disk(kind: str, logical_id: list[Any], index: int) -> dict[str, Any]:
    stamp = {"ctime": 1.5, "mtime": 1.5, "serial_no": 1, "uuid": f"{kind}-{index}"}
    return {"dev_type": kind, "logical_id": logical_id, "params": {}, "size": 1024, **stamp}


def _instance(name: str, index: int) -> dict[str, Any]:
    return {
        "name": name,
        "primary_node": "n",
        "os": "o",
        "hypervisor": "kvm",
        "hvparams": {},
        "beparams": {},
        "osparams": {},
        "osparams_private": {},
        "admin_state": "up",
        "admin_state_source": "user",
        "nics": [],
        "disks": [],
        "disks_active": True,
        "ctime": 1.5,
        "mtime": 1.5,
        "uuid": f"i-{index}",
        "serial_no": 1,
    }


def soak(table: Table, place: Path, config: dict[str, Any]) -> None:
    """Memory and descriptors over many requests and many rounds."""
    with cluster(place, "soak", config) as (theirs, ours):
        figures = []
        for name, server in (("upstream", theirs), ("ours", ours)):
            for _warm in range(3):
                server.load("/1/list/collectors", 1)
            before = server.own_memory(), server.memory(), server.files()
            sent = 0
            started = time.monotonic()
            while sent < REQUESTS and time.monotonic() - started < 300:
                load = server.load("/1/list/collectors", 5, 8)
                sent += int(load.rate * 5)
            collected = 0
            if name == "ours":
                while collected < COLLECTIONS:
                    server.get("/1/report/all?fresh=1")
                    collected += 1
            after = server.own_memory(), server.memory(), server.files()
            figures.append(after[0] - before[0])
            table.note(
                f"{name}: {sent:,} requests, {collected:,} rounds",
                f"resident {before[0]:.1f} -> {after[0]:.1f} MiB, all processes {before[1]:.1f} -> "
                f"{after[1]:.1f} MiB, descriptors {before[2]} -> {after[2]}",
            )
        table.limit("growth of ours over that", figures[1], 3, "MiB")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each load")
    parser.add_argument("--check", action="store_true", help="exit code 1 for a missed mark")
    parser.add_argument("--soak", action="store_true", help="many requests, then memory")
    parser.add_argument("--only", choices=("serving", "large", "collection", "soak"))
    options = parser.parse_args()
    table = Table()
    config = json.loads(TEMPLATE.read_text())
    print(f"{'':46} {'upstream':>14} {'ours':>14}")
    with tempfile.TemporaryDirectory(prefix="bench-mond-") as name:
        place = Path(name)
        place.chmod(0o755)  # nginx reads as another user
        if options.only in (None, "collection"):
            measure_collection(table, place)
        peers = [PEER.exists(), os.geteuid() == 0, shutil.which("wrk"), shutil.which("nsenter")]
        if not all(peers):
            print("left out: the comparison needs root, wrk and Debian's ganeti-haskell")
        else:
            if options.only in (None, "serving"):
                compare_serving(table, place, small(config), options.seconds)
            if options.only in (None, "large"):
                compare_large(table, place, large(config))
            if options.soak or options.only == "soak":
                soak(table, place, small(config))
    if table.missed:
        print(f"missed: {', '.join(table.missed)}")
    return 1 if table.missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
