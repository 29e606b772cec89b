"""The LUXI server: sockets, frames, dispatch. What the methods do is in `luxi.methods`."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import GenericError, encode_error
from ganeti_kernel.jobs.sockets import short_address
from ganeti_kernel.luxi.codec import BAD_REQUEST, END, MAX_REQUEST, BadRequest, decode_request

log = logging.getLogger(__name__)

SOCKET_MODE: Final = 0o660


@dataclass(frozen=True, slots=True)
class Method:
    """A LUXI method: its handler and the types of its arguments."""

    handler: Callable[..., Awaitable[Any]]
    names: tuple[str, ...]
    types: tuple[Any, ...]
    required: int

    def convert(self, name: str, args: Sequence[Any]) -> list[Any]:
        """Check the arguments; raises BadRequest that names the wrong one."""
        if not self.required <= len(args) <= len(self.names):
            wanted = str(self.required)
            if self.required != len(self.names):
                wanted += f" to {len(self.names)}"
            raise BadRequest(f"{name}: {wanted} arguments expected, {len(args)} given")
        out = []
        for what, kind, value in zip(self.names, self.types, args, strict=False):
            try:
                out.append(msgspec.convert(value, kind))
            except msgspec.ValidationError as error:
                raise BadRequest(f"{name}: Can't parse value for '{what}': {error}") from None
        return out


def method_table(handlers: Mapping[str, Callable[..., Awaitable[Any]]]) -> dict[str, Method]:
    """LUXI name -> method; argument types come from the handlers' annotations."""
    out = {}
    for name, handler in handlers.items():
        hints = typing.get_type_hints(handler)
        parameters = inspect.signature(handler).parameters
        required = sum(1 for item in parameters.values() if item.default is item.empty)
        out[name] = Method(
            handler, tuple(parameters), tuple(hints[item] for item in parameters), required
        )
    return out


class LuxiServer:
    """Serves methods on Unix sockets; requests of one connection are answered in order."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[Any]] = set()

    async def listen(self, path: Path) -> None:
        """Serve a socket file; one left by a dead server is replaced."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with short_address(path) as address:
            server = await asyncio.start_unix_server(self._serve, address, limit=MAX_REQUEST)
        path.chmod(SOCKET_MODE)
        self._servers.append(server)

    async def close(self) -> None:
        """Close the sockets and all connections, those of waiting clients included."""
        for server in self._servers:
            server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:
                try:
                    data = await reader.readuntil(END)
                except asyncio.LimitOverrunError:
                    text = f"{BAD_REQUEST}more than {MAX_REQUEST} bytes"
                    writer.write(encode_reply(False, text))
                    await writer.drain()
                    return
                writer.write(await self.answer(data[:-1]))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client went away, or the daemon stops
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._connections.discard(task)

    async def answer(self, data: bytes) -> bytes:
        """Return the reply to one request, both with all that can go wrong."""
        try:
            call = decode_request(data)
            method = self._methods.get(call.method)
            if method is None:
                raise BadRequest(
                    f"Unable to parse LUXI request method: {call.method!r} is not known"
                )
            args = method.convert(call.method, call.args)
            return encode_reply(True, await method.handler(*args))
        except BadRequest as error:
            return encode_reply(False, f"{BAD_REQUEST}{error}")
        except GenericError as error:
            return encode_reply(False, encode_error(error))
        except Exception as error:  # a defect; the client must hear of it all the same
            log.exception("defect in a LUXI method")
            return encode_reply(False, encode_error(error))


def encode_reply(success: bool, result: Any) -> bytes:
    return msgspec.json.encode({"success": success, "result": result}) + END
