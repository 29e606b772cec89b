"""Asking confd from asyncio; the same rules as the synchronous client."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ganeti_kernel.confd.client import MAX_TCP_REPLY, ConfdClient, open_tcp
from ganeti_kernel.confd.exchange import EXPIRE, Exchange, Result, plain, tcp_wanted
from ganeti_kernel.errors import SignatureError


class AsyncConfdClient(ConfdClient):
    """A ConfdClient whose questions are coroutines: `await client.question(1, "node2")`."""

    async def question(
        self, number: int, query: Any = None, *, coverage: int = 0, timeout: float = EXPIRE
    ) -> Result:
        """As `ConfdClient.ask`; many questions may be under way at once."""
        exchange = self.exchange(number, query, coverage, timeout)
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: _Inbox(exchange), family=self.family
        )
        try:
            while not exchange.complete and (now := time.monotonic()) < exchange.expires:
                for peer in exchange.due(now):
                    transport.sendto(exchange.datagram, (peer, self.port))
                await protocol.something(exchange.wait(time.monotonic()))
                while protocol.by_tcp:
                    await self._fetch(exchange, protocol.by_tcp.pop())
        finally:
            transport.close()
        return exchange.result(time.monotonic())

    async def _fetch(self, exchange: Exchange, peer: str) -> None:
        try:
            async with asyncio.timeout(max(0.1, exchange.expires - time.monotonic())):
                reader, writer = await asyncio.open_connection(peer, self.port)
                try:
                    writer.write(exchange.datagram)
                    writer.write_eof()
                    data = bytearray()
                    while part := await reader.read(1 << 16):
                        data += part
                        if len(data) > MAX_TCP_REPLY:
                            raise TimeoutError("the answer is too large")
                finally:
                    writer.close()
            reply = open_tcp(self.signer, exchange, bytes(data))
            exchange.fetched(peer, len(data), reply, time.monotonic())
        except (OSError, SignatureError) as error:
            exchange.failed(peer, f"TCP: {error}", time.monotonic())


class _Inbox(asyncio.DatagramProtocol):
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._news = asyncio.Event()
        self.by_tcp: list[str] = []

    async def something(self, timeout: float) -> None:
        """Wait for a datagram, `timeout` seconds at most."""
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        reply = self._exchange.receive(data, str(addr[0]), time.monotonic())
        if reply is not None and tcp_wanted(reply):
            self.by_tcp.append(plain(str(addr[0])))
        self._news.set()

    def error_received(self, exc: Exception) -> None:
        self._exchange.failed("network", str(exc), time.monotonic())
