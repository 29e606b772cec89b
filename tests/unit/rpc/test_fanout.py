"""Calls to 140 nodes at once: bounded, and nobody waits for those that are not well."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from benchmarks.simulated import Ill, configuration, serving, set_up
from ganeti_kernel.constants import RPC_FAN_OUT
from ganeti_kernel.objects import Node
from ganeti_kernel.operations.guests import build_guest
from ganeti_kernel.query import engine, live
from ganeti_kernel.query.source import QuerySource
from ganeti_kernel.rpc.client import NodeClient

NODES = 140
DEADLINE = 3.0
ILL = Ill(slow=range(10, 50), silent=range(60, 100), dead=range(110, 120), seconds=1.5)


class Watched(NodeClient):
    """Notes when each call begins and ends."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.begun: dict[str, float] = {}
        self.ended: dict[str, float] = {}

    async def call(self, node: Node, *args: Any) -> Any:
        now = asyncio.get_running_loop().time
        self.begun[node.name] = now()
        try:
            return await super().call(node, *args)
        finally:
            self.ended[node.name] = now()

    def most_at_once(self, names: list[str]) -> int:
        spans = [(self.begun[name], self.ended[name]) for name in names]
        return max(sum(start <= at < end for start, end in spans) for at, _ in spans)


@pytest.mark.slow
def test_slow_and_dead_nodes_cost_only_their_own_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    monkeypatch.setattr(live, "PATIENCE", DEADLINE)
    view = configuration(NODES, 0)
    master = set_up(tmp_path, NODES)
    fields = ["name", "mfree", "bootid"]

    async def body() -> None:
        async with serving(tmp_path, view, ill=ILL) as port, Watched(master, port=port) as client:
            plan = engine.plan("node", fields, None, QuerySource(view))
            gathered = await live.gather(plan, view, client.call_many, build_guest=build_guest)
            answer = engine.query("node", fields, None, QuerySource(view, gathered))
            check(client, {row[0][1]: row[1:] for row in answer["data"]})

    def check(client: Watched, cells: dict[str, Any]) -> None:
        names = [node.name for node in view.nodes.values()]
        missing = {names[number - 1] for number in (*ILL.silent, *ILL.dead)}
        for name in names:
            expected = [[2, None], [2, None]] if name in missing else [[0, 32768], [0, "simulated"]]
            assert [list(cell) for cell in cells[name]] == expected, name
        well = [n for i, n in enumerate(names, 1) if n not in missing and i not in ILL.slow]
        first = min(client.begun.values())
        last = max(client.ended[name] for name in well) - first
        last_ill = max(client.ended.values()) - first
        given_up = min(client.ended[names[number - 1]] for number in ILL.silent) - first
        assert last < given_up, "who is well has answered before the first was given up"
        assert client.most_at_once(well) <= RPC_FAN_OUT
        record_property(
            "figure",
            f"{NODES} nodes, {len(missing)} dead or silent, {len(ILL.slow)} slow: the others had "
            f"answered after {last:.2f} s, the last was given up after {last_ill:.2f} s",
        )

    asyncio.run(body())
