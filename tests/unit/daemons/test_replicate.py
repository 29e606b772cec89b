"""Copies of the state on candidates: complete when a commit returns, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ganeti_kernel.config.bootstrap import initial_view, store_view
from ganeti_kernel.config.replica import Position, read_record, take_over, write_record
from ganeti_kernel.daemons import replicate
from ganeti_kernel.daemons.replicate import Replicator
from ganeti_kernel.errors import GenericError, MasterReplaced, RemoteError, StoreError
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.node.copies import Replica
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.rpc import voting
from ganeti_kernel.rpc.calls import CALLS
from ganeti_kernel.rpc.client import Result
from ganeti_kernel.rpc.results import MasterState
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.specs.store import Change, Delete, Put, Store
from ganeti_kernel.store import local

MASTER = "n1"


def cluster_of(nodes: int, candidates: int) -> ConfigView:
    view = initial_view(
        cluster_name="c.example.com",
        node_name=MASTER,
        primary_ip="127.0.0.1",
        master_ip="127.0.0.1",
        hvparams={"none": {}},
        enabled_hypervisors=["none"],
        enabled_disk_templates=[],
        now=1.0,
    )
    (master,) = view.nodes.values()
    others = [
        msgspec.structs.replace(
            master,
            uuid=f"u{n}",
            name=f"n{n}",
            primary_ip=f"127.0.0.{n}",
            secondary_ip=f"127.0.0.{n}",
            master_candidate=n <= candidates,
        )
        for n in range(2, nodes + 1)
    ]
    return ConfigView(
        cluster=view.cluster,
        nodes={master.uuid: master, **{node.uuid: node for node in others}},
        nodegroups=view.nodegroups,
        version=view.version,
        serial_no=1,
    )


class FakeConfig:
    """A SharedConfig whose view the test sets."""

    def __init__(self, view: ConfigView) -> None:
        self.view = view
        self.listeners: list[Callable[[], object]] = []


class Machine:
    """A node with a real copy and a real record; `cut`: it cannot be reached."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.paths = Paths(root / name)
        self.paths.data_dir.mkdir(parents=True)
        self.registry = Registry(PluginContext(paths=self.paths))
        self.replica = Replica(self.paths, self.registry)
        self.cut = False
        self.epoch = 0

    def answer(self, call: str, args: Mapping[str, Any]) -> Any:
        if CALLS[call].changes and self.epoch:
            raise MasterReplaced(f"{self.name} obeys epoch {self.epoch}")
        values = msgspec.json.decode(msgspec.json.encode(args))
        match call:
            case "master_state":
                return self.state()
            case "replicas_write":
                return write_record(self.paths, args["record"])
            case "replica_begin":
                return self.replica.begin(values["run"])
            case "replica_add":
                return self.replica.add(values["run"], values["changes"])
            case "replica_finish":
                return self.replica.finish(values["run"], values["transactions"], args["position"])
            case "replica_follow":
                return self.replica.follow(args["after"], values["transactions"])
        raise AssertionError(call)

    def state(self) -> MasterState:
        position, serial, run = self.replica.state()
        return MasterState(
            master=MASTER,
            epoch=self.epoch,
            serial=serial,
            position=position,
            run=run,
            record=read_record(self.paths),
        )

    def content(self) -> dict[str, bytes]:
        """What the copy holds, its own keys left out."""
        store = local.open_file(self.registry, self.paths.replica_file, create=False)
        try:
            return {e.key: e.value for e in store.list("") if not e.key.startswith("replica/")}
        finally:
            store.close()


