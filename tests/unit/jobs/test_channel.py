"""Requests of job processes are carried out exactly once, whatever breaks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ganeti_kernel.config import datafile
from ganeti_kernel.config.bootstrap import initial_view, store_view
from ganeti_kernel.config.changes import Draft, apply
from ganeti_kernel.config.reservations import Reservations
from ganeti_kernel.config.writer import ConfigWriter
from ganeti_kernel.errors import GenericError, JobLost, decode_error
from ganeti_kernel.jobs.channel import HEADER, Channel, Reply, Request, encode_frame
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.jobs.configuration import SharedConfig, Text, ViewReply, advance
from ganeti_kernel.jobs.journal import Begun
from ganeti_kernel.jobs.livelock import Livelocks, livelock_path, take
from ganeti_kernel.jobs.manager import JobManager
from ganeti_kernel.jobs.opcodes import decode_opcode
from ganeti_kernel.jobs.queue import JobQueue
from ganeti_kernel.jobs.server import JobServer
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.base import PluginContext
from ganeti_kernel.store.sqlite import SqliteBackend


class Line:
    """A raw connection of a job process, and the parts of the daemon it talks to."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        manager: JobManager,
        server: JobServer,
    ) -> None:
        self._reader, self._writer = reader, writer
        self.manager = manager
        self.server = server
        self.queue = manager.queue

    async def ask(self, method: str, seq: int | None = None, **args: Any) -> Any:
        self._writer.write(encode_frame(Request(method, args, seq)))
        (length,) = HEADER.unpack(await self._reader.readexactly(HEADER.size))
        reply = msgspec.json.decode(await self._reader.readexactly(length), type=Reply)
        if reply.ok:
            return reply.result
        assert reply.error is not None
        raise decode_error(*reply.error)

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def master(root: Path) -> AsyncIterator[Line]:
    """The job side of a master daemon; each use is one life of it, the store is kept."""
    paths = Paths(root)
    paths.data_dir.mkdir(parents=True, exist_ok=True)
    backend = SqliteBackend(PluginContext(paths=paths))
    fresh = not paths.store_file.exists()
    store = backend.open(f"sqlite://{paths.store_file}", create=fresh)
    if fresh:
        store_view(
            store,
            initial_view(
                cluster_name="c.example.com",
                node_name="n.example.com",
                primary_ip="127.0.0.1",
                master_ip="127.0.0.1",
                hvparams={"none": {}},
                enabled_hypervisors=["none"],
                enabled_disk_templates=[],
                now=1.0,
            ),
        )
    committer = Committer(store)
    queue = JobQueue(committer)
    await queue.load()
    keys = [entry.key for entry in store.list("reservations/")]
    config = SharedConfig(ConfigWriter(store), committer)
    manager = JobManager(Livelocks(paths), committer, queue, config, Reservations.from_keys(keys))
    server = JobServer(manager, committer)
    await server.load()
    await server.listen(paths.job_socket)
    if fresh:
        await queue.submit([[decode_opcode({"OP_ID": "OP_TEST_DELAY", "duration": 0})]])
    line = Line(*await asyncio.open_unix_connection(str(paths.job_socket)), manager, server)
    try:
        yield line
    finally:
        line.close()
        await server.close()
        await committer.close()


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("r")


