"""The node's side of node calls: who calls, may it, what is meant, in what time."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_type_hints

import msgspec
from aiohttp import web

from ganeti_kernel.config.ssconf import read_ssconf
from ganeti_kernel.constants import NODED_PORT
from ganeti_kernel.errors import (
    ConfigurationError,
    GenericError,
    MasterReplaced,
    ParameterError,
    RemoteError,
)
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc import certificates, trust, wire
from ganeti_kernel.rpc.calls import Call, call_of
from ganeti_kernel.rpc.epoch import EpochGuard
from ganeti_kernel.rpc.work import Workers

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT: Final = 10.0
STOP_GRACE: Final = 10.0
"""Seconds that running calls have to end when the daemon stops."""

MAX_DEADLINE: Final = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Handler:
    """What serves one call: `function(**arguments)`, the arguments' types, what it is about."""

    name: str
    function: Callable[..., Any]
    arguments: type[msgspec.Struct]
    call: Call
    subject: Callable[[Mapping[str, Any]], str | None]
    first: Callable[..., Any] | None


def make_handler(
    name: str,
    function: Callable[..., Any],
    subject: Callable[[Mapping[str, Any]], str | None] = lambda _args: None,
    first: Callable[..., Any] | None = None,
) -> Handler:
    """Derive a handler from a function's signature; every argument needs a type.

    `subject(arguments)` names what the call is about: changing calls on one subject run one after
    the other. `first(**arguments)` runs at once, before the call's turn has come.
    """
    hints = get_type_hints(getattr(function, "func", function))
    fields: list[Any] = []
    for parameter in inspect.signature(function).parameters.values():
        field = (parameter.name, hints[parameter.name])
        plain = parameter.default is inspect.Parameter.empty
        fields.append(field if plain else (*field, parameter.default))
    arguments = msgspec.defstruct(
        f"{name}_arguments", fields, forbid_unknown_fields=True, kw_only=True
    )
    return Handler(name, function, arguments, call_of(name), subject, first)


