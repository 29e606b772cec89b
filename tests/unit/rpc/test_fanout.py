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
from ganeti_kernel.paths import Paths
from ganeti_kernel.query import engine, live
from ganeti_kernel.query.source import QuerySource
from ganeti_kernel.rpc import client as client_module
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


class Held(NodeClient):
    """Answers when it is let go; counts who asks meanwhile."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.go = asyncio.Event()
        self.asking = self.most = 0

    async def call(self, *args: Any) -> Any:
        self.asking += 1
        self.most = max(self.most, self.asking)
        await self.go.wait()
        self.asking -= 1


@pytest.mark.parametrize(("patience", "expected"), [(3600.0, RPC_FAN_OUT), (0.01, NODES)])
def test_only_calls_that_are_fresh_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float, expected: int
) -> None:
    monkeypatch.setattr(client_module, "SLOW_SECONDS", patience)
    nodes = configuration(NODES, 0).nodes.values()

    async def body() -> None:
        client = Held(Paths(tmp_path))
        calls = asyncio.create_task(client.call_many(nodes, "version"))
        while client.asking < expected:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert client.asking == client.most == expected
        client.go.set()
        assert len(await calls) == NODES
        assert client.most == expected

    asyncio.run(body())


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
        record_property(
            "figure",
            f"{NODES} nodes, {len(missing)} dead or silent, {len(ILL.slow)} slow: the others had "
            f"answered after {last:.2f} s, the last was given up after {last_ill:.2f} s",
        )

    asyncio.run(body())