def test_repeated_requests_have_one_effect_across_restarts(root: Path) -> None:
    async def body() -> None:
        lock = take(livelock_path(Paths(root), 1))
        assert lock is not None
        async with master(root) as line:
            hello = await line.ask("hello", job=1, pid=os.getpid())
            assert (hello["seq"], hello["journal"]) == (0, [])
            for _ in range(2):
                await line.ask("log", 1, op=0, type="message", message="once")
            mac = await line.ask("reserve", 2, kind="mac", scope="aa:00:00", value=None)
            entry = msgspec.to_builtins(Begun(0, 0))
            await line.ask("journal", 3, entries=[entry])
        async with master(root) as line:
            hello = await line.ask("hello", job=1, pid=os.getpid())
            assert hello["seq"] == 3
            assert hello["journal"] == [entry]
            assert await line.ask("journal", 3, entries=[entry]) is False
            with pytest.raises(GenericError, match="older than the last one"):
                await line.ask("reserve", 2, kind="mac", scope="aa:00:00", value=None)
            assert [item.value for item in line.manager.reservations.held(1)] == [mac]
            assert [item.message for item in line.queue.log_entries(1)] == ["once"]
            hello = await line.ask("hello", job=1, pid=os.getpid())
            assert hello["journal"] == [entry], "the repeated request wrote nothing"
            await line.ask("status", 4, op=0, status="success", result=7)
            assert line.queue.get(1).end_timestamp is not None
            assert line.manager.reservations.held(1) == []
        async with master(root) as line:
            with pytest.raises(GenericError, match="job 1 has ended"):
                await line.ask("hello", job=1, pid=os.getpid())
        os.close(lock)

    asyncio.run(body())


def test_configuration_changes_and_conflicts(root: Path) -> None:
    async def body() -> None:
        async with master(root) as line:
            await line.ask("hello", job=1, pid=os.getpid())
            whole = await line.ask("view", since=0, mtime=0)
            assert whole["whole"]["cluster"]["cluster_name"] == "c.example.com"
            cluster = whole["whole"]["cluster"]
            change = {
                "table": "cluster",
                "uuid": "cluster",
                "expect": cluster["serial_no"],
                "value": {**cluster, "tags": ["new"]},
            }
            serial = await line.ask("config", 1, changes=[change])
            assert serial == whole["serial_no"] + 1
            assert await line.ask("config", 1, changes=[change]) == serial, "done once"
            assert await line.ask("config", 2, changes=[change]) is None, "a conflict"
            delta = await line.ask("view", since=whole["serial_no"], mtime=whole["mtime"])
            assert [item[0] for item in delta["changed"]] == ["cluster"]
            assert line.manager.config.view.cluster.tags == ["new"]

    asyncio.run(body())


def test_bad_requests_end_in_an_error_that_names_them(root: Path) -> None:
    async def body() -> None:
        async with master(root) as line:
            with pytest.raises(GenericError, match="say hello first"):
                await line.ask("view", since=0, mtime=0)
            with pytest.raises(GenericError, match="Job 99 not found"):
                await line.ask("hello", job=99, pid=1)
            await line.ask("hello", job=1, pid=os.getpid())
            for method, args, text in (
                ("nonsense", {}, "nonsense"),
                ("log", {"op": 0, "type": "shout", "message": ""}, "shout"),
                ("status", {"op": 0, "status": "bored"}, "bored"),
                ("status", {"op": 9, "status": "running"}, "status"),
                ("config", {"changes": 7}, "config"),
                ("reserve", {"kind": "soul", "scope": "", "value": None}, "soul"),
                ("journal", {"entries": [{"kind": "?"}]}, "journal"),
                ("submit", {"jobs": [[{"OP_ID": "OP_NOSUCH"}]]}, "OP_NOSUCH"),
            ):
                with pytest.raises(GenericError, match=text):
                    await line.ask(method, 1, **args)
            assert await line.ask("log", 1, op=0, type="message", message="still here") is None

    asyncio.run(body())


def test_view_follows_changes(root: Path) -> None:
    """A reader that applies differences has what a reader of the whole has."""

    async def body() -> None:
        async with master(root) as line:
            config = line.manager.config
            reader = advance(None, recoded(config.since(0, 0)))
            for number in range(3):
                cluster = msgspec.structs.replace(config.view.cluster, tags=[f"t{number}"])
                draft = Draft(config.view)
                draft.put(cluster)
                await config.change(draft.changes())
            reader = advance(reader, recoded(config.since(reader.serial_no, reader.mtime)))
            fresh = advance(None, recoded(config.since(0, 0)))
            assert reader.cluster == fresh.cluster == config.view.cluster
            assert reader.serial_no == config.view.serial_no
            stranger = config.since(reader.serial_no, reader.mtime + 1)
            assert advance(None, recoded(stranger)).cluster == fresh.cluster, "gets the whole"

    asyncio.run(body())