class Place:
    """A master's store and committer, and machines to copy to."""

    def __init__(self, root: Path, nodes: int, candidates: int) -> None:
        self.master = Machine(root, MASTER)
        self.view = cluster_of(nodes, candidates)
        self.config = FakeConfig(self.view)
        self.machines = {f"n{n}": Machine(root, f"n{n}") for n in range(2, nodes + 1)}
        store = local.open_file(self.master.registry, self.master.paths.store_file, create=True)
        store_view(store, self.view)
        self.committer = Committer(store)
        self.answered: list[str] = []
        self.before: Callable[[str, str], Awaitable[None]] | None = None

    # what a node client does

    async def call(self, node: Node, name: str, args: Mapping[str, Any], timeout: float = 0) -> Any:
        machine = self.machines[node.name]
        if self.before is not None:
            await self.before(node.name, name)
        if machine.cut:
            raise RemoteError(f"{node.name} is cut")
        value = await asyncio.to_thread(machine.answer, name, args)
        if machine.cut:
            raise RemoteError(f"the answer of {node.name} was lost")
        self.answered.append(f"{node.name} {name}")
        return value

    async def call_many(
        self, nodes: list[Node], name: str, args: Mapping[str, Any], timeout: float = 0
    ) -> Mapping[str, Result]:
        async def one(node: Node) -> Result:
            try:
                return Result(ok=True, value=await self.call(node, name, args))
            except GenericError as error:
                return Result(ok=False, error=error)

        return {node.uuid: await one(node) for node in nodes}

    # what tests ask

    async def put(self, key: str, value: str = "1") -> None:
        await self.committer.commit([Put(key, value.encode())])

    def states(self) -> dict[str, MasterState]:
        return {name: machine.state() for name, machine in self.machines.items()}


def run(
    root: Path,
    body: Callable[[Place, Replicator], Awaitable[None]],
    nodes: int = 3,
    candidates: int = 3,
) -> None:
    async def main() -> None:
        place = Place(root, nodes, candidates)
        replicator = Replicator(
            place.master.paths,
            place.committer,
            place.config,  # type: ignore[arg-type] # a fake
            place,
            0,
        )
        try:
            await replicator.start()
            async with asyncio.timeout(120):
                await body(place, replicator)
        finally:
            await replicator.stop()
            await place.committer.close()
            for machine in place.machines.values():
                machine.replica.close()

    asyncio.run(main())


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicate, "RETRY_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(replicate, "HEARTBEAT", 0.05)
    monkeypatch.setattr(replicate, "FLUSH_SECONDS", 0.2)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def everything(place: Place) -> dict[str, bytes]:
    def read(store: Store) -> dict[str, bytes]:
        return {entry.key: entry.value for entry in store.list("")}

    return await place.committer.read(read)


def test_a_commit_returns_when_the_copies_have_it(tmp_path: Path) -> None:
    async def body(place: Place, _replicator: Replicator) -> None:
        await asyncio.gather(*(place.put(f"jobs/{n}") for n in range(50)))
        await place.committer.commit([Delete("jobs/7"), Put("jobs/8", b"{}")])
        state = await everything(place)
        for machine in place.machines.values():
            assert machine.content() == state
            assert read_record(machine.paths).names == ["n1", "n2", "n3"]

    run(tmp_path, body)


def test_only_candidates_have_copies_and_all_have_the_record(tmp_path: Path) -> None:
    async def body(place: Place, _replicator: Replicator) -> None:
        await place.put("a")
        assert place.machines["n4"].replica.state() == (Position(), 0, "")
        assert read_record(place.machines["n4"].paths).names == ["n1", "n2", "n3"]

    run(tmp_path, body, nodes=4)


def test_a_candidate_that_fails_is_dropped_and_comes_back(tmp_path: Path) -> None:
    async def body(place: Place, _replicator: Replicator) -> None:
        cut = place.machines["n2"]
        cut.cut = True
        await place.put("a")
        assert read_record(place.machines["n3"].paths).names == ["n1", "n3"]
        assert "was left behind" in " ".join(voting.staleness(place.states(), "n2"))
        await place.put("b")
        cut.cut = False
        await until(lambda: read_record(place.master.paths).names == ["n1", "n2", "n3"])
        assert cut.content() == await everything(place)
        assert place.answered.count("n2 replica_begin") == 1, "it only needed what is new"

    run(tmp_path, body)


