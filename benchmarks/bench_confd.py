"""confd against Debian's ganeti-confd, in one run on one machine.

    python benchmarks/bench_confd.py [--seconds S] [--check]

Prints, for 500 and 3,000 instances: CPU per query, queries per second with one and two processes,
median latency, the expensive queries, and the CPU time of a reload. With `--check` the exit code
is 1 when a figure misses its mark.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganeti_kernel.testing import confd_peer
from ganeti_kernel.testing.confd_load import Load, latencies
from ganeti_kernel.testing.confd_peer import Peer, Root
from ganeti_kernel.testing.configurations import plain_cluster

SIZES = (500, 3000)
ROUNDS = 5
MIX = 128
"""Different small questions in the mix, each of its own salt."""

Json = dict[str, Any]


def small_questions(config: Json) -> list[tuple[int, Any]]:
    """What nodes ask all day: roles, the master, where an instance's address lives."""
    rng = random.Random(7)
    nodes = [node["name"] for node in config["nodes"].values()]
    ips = [nic["ip"] for inst in config["instances"].values() for nic in inst["nics"]]
    makers: list[Callable[[], tuple[int, Any]]] = [
        lambda: (0, None),
        lambda: (1, rng.choice(nodes)),
        lambda: (2, {"1": rng.choice(ips)}),
        lambda: (3, None),
    ]
    return [makers[index % len(makers)]() for index in range(MIX)]


def signed(root: Root, questions: list[tuple[int, Any]]) -> list[bytes]:
    return [
        confd_peer.request(root.key, number, query, str(uuid.uuid4()))
        for number, query in questions
    ]


class Table:
    """Lines of figures; remembers which missed their mark."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def line(self, what: str, theirs: float, ours: float, unit: str, mark: float) -> None:
        """`mark`: at least this many times better; rates ("/s") are better when higher."""
        ratio = ours / theirs if unit == "/s" else theirs / ours
        verdict = "ok" if ratio >= mark else "MISSED"
        if ratio < mark:
            self.missed.append(what)
        print(
            f"{what:44} {theirs:11,.1f} {ours:11,.1f} {unit:3} {ratio:8.1f}x  "
            f"(at least {mark:g}x) {verdict}",
            flush=True,
        )

    def limit(self, what: str, value: float, mark: float) -> None:
        verdict = "ok" if value <= mark else "MISSED"
        if value > mark:
            self.missed.append(what)
        print(f"{what:44} {'':11} {value:11.3f} s   (at most {mark:g} s) {verdict}", flush=True)


def cpu_per_answer(
    peer: Peer, datagrams: list[bytes], seconds: float, **flight: int
) -> tuple[float, float]:
    """Microseconds of CPU per answer, and answers per second, under load."""
    with Load(peer.address, peer.port, datagrams, **flight) as load:
        load.run(min(0.3, seconds))  # warm up
        before = peer.cpu()
        outcome = load.run(seconds)
        return (peer.cpu() - before) / outcome.answered * 1e6, outcome.rate


def cpu_one_by_one(peer: Peer, datagrams: list[bytes], count: int) -> tuple[float, float]:
    """Microseconds of CPU per answer, and the median latency in microseconds."""
    latencies(peer.address, peer.port, datagrams, 50)
    before = peer.cpu()
    times = latencies(peer.address, peer.port, datagrams, count)
    return (peer.cpu() - before) / count * 1e6, times[len(times) // 2] * 1e6


def alternating(
    measure: Callable[[Peer], tuple[float, float]], *peers: Peer, rounds: int = ROUNDS
) -> list[tuple[float, float]]:
    """Medians of several rounds in turn, so that the machine's mood hits all alike."""
    rows = [[measure(peer) for peer in peers] for _ in range(rounds)]
    return [
        (
            statistics.median(row[index][0] for row in rows),
            statistics.median(row[index][1] for row in rows),
        )
        for index in range(len(peers))
    ]


def reload_cpu(root: Root, peer: Peer, config: Json) -> float:
    """Median seconds of CPU from a new file to its first answers, less what idling costs."""
    costs = []
    for serial in range(2, 2 + ROUNDS):
        before = peer.cpu()
        root.write(json.dumps(config | {"serial_no": serial}, separators=(",", ":")).encode())
        time.sleep(0.6)
        peer.wait_for_serial(serial)
        costs.append(peer.cpu() - before)
    return statistics.median(costs)


def compare(template: Json, size: int, seconds: float, table: Table) -> None:
    config = plain_cluster(template, size)
    text = json.dumps(config, separators=(",", ":")).encode()
    print(f"\n{size} instances, 40 nodes, config.data of {len(text) / 1e6:.1f} MB")
    print(f"{'':44} {'upstream':>11} {'ours':>11}")
    with tempfile.TemporaryDirectory(prefix="gnt-") as folder:
        root = Root(Path(folder) / "one", text)
        other = Root(Path(folder) / "two", text)
        with (
            confd_peer.upstream(Root(Path(folder) / "debian", text)) as theirs,
            confd_peer.ours(root) as one,
            confd_peer.ours(other, "--workers", "2") as two,
        ):
            two.wait_for_serial(1)
            time.sleep(1)  # the second process is up
            mix = signed(root, small_questions(config))
            rates = alternating(lambda peer: cpu_per_answer(peer, mix, seconds), theirs, one, two)
            table.line("CPU per query, under load", rates[0][0], rates[1][0], "us", 3.5)
            table.line("queries per second, one process", rates[0][1], rates[1][1], "/s", 2.5)
            table.line("queries per second, two processes", rates[0][1], rates[2][1], "/s", 3.5)
            single = alternating(
                lambda peer: cpu_one_by_one(peer, mix, 600), theirs, one, rounds=15
            )
            table.line("CPU per query, one at a time", single[0][0], single[1][0], "us", 1)
            table.line("median latency, one at a time", single[0][1], single[1][1], "us", 2)
            node = next(iter(config["nodes"].values()))["name"]
            if size <= SIZES[0]:
                expensive(root, theirs, one, (8, node), "node-instances", 100, table)
            expensive(
                root,
                theirs,
                one,
                (10, "/cluster"),
                "look-up with a large answer",
                50,
                table,
            )
            table.limit("reload, CPU to the first answers", reload_cpu(root, one, config), 0.15)


def expensive(
    root: Root,
    theirs: Peer,
    ours: Peer,
    question: tuple[int, Any],
    what: str,
    mark: float,
    table: Table,
) -> None:
    datagrams = signed(root, [question])
    size = len(ours.send(datagrams[0]) or b"")
    if not theirs.send(datagrams[0], timeout=2):
        print(f"{what}: upstream does not answer (reply of {size} bytes)")
        return
    figures = alternating(
        lambda peer: cpu_per_answer(peer, datagrams, 1.0, batch=2, sockets=2),
        theirs,
        ours,
        rounds=3,
    )
    table.line(f"CPU, {what} ({size} bytes)", figures[0][0], figures[1][0], "us", mark)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.7, help="length of each load run")
    parser.add_argument("--check", action="store_true", help="fail when a mark is missed")
    options = parser.parse_args()
    if not confd_peer.has_upstream():
        print("confd: Debian's ganeti-confd is not installed, nothing to compare with")
        return 0
    data = Path(__file__).parents[1] / "tests/data/config/config.data.rich1.json"
    table = Table()
    for size in SIZES:
        compare(json.loads(data.read_text()), size, options.seconds, table)
    print(f"\nmissed: {', '.join(table.missed) or 'none'}")
    return 1 if options.check and table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
