"""Answers that do not fit a datagram: the same envelope over TCP on the same port.

The client sends one request and closes its writing side; the reply follows and the connection
ends. What would stay unanswered as a datagram is closed without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from ganeti_kernel.confd.codec import MAX_DATAGRAM
from ganeti_kernel.confd.responder import Responder
from ganeti_kernel.errors import ConfigurationError

log = logging.getLogger(__name__)

DEADLINE: Final = 10.0
"""Seconds for a whole exchange."""

MAX_CONNECTIONS: Final = 32

MAX_REPLY: Final = 256 << 20
"""Bytes of the largest reply; a configuration is never larger."""


class TcpServer:
    """Serves one responder on the addresses that the datagram sockets have."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._servers: list[asyncio.Server] = []
        self._open = 0

    async def start(self, addresses: list[str], port: int) -> None:
        """Raises ConfigurationError when the port is taken."""
        for address in addresses:
            hosts = ["0.0.0.0", "::"] if address == "::" else [address]  # noqa: S104 - as UDP
            for host in hosts:
                try:
                    server = await asyncio.start_server(self._serve, host, port, backlog=64)
                except OSError as error:
                    raise ConfigurationError(
                        f"cannot serve TCP {host} port {port}: {error.strerror or error}"
                    ) from None
                self._servers.append(server)

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MAX_CONNECTIONS:
                async with asyncio.timeout(DEADLINE):
                    await self._exchange(reader, writer)
        except (OSError, TimeoutError, asyncio.LimitOverrunError) as error:
            log.debug("TCP request ended early: %s", error)
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = bytearray()
        while part := await reader.read(MAX_DATAGRAM + 1 - len(request)):
            request += part
            if len(request) > MAX_DATAGRAM:
                return
        reply = self._responder.reply(bytes(request), MAX_REPLY)
        if reply is None:
            return
        self._responder.counters.add("tcp")
        writer.write(reply)
        await writer.drain()