def test_a_copy_that_is_too_old_is_made_anew_while_the_store_changes(tmp_path: Path) -> None:
    async def body(place: Place, _replicator: Replicator) -> None:
        await asyncio.gather(*(place.put(f"k/{n}") for n in range(3000)))
        late = place.machines["n2"]
        late.cut = True
        await place.put("a")
        late.replica.discard()
        counter = iter(range(10_000))

        async def meanwhile(node: str, name: str) -> None:
            if node == "n2" and name == "replica_add":
                number = next(counter)
                changes: list[Change] = [Put(f"k/{number * 7}", b"2"), Put(f"m/{number}", b"3")]
                place.before, before = None, place.before
                await place.committer.commit([*changes, Delete(f"k/{number * 11 + 1}")])
                place.before = before

        place.before = meanwhile
        late.cut = False
        await until(lambda: "n2" in read_record(place.master.paths).names)
        place.before = None
        assert late.content() == await everything(place)

    run(tmp_path, body)


def test_nothing_is_acknowledged_while_others_may_have_elected_a_master(tmp_path: Path) -> None:
    async def body(place: Place, replicator: Replicator) -> None:
        for machine in place.machines.values():
            machine.cut = True
        waiting = asyncio.create_task(place.put("a"))
        await until(lambda: "reaches only 1 of 3 nodes" in replicator.problem)
        with pytest.raises(StoreError, match="nothing is accepted until they answer"):
            await place.put("b")
        await asyncio.sleep(0.1)
        assert not waiting.done()
        place.machines["n3"].cut = False
        await waiting
        await until(lambda: "n3" in read_record(place.master.paths).names)
        await place.put("c")
        assert place.machines["n3"].content() == await everything(place)

    run(tmp_path, body)


def test_one_of_two_nodes_goes_on_alone(tmp_path: Path) -> None:
    async def body(place: Place, _replicator: Replicator) -> None:
        place.machines["n2"].cut = True
        await place.put("a")
        assert read_record(place.master.paths).names == ["n1"]

    run(tmp_path, body, nodes=2)


@pytest.mark.parametrize("write", [True, False])
def test_a_master_learns_that_it_was_replaced(tmp_path: Path, write: bool) -> None:
    async def body(place: Place, replicator: Replicator) -> None:
        place.machines["n3"].epoch = 4
        if write:
            with pytest.raises(MasterReplaced, match="n3 obeys epoch 4"):
                await place.put("a")
        assert "n3 obeys epoch 4" in await replicator.replaced
        with pytest.raises(StoreError, match="n3 obeys epoch 4"):
            await place.put("b")

    run(tmp_path, body)


def test_a_copy_of_another_history_is_made_anew(tmp_path: Path) -> None:
    """An older store was put back, and has come to higher revisions than the copy since."""

    async def body(place: Place, _replicator: Replicator) -> None:
        machine = place.machines["n2"]
        machine.cut = True
        await place.put("a")
        position, _serial, _run = machine.replica.state()
        other: list[tuple[int, Any]] = [
            (position.revision + 1, [("meta/run", '"elsewhere"'), ("lost", "1")])
        ]
        machine.replica.follow(position, other)
        for number in range(5):
            await place.put(f"b/{number}")
        machine.cut = False
        await until(lambda: "n2" in read_record(place.master.paths).names)
        assert machine.content() == await everything(place)

    run(tmp_path, body)


def test_a_node_that_becomes_a_candidate_gets_a_copy(tmp_path: Path) -> None:
    async def body(place: Place, _replicator: Replicator) -> None:
        nodes = dict(place.view.nodes)
        nodes["u4"] = msgspec.structs.replace(nodes["u4"], master_candidate=True)
        nodes["u2"] = msgspec.structs.replace(nodes["u2"], master_candidate=False)
        view = place.view
        place.config.view = ConfigView(
            cluster=view.cluster, nodes=nodes, nodegroups=view.nodegroups, version=view.version
        )
        for listener in place.config.listeners:
            listener()
        new = place.machines["n4"]
        await until(lambda: read_record(place.master.paths).names == ["n1", "n3", "n4"])
        await place.put("a")
        assert new.content() == await everything(place)
        assert "a" not in place.machines["n2"].content()

    run(tmp_path, body, nodes=4)


