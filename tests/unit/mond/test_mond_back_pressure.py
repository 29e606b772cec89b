"""A client that asks for much and reads nothing."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import pytest
import uvloop

from ganeti_kernel.mond import http
from ganeti_kernel.mond.http import Answer, Connection, Request, Server

REQUEST = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
REQUESTS = 200
SIZE = 1 << 20
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


def at_once(_request: Request) -> Answer:
    return Answer(b"x" * SIZE)


async def later(_request: Request) -> Answer:
    await asyncio.sleep(0)
    return Answer(b"x" * SIZE)


def unsent(connection: Connection) -> int:
    transport = connection._transport
    assert transport is not None
    return transport.get_write_buffer_size()


async def asked_for_much(handler: http.Handler) -> tuple[Server, Connection, socket.socket]:
    """A server, and a connection that has sent all its requests and read nothing."""
    server = Server(handler, lambda: 0)
    port = await server.start("127.0.0.1", 0)
    client = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port), 30)
    client.sendall(REQUEST * REQUESTS)
    for _ in range(1000):
        await asyncio.sleep(0.01)
        if server.requests:
            break
    await asyncio.sleep(0.2)
    (connection,) = server.connections
    return server, connection, client


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("handler", [at_once, later])
def test_answers_wait_until_they_are_read(
    loop: Callable[[], asyncio.AbstractEventLoop], handler: http.Handler
) -> None:
    def read_all(client: socket.socket) -> int:
        seen, tail = 0, b""
        while seen < REQUESTS:
            part = tail + client.recv(1 << 20)
            assert len(part) > len(tail)
            seen += part.count(b"HTTP/1.1 200 OK")
            tail = part[-14:]
        return seen

    async def run() -> None:
        server, connection, client = await asked_for_much(handler)
        with client:
            assert unsent(connection) < 3 * SIZE
            assert server.requests < 20
            assert await asyncio.to_thread(read_all, client) == REQUESTS
            assert server.requests == REQUESTS
            await server.stop()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


def test_who_reads_nothing_is_cut_off_in_the_end() -> None:
    async def run() -> None:
        server, connection, client = await asked_for_much(at_once)
        with client:
            connection.check_idle(time.monotonic())
            assert connection in server.connections
            connection.check_idle(time.monotonic() + http.IDLE_LIMIT + 1)
            await asyncio.sleep(0.05)
            assert connection not in server.connections
            await server.stop()

    asyncio.run(run())
