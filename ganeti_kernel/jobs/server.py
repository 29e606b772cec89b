"""The master daemon's end of the job socket: requests of job processes, each done exactly once.

A numbered request and its reply are written to the store together with its effect; when a job
repeats the request after a broken line it gets the stored reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from ganeti_kernel.config.changes import Change as ConfigChange
from ganeti_kernel.config.changes import ConfigConflict
from ganeti_kernel.config.history import HISTORY_PREFIX, history_key
from ganeti_kernel.config.keys import ACK_PREFIX, ack_key, journal_key, journal_prefix
from ganeti_kernel.errors import (
    GenericError,
    JobLost,
    OpExecError,
    ParameterError,
    StoreError,
    encode_error,
)
from ganeti_kernel.jobs.channel import HEADER, MAX_REQUEST, Reply, Request, encode_frame
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.jobs.job import (
    CANCELING,
    FINAL,
    LOG_TYPES,
    RUNNING,
    SUCCESS,
    Job,
    end_job,
    set_status,
)
from ganeti_kernel.jobs.journal import Entry, decode_entry, encode_entry
from ganeti_kernel.jobs.manager import JobManager
from ganeti_kernel.jobs.opcodes import decode_opcode
from ganeti_kernel.jobs.operation import Lock, Pick
from ganeti_kernel.jobs.queue import check_result
from ganeti_kernel.jobs.running import Running
from ganeti_kernel.jobs.sockets import short_address
from ganeti_kernel.specs.store import Change, Put, Store

log = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 5.0
"""How long a closing server waits for the replies to requests that it is carrying out."""

STATUSES: Final = FINAL | {RUNNING}
"""What a job process can say of its opcodes."""


class Ack(msgspec.Struct, frozen=True):
    """The last numbered request of a job that was carried out, and its reply."""

    seq: int
    result: Any = None


@dataclass(slots=True)
class Session:
    """What the server keeps of one job while it runs."""

    job_id: int
    ack: Ack = field(default_factory=lambda: Ack(0))
    journal: list[Entry] = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    config_serial: int = 0
    """The last configuration this job made."""

    def acked(self, seq: int | None, result: Any = None) -> Change:
        """The store's record that request `seq` was done; for the effect's transaction."""
        assert seq is not None
        return Put(ack_key(self.job_id), msgspec.json.encode(Ack(seq, result)))


Handler = Callable[["Session", int | None, Mapping[str, Any]], Awaitable[Any]]


class JobServer:
    """Serves the job socket."""

    def __init__(self, manager: JobManager, committer: Committer, epoch: int = 0) -> None:
        """`epoch`: the master's term, for node calls of job processes."""
        self._epoch = epoch
        self.settled: Callable[[int], Awaitable[None]] = _at_once
        self.everywhere: Callable[[], Awaitable[dict[str, str]]] = _nowhere
        self._manager = manager
        self._queue = manager.queue
        self._config = manager.config
        self._committer = committer
        self._sessions: dict[int, Session] = {}
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._unanswered: set[asyncio.Future[None]] = set()
        self._closing = False
        self._numbered: dict[str, Handler] = {
            "config": self._change_config,
            "journal": self._journal,
            "log": self._log,
            "narrow": self._narrow,
            "release": self._release,
            "reserve": self._reserve,
            "status": self._status,
            "submit": self._submit,
        }
        manager.ended = lambda job_id: self._sessions.pop(job_id, None)

    async def load(self) -> None:
        """Read acknowledgements and journals of the jobs that have not ended."""
        self._sessions = await self._committer.read(_load_sessions)

    async def listen(self, path: Path) -> None:
        """Serve `path`; only the daemon's own user may connect."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with short_address(path) as address:
            self._server = await asyncio.start_unix_server(self._serve, address)
        path.chmod(0o600)

    async def close(self) -> None:
        """Answer what was begun, begin nothing more, then hang up.

        A job whose last request was carried out must hear so: it has nobody else to ask.
        """
        self._closing = True
        if self._server is not None:
            self._server.close()
            if self._unanswered:
                await asyncio.wait(self._unanswered, timeout=CLOSE_SECONDS)
            for writer in list(self._connections):
                writer.close()
            await self._server.wait_closed()

    # -- one connection ------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        entry: Running | None = None
        try:
            while True:
                request = await _read_request(reader)
                if self._closing:
                    break  # it will be repeated to the next master daemon
                with self._to_answer(request):
                    if request.method == "hello":
                        entry, reply = await self.hello(request.args)
                    elif entry is None:
                        reply = _failure(ParameterError("say hello first"))
                    else:
                        reply = await self.answer(entry.job_id, request)
                    writer.write(encode_frame(reply))
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the process died, or ended in order
        except (ValueError, LookupError, TypeError) as error:
            log.error("bad request on the job socket: %s", error)
        finally:
            self._connections.discard(writer)
            if entry is not None:
                self._manager.running.detach(entry)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @contextlib.contextmanager
    def _to_answer(self, request: Request) -> Iterator[None]:
        """While this lasts the server does not close, if the request changes something."""
        if request.seq is None:
            yield
            return
        answered = asyncio.get_running_loop().create_future()
        self._unanswered.add(answered)
        try:
            yield
        finally:
            self._unanswered.discard(answered)
            answered.set_result(None)

    async def hello(self, args: Mapping[str, Any]) -> tuple[Running | None, Reply]:
        """Attach a process to its job; the reply has what the process must know."""
        job_id, pid = int(args["job"]), int(args["pid"])
        try:
            entry = self._manager.attach(job_id, pid)
        except GenericError as error:
            return None, _failure(error)
        session = self._sessions.setdefault(job_id, Session(job_id))
        livelock = f"job_{job_id}"
        try:
            async with session.turn:
                job = await self._queue.update(
                    job_id,
                    lambda old: msgspec.structs.replace(old, process_id=pid, livelock=livelock),
                )
        except GenericError as error:
            self._manager.running.detach(entry)
            return None, _failure(error)
        secrets = self._queue.secrets.get(job_id, {})
        return entry, Reply(
            True,
            {
                "job": job,
                "epoch": self._epoch,
                "seq": session.ack.seq,
                "journal": session.journal,
                "secrets": [[index, fields] for index, fields in secrets.items()],
            },
        )

    async def answer(self, job_id: int, request: Request) -> Reply:
        """Carry out a request of a job's process."""
        try:
            return Reply(True, await self._call(job_id, request))
        except GenericError as error:
            return _failure(error)
        except (ValueError, LookupError, TypeError) as error:
            return _failure(ParameterError(f"request {request.method}: {error!r}"))

    async def _call(self, job_id: int, request: Request) -> Any:
        args = request.args
        if request.method == "acquire":
            locks = msgspec.convert(args["locks"], list[Lock])
            pick = msgspec.convert(args.get("pick"), Pick | None)
            return await self._manager.grants.acquire(job_id, int(args["op"]), locks, pick)
        if request.method == "view":
            return self._config.since(int(args["since"]), float(args["mtime"]))
        if request.method == "redistribute":
            return await self.everywhere()
        if request.method == "history":
            since = history_key(int(args["since"]))
            return await self._committer.read(lambda store: _history(store, since))
        handler = self._numbered.get(request.method)
        if handler is None or request.seq is None:
            raise ParameterError(f"there is no request {request.method!r} of this form")
        session = self._sessions.get(job_id)
        if session is None:
            raise JobLost(f"job {job_id} has ended")
        async with session.turn:
            if request.seq == session.ack.seq:
                return session.ack.result
            if request.seq < session.ack.seq:
                raise ParameterError(f"request {request.seq} is older than the last one")
            result = await handler(session, request.seq, args)
            session.ack = Ack(request.seq, result)
            return result

    # -- requests ------------------------------------------------------------------------------

    async def _change_config(
        self, session: Session, seq: int | None, args: Mapping[str, Any]
    ) -> int | None:
        """Returns the new serial number, or None when somebody else changed an object first."""
        changes = msgspec.convert(args["changes"], list[ConfigChange])
        try:
            session.config_serial = await self._config.change(
                changes, session.job_id, lambda serial: [session.acked(seq, serial)]
            )
        except ConfigConflict:
            return None
        return session.config_serial

    async def _reserve(self, session: Session, seq: int | None, args: Mapping[str, Any]) -> str:
        reservations = self._manager.reservations
        before = set(reservations.held(session.job_id))
        item = reservations.reserve(
            self._config.view, session.job_id, args["kind"], args["scope"], args["value"]
        )
        try:
            await self._committer.commit([Put(item.key, b"{}"), session.acked(seq, item.value)])
        except StoreError:
            if item not in before:
                reservations.release(item)
            raise
        return item.value

    async def _journal(self, session: Session, seq: int | None, args: Mapping[str, Any]) -> bool:
        """Returns whether somebody wants the job cancelled."""
        entries = [decode_entry(msgspec.json.encode(item)) for item in args["entries"]]
        first = len(session.journal)
        job = self._queue.get(session.job_id)
        puts: list[Change] = [
            Put(journal_key(session.job_id, first + number), encode_entry(entry))
            for number, entry in enumerate(entries)
        ]
        await self._committer.commit([*puts, session.acked(seq, job.cancel)])
        session.journal += entries
        return job.cancel

    async def _log(self, session: Session, seq: int | None, args: Mapping[str, Any]) -> None:
        kind = str(args["type"])
        if kind not in LOG_TYPES:
            raise ParameterError(f"{kind!r} is not a type of log entry")
        await self._queue.append_log(
            session.job_id, int(args["op"]), kind, args["message"], [session.acked(seq)]
        )

    async def _status(self, session: Session, seq: int | None, args: Mapping[str, Any]) -> bool:
        """Returns whether somebody wants the job cancelled.

        A final status frees the locks, that of the last opcode everything; an opcode that did not
        succeed ends those behind it.
        """
        index, status = int(args["op"]), str(args["status"])
        if status not in STATUSES:
            raise ParameterError(f"{status!r} is not a status of a running opcode")
        result = check_result(args.get("result"))
        job_id = session.job_id
        cancel = self._queue.get(job_id).cancel
        if status in FINAL and session.config_serial:
            # who waits for the job may look into this node's files next
            await self.settled(session.config_serial)

        def change(job: Job) -> Job:
            if status == RUNNING and job.ops[index].status == CANCELING:
                return job
            job = set_status(job, index, status, result)
            if status not in FINAL:
                return job
            job = msgspec.structs.replace(job, held=[])
            if status == SUCCESS:
                return job
            return end_job(job, status, OpExecError("Preceding opcode failed"))

        if change(self._queue.get(job_id)).current is None:
            await self._manager.ending.end(job_id, change)
            return cancel
        await self._queue.update(job_id, change, [session.acked(seq, cancel)])
        if status in FINAL:
            self._manager.grants.free(job_id)
        return cancel

    async def _release(self, session: Session, seq: int | None, args: Mapping[str, Any]) -> None:
        await self._manager.grants.release(session.job_id, [session.acked(seq)])

    async def _narrow(self, session: Session, seq: int | None, args: Mapping[str, Any]) -> None:
        locks = msgspec.convert(args["locks"], list[Lock])
        await self._manager.grants.narrow(session.job_id, locks, [session.acked(seq)])

    async def _submit(
        self, session: Session, seq: int | None, args: Mapping[str, Any]
    ) -> list[tuple[bool, int | str]]:
        jobs = [[decode_opcode(op) for op in ops] for ops in args["jobs"]]
        return await self._queue.submit(
            jobs, even_drained=True, extra=lambda answer: session.acked(seq, answer)
        )


async def _at_once(_serial: int) -> None:
    return None


def _history(store: Store, since: str) -> list[msgspec.Raw]:
    """Entries of the history after a key."""
    return [msgspec.Raw(item.value) for item in store.list(HISTORY_PREFIX) if item.key > since]


async def _nowhere() -> dict[str, str]:
    return {}


def _failure(error: GenericError) -> Reply:
    return Reply(False, None, encode_error(error))


async def _read_request(reader: asyncio.StreamReader) -> Request:
    (length,) = HEADER.unpack(await reader.readexactly(HEADER.size))
    if length > MAX_REQUEST:
        raise ValueError(f"request of {length} bytes")
    return msgspec.json.decode(await reader.readexactly(length), type=Request)


def _load_sessions(store: Store) -> dict[int, Session]:
    out: dict[int, Session] = {}
    for entry in store.list(ACK_PREFIX):
        job_id = int(entry.key.removeprefix(ACK_PREFIX))
        session = out[job_id] = Session(job_id)
        session.ack = msgspec.json.decode(entry.value, type=Ack)
        session.journal = [decode_entry(item.value) for item in store.list(journal_prefix(job_id))]
    return out