def test_text_is_config_data() -> None:
    """Byte for byte what the data file's writer gives, on a recorded configuration and after."""
    text = Text()
    folder = Path(__file__).parents[2] / "data" / "upstream" / "config"
    view = datafile.parse((folder / "config.data.rich1.json").read_bytes())
    plain = apply(view, {})  # without the file's own text
    assert text.of(plain) == datafile.dump(plain)
    uuid, instance = next(iter(plain.instances.items()))
    changed = apply(
        plain, {("instances", uuid): msgspec.structs.replace(instance, os="x")}, serial_no=99
    )
    assert text.of(changed) == datafile.dump(changed)
    removed = apply(changed, {("instances", uuid): None})
    assert text.of(removed) == text.of(removed) == datafile.dump(removed)


def recoded(reply: ViewReply) -> ViewReply:
    """Through the wire."""
    return msgspec.json.decode(msgspec.json.encode(reply), type=ViewReply)


def test_patience_ends(tmp_path: Path) -> None:
    naps: list[float] = []
    channel = Channel(tmp_path / "nothing", 7, patience=-1, sleep=naps.append)
    with pytest.raises(GenericError, match="job 7 has no master daemon to talk to"):
        channel.hello()
    assert naps == []


def test_a_job_that_has_ended_does_not_wait_for_a_master_daemon(tmp_path: Path) -> None:
    naps: list[float] = []
    ends = iter([False, False, True])
    channel = Channel(tmp_path / "nothing", 7, sleep=naps.append, ended=lambda: next(ends))
    with pytest.raises(JobLost, match="job 7 has ended"):
        channel.call("status", op=0, status="success", result=None)
    assert len(naps) == 2


def test_a_server_that_closes_answers_what_it_has_begun(root: Path) -> None:
    """The last status is committed, its reply is under way: the process hears of it."""

    async def body() -> None:
        lock = take(livelock_path(Paths(root), 1))
        assert lock is not None
        begun, go = asyncio.Event(), asyncio.Event()

        async def settled(_serial: int) -> None:
            begun.set()
            await go.wait()

        async with master(root) as line:
            line.server.settled = settled
            await line.ask("hello", job=1, pid=os.getpid())
            view = await line.ask("view", since=0, mtime=0.0)
            assert view
            session = line.server._sessions[1]
            session.config_serial = 1
            last = asyncio.create_task(line.ask("status", 1, op=0, status="success", result=7))
            await begun.wait()
            closing = asyncio.create_task(line.server.close())
            await asyncio.sleep(0)
            assert not closing.done()
            go.set()
            assert await last is False
            await closing
            assert line.queue.get(1).end_timestamp is not None
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await line.ask("log", 2, op=0, type="message", message="too late")
        os.close(lock)

    asyncio.run(body())


def test_a_server_that_closes_does_not_wait_for_locks(root: Path) -> None:
    async def body() -> None:
        lock = take(livelock_path(Paths(root), 1))
        assert lock is not None
        async with master(root) as line:
            await line.ask("hello", job=1, pid=os.getpid())
            never = asyncio.Event()

            async def acquire(*_args: Any) -> Any:
                await never.wait()

            line.manager.grants.acquire = acquire  # type: ignore[assignment,method-assign] # hangs
            waiting = asyncio.create_task(line.ask("acquire", op=0, locks=[]))
            await asyncio.sleep(0.05)
            await line.server.close()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await waiting
        os.close(lock)

    asyncio.run(body())