@pytest.mark.parametrize("seed", range(12))
def test_what_was_acknowledged_survives_a_fail_over_by_vote(tmp_path: Path, seed: int) -> None:
    """Nodes are cut and joined at random while keys are written; then the master is lost.

    In some runs most nodes are cut off for good before.

    Whoever a vote lets take over, of whatever majority that is still there, has every key that was
    acknowledged.
    """
    dice = random.Random(seed)
    size = dice.choice((3, 4, 5, 5, 7))
    cut_at = dice.choice((30, 45, 60))
    acknowledged: set[str] = set()
    won = 0

    async def body(place: Place, _replicator: Replicator) -> None:
        nonlocal won

        async def write(key: str) -> None:
            try:
                await place.put(key)
            except StoreError:
                return
            acknowledged.add(key)

        writers: list[asyncio.Task[None]] = []
        for number in range(60):
            writers.append(asyncio.create_task(write(f"key/{number}")))
            if number == cut_at:  # the master's side of a network that breaks in two
                for machine in dice.sample(
                    list(place.machines.values()), min(size // 2 + 1, size - 1)
                ):
                    machine.cut = True
            elif number < cut_at and dice.random() < 0.3:
                machine = dice.choice(list(place.machines.values()))
                machine.cut = not machine.cut
            await asyncio.sleep(dice.choice((0, 0, 0.002, 0.02)))
        for task in writers:
            task.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        for machine in place.machines.values():  # the master is lost
            machine.cut = True
        known = set(acknowledged)
        await asyncio.sleep(0.05)  # what is under way ends
        for _ in range(30):
            answering = dice.sample(sorted(place.machines), dice.randint(1, size - 1))
            states: dict[str, MasterState | None] = {MASTER: None}
            for name, machine in place.machines.items():
                states[name] = machine.state() if name in answering else None
            for name in answering:
                if voting.candidate_problems(states, name, MASTER) or voting.staleness(
                    states, name
                ):
                    continue
                won += 1
                assert known <= place.machines[name].content().keys(), f"{name} of {answering}"

    run(tmp_path, body, nodes=size, candidates=dice.randint(2, size))


def test_a_copy_becomes_the_store(tmp_path: Path) -> None:
    async def body(place: Place, _replicator: Replicator) -> None:
        await place.put("queue/serial", "17")
        await place.put("jobs/0000000017", '{"id":17,"ops":[]}')
        machine = place.machines["n2"]
        done, view = machine.replica.promote("n2", 5, with_jobs=True)
        assert (done.serial, done.jobs) == (2, 1)
        assert view.master is not None
        assert view.master.name == "n2"
        store = local.open_file(machine.registry, machine.paths.store_file, create=False)
        try:
            found = {entry.key: entry.value for entry in store.list("")}
            assert found["meta/epoch"] == b"5"
            assert found["queue/serial"] == b"17"
            assert take_over(store, "n2", 6).serial_no == 2, (
                "once more changes nothing but the term"
            )
        finally:
            store.close()
        assert not machine.paths.replica_file.exists()

    run(tmp_path, body)


def test_a_stale_copy_becomes_a_store_without_jobs(tmp_path: Path) -> None:
    async def body(place: Place, _replicator: Replicator) -> None:
        await place.put("queue/serial", "17")
        await place.put("jobs/0000000017", '{"id":17,"ops":[]}')
        machine = place.machines["n2"]
        done, _view = machine.replica.promote("n2", 1, with_jobs=False)
        assert done.jobs == 0
        store = local.open_file(machine.registry, machine.paths.store_file, create=False)
        try:
            assert list(store.list("jobs/")) == []
            serial = store.get("queue/serial")
            assert serial is not None
            assert int(serial.value) > 17, "no job number is used twice"
        finally:
            store.close()

    run(tmp_path, body)
