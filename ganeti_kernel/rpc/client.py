"""The master's side of node calls, for an event loop. `rpc.sync` has the same for job processes."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from ganeti_kernel.constants import NODED_PORT, RPC_CONNECT_TIMEOUT, RPC_FAN_OUT
from ganeti_kernel.errors import GenericError, RemoteError
from ganeti_kernel.objects.cluster import Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc import trust, wire
from ganeti_kernel.rpc.calls import call_of

if TYPE_CHECKING:
    import aiohttp

GRACE: Final = 5.0
"""Seconds beyond a call's deadline that the node has to say that it was missed."""


SLOW_SECONDS: Final = 0.3
"""After this time a call is only waiting, and costs nothing but a connection."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One node's answer to a call to many."""

    ok: bool
    value: Any = None
    error: GenericError | None = None


@dataclass(slots=True)
class _Line:
    """A session with one identity, and how many calls use it."""

    session: aiohttp.ClientSession
    version: object
    calls: int = 0


class NodeClient:
    """Calls nodes over mutual TLS; keeps connections open and uses them again.

    `epoch` is the master's term; it may be set anew at any time. Use it within one event loop
    and `close` it (or use it as an async context manager).
    """

    def __init__(self, paths: Paths, epoch: int = 0, *, port: int = NODED_PORT) -> None:
        self.epoch = epoch
        self._paths = paths
        self._port = port
        self._line: _Line | None = None
        self._fan_out = asyncio.Semaphore(RPC_FAN_OUT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        line, self._line = self._line, None
        if line is not None:
            await _close(line)

    async def call(
        self,
        node: Node,
        name: str,
        args: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Call one node and return the result typed as calls.py says.

        `args` may hold model objects; `timeout` (seconds) replaces the table's. An error that the
        node raised is raised here as it was; everything else is a RemoteError that names node and
        call: offline node, no connection, no answer in time, an answer that is not understood.
        """
        call = call_of(name)
        deadline = call.timeout if timeout is None else timeout
        if node.offline:
            raise wire.remote(node.name, name, RemoteError("the node is marked offline"))
        try:
            body = await self._exchange(node, name, wire.encode_arguments(args or {}), deadline)
            return wire.decode_reply(body, call.result)
        except RemoteError as error:
            raise wire.remote(node.name, name, error) from None

    async def call_many(
        self,
        nodes: Iterable[Node],
        name: str,
        args: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Result]:
        """Call many nodes, at most RPC_FAN_OUT at once; returns node UUID -> Result.

        One that has not answered after SLOW_SECONDS is waited for, but does not count any more:
        slow and dead nodes do not keep the others from being asked.
        """

        return await self.call_each([(node, args or {}) for node in nodes], name, timeout)

    async def call_each(
        self,
        questions: Iterable[tuple[Node, Mapping[str, Any]]],
        name: str,
        timeout: float | None = None,
    ) -> dict[str, Result]:
        """Like `call_many` with arguments of its own for each node."""

        async def result(node: Node, args: Mapping[str, Any]) -> Result:
            try:
                return Result(ok=True, value=await self.call(node, name, args, timeout))
            except GenericError as error:
                return Result(ok=False, error=error)

        async def one(node: Node, args: Mapping[str, Any]) -> Result:
            async with asyncio.TaskGroup() as group:
                async with self._fan_out:
                    answer = group.create_task(result(node, args))
                    await asyncio.wait([answer], timeout=SLOW_SECONDS)
                return await answer

        pairs = list(questions)
        results = await asyncio.gather(*(one(node, args) for node, args in pairs))
        return {node.uuid: result for (node, _), result in zip(pairs, results, strict=True)}

    # -- transport -------------------------------------------------------------------------------

    async def _exchange(self, node: Node, name: str, body: bytes, deadline: float) -> bytes:
        """Post once more when a kept connection turns out to be closed: calls are idempotent."""
        import aiohttp

        headers = {
            wire.EPOCH_HEADER: str(self.epoch),
            wire.DEADLINE_HEADER: f"{deadline:g}",
            "Content-Type": "application/json",
        }
        not_sent = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
        sent = False
        line = await self._open()
        line.calls += 1
        try:
            async with asyncio.timeout(deadline + GRACE):
                try:
                    return await self._post(line.session, node, name, body, headers)
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                    if isinstance(error, not_sent):
                        raise
                    sent = True
                    return await self._post(line.session, node, name, body, headers)
        except aiohttp.ClientError as error:  # before TimeoutError: some are both
            sent = sent or not isinstance(error, not_sent)
            failure = RemoteError(self._explain(node, error))
        except TimeoutError:
            sent, failure = True, RemoteError(f"no answer within {deadline:g} seconds")
        except (OSError, ValueError) as error:
            sent, failure = True, RemoteError(self._explain(node, error))
        finally:
            line.calls -= 1
            if line is not self._line and not line.calls:
                await _close(line)
        failure.uncertain = sent
        raise failure

    async def _post(
        self,
        session: aiohttp.ClientSession,
        node: Node,
        name: str,
        body: bytes,
        headers: Mapping[str, str],
    ) -> bytes:
        host = f"[{node.primary_ip}]" if ":" in node.primary_ip else node.primary_ip
        async with session.post(
            f"https://{host}:{self._port}/{name}",
            data=body,
            headers=headers,
            server_hostname=node.name,
            allow_redirects=False,
        ) as response:
            return await _read(response.content)

    async def _open(self) -> _Line:
        """The session; a new one when certificates were replaced. Calls under way keep theirs."""
        import aiohttp

        version = trust.identity_version(self._paths)
        old = self._line
        if old is None or old.version != version:
            connector = aiohttp.TCPConnector(
                ssl=trust.client_context(self._paths), limit=0, keepalive_timeout=60
            )
            session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, connect=RPC_CONNECT_TIMEOUT),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
            line = self._line = _Line(session, version)
            if old is not None and not old.calls:
                await _close(old)
            return line
        return old

    def _explain(self, node: Node, error: Exception) -> str:
        import aiohttp

        where = f"{node.primary_ip} port {self._port}"
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            why = trust.describe_tls(error.certificate_error)
            return f"the machine at {where} does not prove to be this node: {why}"
        if isinstance(error, aiohttp.ClientConnectorSSLError):
            return f"no TLS connection to {where}: {trust.describe_tls(error.os_error)}"
        if isinstance(error, aiohttp.ClientConnectorError):
            why = os.strerror(error.os_error.errno) if error.os_error.errno else str(error)
            return f"cannot connect to {where}: {why}; is ganeti-noded running there?"
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"cannot connect to {where} within {RPC_CONNECT_TIMEOUT} seconds"
        # In TLS 1.3 a client hears of a refused certificate only when it has sent its request: as
        # an end or a reset, whichever its kernel saw first.
        reset = isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE)
        if reset or isinstance(error, aiohttp.ServerDisconnectedError):
            return (
                f"{where} closed the connection without an answer; if it does not accept this "
                "machine's certificate, the node daemon's log there says so"
            )
        return f"the connection to {where} broke: {trust.describe_tls(error)}"


async def _close(line: _Line) -> None:
    await line.session.close()
    for _ in range(3):  # TLS transports need some rounds of the loop to let go
        await asyncio.sleep(0)


async def _read(stream: aiohttp.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in stream.iter_any():
        size += len(part)
        if size > wire.MAX_BODY:
            raise RemoteError(f"the answer has more than {wire.MAX_BODY >> 20} MiB")
        parts.append(part)
    return b"".join(parts)
