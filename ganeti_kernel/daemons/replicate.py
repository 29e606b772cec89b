"""Every committed transaction to every master candidate, before it is acknowledged.

A candidate that follows is *in step*: nothing is acknowledged that it does not have. One that fails
is dropped only after a record of who is still in step was written to at least half of the nodes;
until then nothing is acknowledged. Whoever becomes master needs the votes of more than half of the
nodes, so it hears of the newest record, and only a candidate on it can become master by vote:
what was acknowledged survives.

The same record, repeated now and then, tells this master when it was replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec

from ganeti_kernel.config.keys import META_RUN
from ganeti_kernel.config.replica import (
    Batch,
    Changes,
    Position,
    Record,
    batches,
    page,
    read_record,
    read_run,
    write_record,
)
from ganeti_kernel.config.ssconf import is_candidate
from ganeti_kernel.errors import GenericError, MasterReplaced, RemoteError, StoreError
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.jobs.configuration import SharedConfig
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.voting import cut_off
from ganeti_kernel.specs.store import Put, Store

log = logging.getLogger(__name__)

FOLLOW_SECONDS: Final = 5.0
"""How long a candidate in step may take for some transactions before it is dropped."""

COPY_SECONDS: Final = 60.0
RECORD_SECONDS: Final = 3.0
HEARTBEAT: Final = 10.0
"""Seconds between two records when nothing changes: how soon a master learns it was replaced."""

RETRY_SECONDS: Final = (0.25, 30.0)
FIRST_TRY: Final = 15.0
"""Seconds at the start in which candidates are brought in step, before jobs are taken up."""

PART_BYTES: Final = 4 << 20
PART_KEYS: Final = 500
FLUSH_SECONDS: Final = 3.0


class Nodes(Protocol):
    """What is needed of the node client."""

    async def call(self, node: Node, name: str, args: Mapping[str, Any], timeout: float) -> Any: ...

    async def call_many(
        self, nodes: list[Node], name: str, args: Mapping[str, Any], timeout: float
    ) -> Mapping[str, Any]: ...


@dataclass(slots=True)
class Follower:
    """One candidate. `healthy`: it has everything now; `in_step`: acknowledgements wait for it."""

    node: Node
    position: int = 0
    healthy: bool = False
    in_step: bool = False
    problem: str = ""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Replicator:
    """Keeps the candidates' copies. `start` it before the first commit, `stop` it after the last.

    `voting`: whether a master that hears of less than half of the nodes waits for them.
    """

    def __init__(
        self,
        paths: Paths,
        committer: Committer,
        config: SharedConfig,
        nodes: Nodes,
        epoch: int,
        *,
        voting: bool = True,
    ) -> None:
        self._paths = paths
        self._committer = committer
        self._config = config
        self._nodes = nodes
        self._epoch = epoch
        self._voting = voting
        self._newest = 0
        self._runs: set[str] = set()
        self._followers: dict[str, Follower] = {}
        self._moved = asyncio.Condition()
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._record = Record()
        self._stopping = False
        self._silent: str = ""
        self.joined: Callable[[], object] = lambda: None
        """Called whenever a candidate has come in step: it answers again."""
        self.replaced: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def problem(self) -> str:
        """Why nothing can be acknowledged now, "" when it can."""
        if self.replaced.done():
            return self.replaced.result()
        return self._silent

    async def start(self) -> None:
        """Bring the candidates in step that answer; from then on commits wait for them."""
        await self._begin_run()
        self._newest = await self._revision()
        old = read_record(self._paths)
        self._record = Record(self._epoch, old.sequence if old.epoch == self._epoch else 0)
        self._refresh()
        self._config.listeners.append(self._refresh)
        waiting = [asyncio.create_task(item.tried.wait()) for item in self._followers.values()]
        if waiting:
            _done, late = await asyncio.wait(waiting, timeout=FIRST_TRY)
            for task in late:
                task.cancel()
        await self._tell()
        if self.replaced.done():
            raise MasterReplaced(self.replaced.result())
        self._committer.guard = lambda: self.problem
        self._committer.confirm = self.reached
        self._tasks.append(asyncio.create_task(self._keep_record()))

    async def _begin_run(self) -> None:
        run = secrets.token_hex(8)
        self._runs = {await self._committer.read(read_run)}
        try:
            await self._committer.commit([Put(META_RUN, msgspec.json.encode(run))])
        except StoreError as error:  # a full disk keeps no master from starting
            log.error("cannot note that the master daemon runs anew: %s", error)
        else:
            self._runs.add(run)

    async def reached(self, revision: int) -> None:
        """Wait until every candidate in step has a revision. Raises MasterReplaced, StoreError."""
        self._newest = max(self._newest, revision)
        for follower in self._followers.values():
            follower.wake.set()
        if not self._holds(revision):
            async with self._moved:
                await self._moved.wait_for(lambda: self._holds(revision))
        if self.replaced.done():
            raise MasterReplaced(self.replaced.result())
        if self._stopping and not self._complete(revision):
            raise StoreError("the master daemon stops; whether the change lasts is not known yet")

    async def stop(self) -> None:
        """Wait a little for the candidates in step, then let go."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS), self._moved:
                await self._moved.wait_for(lambda: self._holds(self._newest))
        self._stopping = True
        await self._notify()
        tasks = [item.task for item in self._followers.values() if item.task] + self._tasks
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _complete(self, revision: int) -> bool:
        return all(item.position >= revision for item in self._followers.values() if item.in_step)

    def _holds(self, revision: int) -> bool:
        return self._stopping or self.replaced.done() or self._complete(revision)

    async def _notify(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def _replace(self, error: MasterReplaced) -> None:
        if not self.replaced.done():
            self.replaced.set_result(str(error))

    # -- who follows ---------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Have a follower for each candidate; one that is none any more is let go by the record."""
        wanted = candidates(self._config.view)
        for uuid, follower in self._followers.items():
            if uuid not in wanted and follower.task is not None:
                follower.task.cancel()
                follower.healthy = False
                self._changed.set()
        for uuid, node in wanted.items():
            known = self._followers.get(uuid)
            if known is not None and not (known.task is None or known.task.done()):
                known.node = node
                continue
            follower = self._followers[uuid] = known or Follower(node)
            follower.node = node
            follower.task = asyncio.create_task(self._follow(follower))

    async def _follow(self, follower: Follower) -> None:
        pause, longest = RETRY_SECONDS
        while True:
            try:
                await self._catch_up(follower)
                pause = RETRY_SECONDS[0]
                await self._go_on(follower)
            except MasterReplaced as error:
                self._replace(error)
                follower.tried.set()
                await self._notify()
                return
            except GenericError as error:
                if str(error) != follower.problem:
                    log.warning("candidate %s is left behind: %s", follower.node.name, error)
                follower.problem = str(error)
            follower.healthy = False
            follower.tried.set()
            self._changed.set()
            await asyncio.sleep(pause)
            pause = min(longest, pause * 2)

    async def _catch_up(self, follower: Follower) -> None:
        state = await self._call(follower, "master_state", {})
        at = state.position
        newest = await self._revision()
        usable = (
            at.epoch == self._epoch
            and at.revision <= newest
            and state.run in self._runs
            and not state.problem
        )
        if usable:
            try:
                follower.position = at.revision
                while follower.position < self._newest:
                    await self._send(follower)
            except _Behind:
                usable = False
        if not usable:
            await self._copy(follower)
        follower.healthy = follower.in_step = True
        if follower.problem or not follower.tried.is_set():
            log.info("candidate %s is in step", follower.node.name)
            self.joined()
        follower.problem = ""
        follower.tried.set()
        self._changed.set()
        await self._notify()

    async def _go_on(self, follower: Follower) -> None:
        while True:
            while follower.position < self._newest:
                await self._send(follower)
                await self._notify()
            await follower.wake.wait()
            follower.wake.clear()

    async def _send(self, follower: Follower) -> None:
        """Send what comes next. Raises _Behind when the copy cannot go on from where it is."""
        after = follower.position
        parts = await self._events(after)
        if not parts:
            follower.position = self._newest
            return
        last = parts[-1][0]
        args = {"after": Position(self._epoch, after), "transactions": parts}
        at = await self._call(follower, "replica_follow", args)
        if at != Position(self._epoch, last):
            raise _Behind("its copy is not where it was; it is made anew")
        follower.position = last

    async def _events(self, after: int) -> list[Batch]:
        def read(store: Store) -> list[Batch]:
            return batches(store.watch("", after), PART_BYTES)

        try:
            return await self._committer.read(read)
        except StoreError as error:  # so old that the store does not know any more
            raise _Behind(str(error)) from None

    async def _copy(self, follower: Follower) -> None:
        """Send everything: key by key while it changes, then what has changed meanwhile."""
        run = secrets.token_hex(8)
        position = self._newest
        log.info("copying the state to candidate %s", follower.node.name)
        await self._call(follower, "replica_begin", {"run": run}, COPY_SECONDS)
        after: str | None = ""
        while after is not None:
            start = after

            def read(store: Store, start: str = start) -> tuple[Changes, str | None]:
                return page(store, start, PART_KEYS, PART_BYTES)

            changes, after = await self._committer.read(read)
            args = {"run": run, "changes": changes}
            await self._call(follower, "replica_add", args, COPY_SECONDS)
        # What was read may be newer than `position`: the copy is whole again at this revision.
        whole = await self._revision()
        while True:
            parts = await self._events(position)
            position = parts[-1][0] if parts else position
            if position >= whole:
                break
            for _revision, changes in parts:
                args = {"run": run, "changes": changes}
                await self._call(follower, "replica_add", args, COPY_SECONDS)
        done = {
            "run": run,
            "transactions": parts,
            "position": Position(self._epoch, position),
        }
        await self._call(follower, "replica_finish", done, COPY_SECONDS)
        follower.position = position
        while follower.position < self._newest:
            await self._send(follower)

    async def _revision(self) -> int:
        return await self._committer.read(lambda store: store.revision())

    async def _call(
        self, follower: Follower, name: str, args: Mapping[str, Any], timeout: float | None = None
    ) -> Any:
        seconds = timeout or FOLLOW_SECONDS
        try:
            async with asyncio.timeout(seconds):
                return await self._nodes.call(follower.node, name, args, seconds)
        except TimeoutError:
            raise RemoteError(f"{name}: no answer within {seconds:g} seconds") from None

    # -- the record ----------------------------------------------------------------------------

    async def _keep_record(self) -> None:
        while not self.replaced.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS[0] if self._silent else HEARTBEAT):
                    await self._changed.wait()
            self._changed.clear()
            await self._tell()

    async def _tell(self) -> None:
        """Write to the nodes who is in step, then wait no more for those that are not."""
        view = self._config.view
        master = view.nodes[view.cluster.master_node].name
        healthy = {uuid: item for uuid, item in self._followers.items() if item.healthy}
        names = sorted([master, *(item.node.name for item in healthy.values())])
        if names != self._record.names:
            self._record = Record(self._epoch, self._record.sequence + 1, names)
        try:
            await asyncio.to_thread(write_record, self._paths, self._record)
        except OSError as error:
            self._silent = f"cannot write {error.filename}: {error.strerror}"
            log.error("%s; nothing is acknowledged until that works", self._silent)
            return
        others = [
            node
            for uuid, node in view.nodes.items()
            if not node.offline and uuid != view.cluster.master_node
        ]
        answers = await self._nodes.call_many(
            others, "replicas_write", {"record": self._record}, RECORD_SECONDS
        )
        for answer in answers.values():
            if isinstance(answer.error, MasterReplaced):
                self._replace(answer.error)
        good = 1 + sum(answer.ok for answer in answers.values())
        self._judge(good, 1 + len(others))
        if not self._silent:
            for uuid, follower in list(self._followers.items()):
                if uuid in healthy or follower.healthy:
                    continue
                follower.in_step = False
                if follower.task is None or follower.task.done():
                    del self._followers[uuid]
        await self._notify()

    def _judge(self, reached: int, nodes: int) -> None:
        before = self._silent
        self._silent = ""
        if self._voting and cut_off(reached, nodes):
            self._silent = (
                f"this master reaches only {reached} of {nodes} nodes; the others may have another "
                "master, so nothing is accepted until they answer (if they never will: "
                "`daemon-util stop ganeti-masterd`, then `ganeti-masterd --no-voting --yes-do-it`)"
            )
        if self._silent and not before:
            log.error("%s", self._silent)
        elif before and not self._silent:
            log.info("enough nodes answer again (%d of %d)", reached, nodes)


class _Behind(RemoteError):
    """A copy cannot go on from where it is: it must be made anew."""


def candidates(view: ConfigView) -> dict[str, Node]:
    """The nodes that keep a copy: UUID -> node."""
    return {
        uuid: node
        for uuid, node in view.nodes.items()
        if is_candidate(view, uuid) and not node.offline and uuid != view.cluster.master_node
    }