class NodeServer:
    """Serves handlers over mutual TLS; see `wire` for the format."""

    def __init__(self, paths: Paths, handlers: Mapping[str, Handler]) -> None:
        """Raises ConfigurationError when this machine is not set up as a node."""
        self._paths = paths
        self._handlers = dict(handlers)
        self._candidates = trust.Candidates(paths)
        self.epoch = EpochGuard(paths)
        self._workers = Workers()
        self._identity = trust.ServerIdentity(paths)
        self._server: asyncio.Server | None = None
        self._runner: web.ServerRunner | None = None

    async def start(self, address: str | None = None, port: int = NODED_PORT) -> int:
        """Listen (None: on every address) and return the port; raises OSError."""
        handler = web.Server(self._serve, access_log=None, lingering_time=1.0)
        self._runner = web.ServerRunner(handler, handle_signals=False)
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_server(
            handler,
            address,
            port,
            ssl=self._identity.context,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            backlog=128,
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self, grace: float = STOP_GRACE) -> None:
        """Take no more calls, give running ones `grace` seconds, then drop the connections."""
        if self._server is not None:
            self._server.close()
        left = await self._workers.drain(grace)
        if left:
            log.warning("%d calls are still running and are given up", left)
        if self._runner is not None:
            await self._runner.cleanup()

    # -- one request -----------------------------------------------------------------------------

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        name = request.path.removeprefix("/")
        try:
            status, body = 200, wire.encode_result(await self._call(request, name))
        except _Refused as refusal:
            peer = _peer(request)
            log.warning("refused call %.64r of %s: %s", name, peer, refusal.error)
            status, body = refusal.status, wire.encode_failure(refusal.error)
        except GenericError as error:
            log.info("call %s failed: %s", name, error)
            status, body = 200, wire.encode_failure(error)
        except Exception as error:  # a defect of ours or of a plugin; the caller gets one line
            log.exception("call %s failed", name)
            status, body = 200, wire.encode_failure(error)
        response = web.Response(status=status, body=body, content_type="application/json")
        if status == 413:
            response.force_close()  # the rest of the arguments is not read
        return response

    async def _call(self, request: web.BaseRequest, name: str) -> Any:
        caller = self._check_peer(request)
        handler = self._handlers.get(name)
        if handler is None or request.method != "POST":
            raise _Refused(404, RemoteError(f"this node knows no call {name[:64]!r}"))
        if handler.call.master_only:
            self._check_master(caller)
        epoch, deadline = _header(request, wire.EPOCH_HEADER, 0), _deadline(request, handler.call)
        arguments = _arguments(handler, await _body(request))
        changes = handler.call.changes
        if changes:
            try:
                self.epoch.admit(int(epoch), name)
            except (MasterReplaced, ConfigurationError) as error:
                raise _Refused(409, error) from None
        first = handler.first
        if first is not None:
            await self._workers.run(
                f"preparation of {name}", lambda: first(**arguments), deadline=deadline
            )
        # a digest: arguments can hold secrets, and keys live as long as the call
        digest = hashlib.sha256(wire.encode_arguments(arguments)).hexdigest()
        return await self._workers.run(
            name,
            lambda: handler.function(**arguments),
            deadline=deadline,
            join=f"{name} {digest}",
            join_late_only=not changes,
            subject=handler.subject(arguments) if changes else None,
        )

    def _check_peer(self, request: web.BaseRequest) -> str:
        """Return the caller's name, as its certificate says."""
        transport = request.transport
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object") if transport else None
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        if certificate is None:
            raise _Refused(401, RemoteError("the caller showed no certificate"))
        mark = certificates.fingerprint_der(certificate)
        if mark not in self._candidates.allowed():
            raise _Refused(
                403, RemoteError(f"certificate {mark} does not belong to a master candidate")
            )
        assert tls is not None  # it showed a certificate
        names: Any = (tls.getpeercert() or {}).get("subjectAltName", ())
        return next((str(value) for kind, value in names if kind == "DNS"), "")

    def _check_master(self, caller: str) -> None:
        try:
            master = read_ssconf(self._paths, "master_node")
        except ConfigurationError as error:
            raise _Refused(403, RemoteError(str(error))) from None
        if caller != master:
            raise _Refused(403, RemoteError(f"only the master {master} may ask this, not {caller}"))


class _Refused(Exception):
    """A call that is not run; `error` goes to the caller with HTTP status `status`."""

    def __init__(self, status: int, error: GenericError) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error


async def _body(request: web.BaseRequest) -> bytes:
    size = request.content_length or 0
    parts: list[bytes] = []
    too_big = _Refused(413, RemoteError(f"the arguments exceed {wire.MAX_BODY >> 20} MiB"))
    if size > wire.MAX_BODY:
        raise too_big
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > wire.MAX_BODY:
            raise too_big
        parts.append(part)
    return b"".join(parts)


def _arguments(handler: Handler, body: bytes) -> dict[str, Any]:
    try:
        values = msgspec.json.decode(body, type=handler.arguments)
    except wire.NOT_A_MESSAGE as error:
        problem = ParameterError(f"arguments of {handler.name}: {error}")
        raise _Refused(400, problem) from None
    return {field: getattr(values, field) for field in values.__struct_fields__}


def _header(request: web.BaseRequest, name: str, default: float) -> float:
    text = request.headers.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 2**53:
        raise _Refused(400, ParameterError(f"header {name} is not a usable number: {text[:32]!r}"))
    return value


def _deadline(request: web.BaseRequest, call: Call) -> float:
    return min(_header(request, wire.DEADLINE_HEADER, call.timeout), MAX_DEADLINE)


def _peer(request: web.BaseRequest) -> str:
    address = request.transport.get_extra_info("peername") if request.transport else None
    return str(address[0]) if isinstance(address, tuple) else "a peer that has gone"
