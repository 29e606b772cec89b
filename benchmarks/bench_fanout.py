"""How long it takes to ask many nodes, and what nodes that are ill cost the others.

    python benchmarks/bench_fanout.py [--nodes N] [--check]

Simulated nodes with real TLS, and the master's client, in this process. Prints the time of a first
round, which makes all connections, and of later ones; then with a third of the nodes slow, silent
or dead, how long after the beginning the well ones had answered.
With `--check` the exit code is 1 when that takes more than MARK times as long as when all are well.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.simulated import Ill, configuration, serving, set_up
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.client import NodeClient

ROUNDS = 7
MARK = 6.0
PATIENCE = 6.0
ARGUMENTS = {"hypervisors": {"fake": {}}, "storage": []}


class Timed(NodeClient):
    """Knows when each node's last call ended."""

    ended: dict[str, float]

    async def call(
        self,
        node: Node,
        name: str,
        args: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        try:
            return await super().call(node, name, args, timeout)
        finally:
            self.ended[node.uuid] = time.perf_counter()


async def ask(client: Timed, view: ConfigView) -> tuple[float, dict[str, float], int]:
    """Seconds of one round, of each node in it, and how many answered."""
    began, client.ended = time.perf_counter(), {}
    answers = await client.call_many(view.nodes.values(), "node_info", ARGUMENTS, PATIENCE)
    took = time.perf_counter() - began
    good = sum(answer.ok for answer in answers.values())
    return took, {uuid: at - began for uuid, at in client.ended.items()}, good


async def measure(root: Path, master: Paths, view: ConfigView, ill: Ill) -> tuple[float, float]:
    """Print the figures; returns the seconds until all well nodes had answered (first, later)."""
    numbers = dict(enumerate(view.nodes, 1))
    sick = {numbers[number] for number in (*ill.slow, *ill.silent, *ill.dead)}
    async with serving(root, view, ill=ill) as port, Timed(master, port=port) as client:
        first, spans, good = await ask(client, view)
        well_first = max(span for uuid, span in spans.items() if uuid not in sick)
        later, well_later = [], []
        for _ in range(1 if sick else ROUNDS):
            took, spans, good = await ask(client, view)
            later.append(took)
            well_later.append(max(span for uuid, span in spans.items() if uuid not in sick))
    print(
        f"{len(view.nodes)} nodes, {len(sick)} ill: first round {first:6.2f} s (the well ones "
        f"{well_first:.2f} s), later {statistics.median(later):6.2f} s "
        f"({statistics.median(well_later):.2f} s); {good} answered",
        flush=True,
    )
    return well_first, statistics.median(well_later)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=150)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    third = options.nodes // 9
    ill = Ill(
        slow=range(10, 10 + third),
        silent=range(40, 40 + third),
        dead=range(70, 70 + third),
        seconds=3.0,
    )
    with tempfile.TemporaryDirectory(prefix="gnt") as folder:
        root, view = Path(folder), configuration(options.nodes, 0)
        master = set_up(root, options.nodes)
        healthy, _ = asyncio.run(measure(root, master, view, Ill()))
        mixed, _ = asyncio.run(measure(root, master, view, ill))
    ratio = mixed / healthy
    print(f"with ill nodes the well ones took {ratio:.1f} times as long (mark {MARK:g})")
    return 1 if options.check and ratio > MARK else 0


if __name__ == "__main__":
    sys.exit(main())
