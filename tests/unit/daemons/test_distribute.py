"""Carrying the configuration to nodes: coalesced, repeated where it failed, own files first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ganeti_kernel.config import datafile
from ganeti_kernel.config.bootstrap import initial_view
from ganeti_kernel.config.ssconf import read_ssconf
from ganeti_kernel.daemons import distribute
from ganeti_kernel.daemons.distribute import Distributor
from ganeti_kernel.errors import RemoteError
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.client import Result


class FakeConfig:
    """A SharedConfig without a store."""

    def __init__(self, view: ConfigView) -> None:
        self.view = view
        self.listeners: list[Callable[[], object]] = []

    def text(self) -> bytes:
        return datafile.dump(self.view)

    def change(self, **cluster: Any) -> int:
        fields = {name: getattr(self.view, name) for name in ("nodes", "nodegroups")}
        self.view = ConfigView(
            cluster=msgspec.structs.replace(self.view.cluster, **cluster),
            version=self.view.version,
            serial_no=self.view.serial_no + 1,
            **fields,
        )
        for listener in self.listeners:
            listener()
        return self.view.serial_no


class FakeNodes:
    """Nodes that note what they are told; those in `down` fail."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, Mapping[str, Any]]] = []
        self.down: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    async def call_many(
        self, nodes: Sequence[Node], name: str, args: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        await self.gate.wait()
        out = {}
        for node in nodes:
            if node.name in self.down:
                out[node.uuid] = Result(ok=False, error=RemoteError("down"))
            else:
                self.told.append((node.name, name, args))
                out[node.uuid] = Result(ok=True)
        return out


def three_nodes() -> ConfigView:
    view = initial_view(
        cluster_name="c.example.com",
        node_name="n1",
        primary_ip="127.0.0.1",
        master_ip="127.0.0.1",
        hvparams={"none": {}},
        enabled_hypervisors=["none"],
        enabled_disk_templates=[],
        now=1.0,
    )
    (master,) = view.nodes.values()
    others = [
        msgspec.structs.replace(master, uuid=f"u{n}", name=f"n{n}", primary_ip=f"127.0.0.{n}", **f)
        for n, f in (
            (2, {}),
            (3, {"master_candidate": False}),
            (4, {"offline": True}),
        )
    ]
    return ConfigView(
        cluster=view.cluster,
        nodes={master.uuid: master, **{node.uuid: node for node in others}},
        nodegroups=view.nodegroups,
        version=view.version,
    )


def run(root: Path, body: Callable[[FakeConfig, FakeNodes, Distributor], Awaitable[None]]) -> None:
    async def main() -> None:
        config, nodes = FakeConfig(three_nodes()), FakeNodes()
        distributor = Distributor(Paths(root), config, nodes)  # type: ignore[arg-type] # fakes
        task = asyncio.create_task(distributor.run())
        try:
            await asyncio.wait_for(body(config, nodes, distributor), 60)
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def test_who_gets_what(tmp_path: Path) -> None:
    async def body(config: FakeConfig, nodes: FakeNodes, distributor: Distributor) -> None:
        serial = config.change(tags=["a"])
        await distributor.settled(serial)
        paths = Paths(tmp_path)
        assert json.loads(paths.config_file.read_bytes())["cluster"]["tags"] == ["a"]
        assert read_ssconf(paths, "cluster_tags") == "a"
        await until(lambda: len(nodes.told) >= 5)
        told = {(name, call) for name, call, _args in nodes.told}
        assert told == {
            ("n2", "ssconf_write"),
            ("n3", "ssconf_write"),
            ("n2", "candidate_enter"),
            ("n2", "config_write"),
            ("n3", "candidate_leave"),
        }
        (content,) = {args["content"] for _n, call, args in nodes.told if call == "config_write"}
        assert json.loads(content)["serial_no"] == serial

    run(tmp_path, body)


def test_secrets_follow_the_role(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.data_dir.mkdir(parents=True)
    paths.ca_key.write_text("the key")

    async def body(config: FakeConfig, nodes: FakeNodes, distributor: Distributor) -> None:
        def secret_calls() -> list[tuple[str, str, Any]]:
            names = ("candidate_enter", "candidate_leave")
            return [
                (name, call, args.get("files")) for name, call, args in nodes.told if call in names
            ]

        await until(lambda: len(nodes.told) == 5)
        assert secret_calls() == [
            ("n2", "candidate_enter", {"ca.key": "the key"}),
            ("n3", "candidate_leave", None),
        ]
        nodes.told.clear()
        await distributor.settled(config.change(tags=["x"]))
        await until(lambda: len(nodes.told) == 3)
        assert secret_calls() == [], "who has them is not given them again"

        old = config.view.nodes["u2"]
        config.view.nodes["u2"] = msgspec.structs.replace(old, master_candidate=False)  # type: ignore[index] # a plain dict in this test
        await distributor.settled(config.change(tags=["y"]))
        await until(lambda: bool(secret_calls()))
        assert secret_calls() == [("n2", "candidate_leave", None)]

        nodes.told.clear()
        paths.ca_key.write_text("a new key")
        config.view.nodes["u2"] = old  # type: ignore[index] # as above
        await distributor.settled(config.change(tags=["z"]))
        await until(lambda: bool(secret_calls()))
        assert secret_calls() == [("n2", "candidate_enter", {"ca.key": "a new key"})]

    run(tmp_path, body)


def test_changes_are_told_together(tmp_path: Path) -> None:
    async def body(config: FakeConfig, nodes: FakeNodes, distributor: Distributor) -> None:
        await until(lambda: len(nodes.told) == 5)
        nodes.gate.clear()
        serial = 0
        for number in range(50):
            serial = config.change(tags=[f"t{number}"])
            await asyncio.sleep(0)
        await distributor.settled(serial)
        nodes.gate.set()
        await until(
            lambda: any(
                f'"serial_no":{serial}' in str(args.get("content")).replace(" ", "")
                for _n, _c, args in nodes.told
            )
        )
        assert len(nodes.told) < 5 * 20, "not one round a change"

    run(tmp_path, body)


def test_failed_nodes_are_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribute, "RETRY_SECONDS", (0.01, 0.05))

    async def body(config: FakeConfig, nodes: FakeNodes, distributor: Distributor) -> None:
        await until(lambda: len(nodes.told) == 5)
        nodes.told.clear()
        nodes.down = {"n2"}
        await distributor.settled(config.change(tags=["b"]))
        await until(lambda: bool(nodes.told))
        await asyncio.sleep(0.1)
        assert {name for name, _call, _args in nodes.told} == {"n3"}
        nodes.down.clear()
        await until(lambda: ("n2", "config_write") in {item[:2] for item in nodes.told})
        assert [name for name, _c, _a in nodes.told].count("n3") == 1

    run(tmp_path, body)


def test_who_answers_again_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribute, "RETRY_SECONDS", (3600.0, 3600.0))

    async def body(config: FakeConfig, nodes: FakeNodes, distributor: Distributor) -> None:
        nodes.down = {"n2"}
        assert set(await distributor.everywhere()) == {"u2"}
        nodes.down.clear()
        distributor.tell_failed()
        await until(lambda: ("n2", "ssconf_write") in {item[:2] for item in nodes.told})

    run(tmp_path, body)
