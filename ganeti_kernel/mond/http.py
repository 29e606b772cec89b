"""Serving HTTP/1.1 GET from memory.

Written by hand for one reason: upstream's list of collectors is to be outdone. Upstream's server
answers 34,000 requests a second on an idle two-core machine, an aiohttp server with one bare
handler 27,000, this one two and a half times what aiohttp does
(`benchmarks/bench_mond_server.py`). What a server for one method without bodies needs is little:
a bounded head, keep-alive, pipelining, back-pressure and an idle limit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final, cast

from ganeti_kernel.version import SOFTWARE_VERSION

log = logging.getLogger(__name__)

MAX_HEAD: Final = 8192
"""Bytes of a request's line and headers."""
MAX_CONNECTIONS: Final = 512
IDLE_LIMIT: Final = 60.0
"""Seconds a connection may say nothing, or read nothing of its answer."""

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"

_END: Final = b"\r\n\r\n"
_SERVER: Final = f"ganeti-mond/{SOFTWARE_VERSION}".encode()


@dataclass(frozen=True, slots=True)
class Request:
    """A GET request: path without query, the query, headers by lower-case name."""

    path: str
    query: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send. `lasting`: the same request gets the same bytes until the board changes."""

    body: bytes
    content_type: str = JSON
    status: str = "200 OK"
    lasting: bool = False
    headers: tuple[tuple[str, str], ...] = ()


DEFECT: Final = Answer(b"Internal error; see the log\n", TEXT, "500 Internal Server Error")

Handler = Callable[[Request], "Answer | Awaitable[Answer]"]


class BadRequest(Exception):
    """A request that is none; the argument is the answer."""

    @property
    def answer(self) -> Answer:
        return cast("Answer", self.args[0])


def _refuse(status: str, text: str, *headers: tuple[str, str]) -> BadRequest:
    return BadRequest(Answer(text.encode() + b"\n", TEXT, status, headers=headers))


class Server:
    """All connections and the answers that are ready to send.

    `version` is asked for each request: while it stays, a lasting answer is sent from memory.
    """

    def __init__(self, handler: Handler, version: Callable[[], int]) -> None:
        self.handler = handler
        self.connections: set[Connection] = set()
        self.requests = 0
        self._version = version
        self._ready: dict[bytes, bytes] = {}
        self._ready_version = -1
        self._listener: asyncio.Server | None = None
        self._ticker: asyncio.Task[None] | None = None
        self.date = b""

    async def start(self, address: str | None, port: int) -> int:
        """Listen; returns the port (a free one was chosen for 0). Raises OSError."""
        loop = asyncio.get_running_loop()
        self._tick()
        self._listener = await loop.create_server(lambda: Connection(self), address, port)
        self._ticker = asyncio.ensure_future(self._keep_time())
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.abort()

    def ready(self, line: bytes) -> bytes | None:
        """The answer to a request line, if it is in memory."""
        if self._ready_version != self._version():
            self._ready.clear()
            self._ready_version = self._version()
        return self._ready.get(line)

    def keep(self, line: bytes, response: bytes) -> None:
        if len(self._ready) < MAX_CONNECTIONS:
            self._ready[line] = response

    def respond(self, answer: Answer, *, close: bool, version: str = "HTTP/1.1") -> bytes:
        """The bytes of an answer."""
        extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
        head = (
            f"{version} {answer.status}\r\ncontent-type: {answer.content_type}\r\n"
            f"content-length: {len(answer.body)}\r\n{extra}"
        )
        if close:
            head += "connection: close\r\n"
        return b"%bserver: %b\r\ndate: %b\r\n\r\n%b" % (
            head.encode("latin-1"),
            _SERVER,
            self.date,
            answer.body,
        )

    def _tick(self) -> None:
        self.date = formatdate(usegmt=True).encode()
        self._ready.clear()  # the date is part of every answer

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._tick()
            now = time.monotonic()
            for connection in list(self.connections):
                connection.check_idle(now)


class Connection(asyncio.Protocol):
    """One client. Requests are answered in order; while one waits, no more is read.

    While the client leaves answers unread (`_paused`), requests it has sent wait too: a few bytes
    of them ask for megabytes.
    """

    __slots__ = ("_active", "_buffer", "_closing", "_paused", "_server", "_task", "_transport")

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""
        self._closing = False
        self._paused = False
        self._active = time.monotonic()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None

    # -- events ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self._server.connections) >= MAX_CONNECTIONS:
            self._finish(
                _refuse("503 Service Unavailable", "Too many connections; try again later").answer
            )
            return
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._transport = None
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        self._active = time.monotonic()
        self._go_on()

    def data_received(self, data: bytes) -> None:
        self._active = time.monotonic()
        if self._closing:
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._serve_buffer()

    # -- upkeep ----------------------------------------------------------------------------------

    def check_idle(self, now: float) -> None:
        if now - self._active > IDLE_LIMIT and self._task is None:
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- requests --------------------------------------------------------------------------------

    def _serve_buffer(self) -> None:
        """Answer the whole requests in the buffer."""
        while self._buffer and self._task is None and not self._closing and not self._paused:
            end = self._buffer.find(_END)
            if end < 0:
                if len(self._buffer) > MAX_HEAD:
                    self._finish(
                        _refuse(
                            "431 Request Header Fields Too Large",
                            f"A request's head may have {MAX_HEAD} bytes",
                        ).answer
                    )
                return
            head, self._buffer = self._buffer[:end], self._buffer[end + len(_END) :]
            self._server.requests += 1
            try:
                self._serve(head)
            except BadRequest as problem:
                self._finish(problem.answer)

    def _serve(self, head: bytes) -> None:
        line, _, rest = head.partition(b"\r\n")
        plain = is_plain(rest)
        if plain:
            ready = self._server.ready(line)
            if ready is not None:
                self._write(ready)
                return
        request, version = parse_head(head)
        tokens = request.headers.get("connection", "").lower()
        close = "close" in tokens or (version == "HTTP/1.0" and "keep-alive" not in tokens)
        try:
            answer = self._server.handler(request)
        except Exception:  # as in `_later`
            log.exception("cannot answer a request")
            answer = DEFECT
        if isinstance(answer, Answer):
            response = self._server.respond(answer, close=close, version=version)
            if answer.lasting and plain and not close and version == "HTTP/1.1":
                self._server.keep(line, response)
            self._write(response, close=close)
        else:
            assert self._transport is not None
            self._transport.pause_reading()
            self._task = asyncio.ensure_future(self._later(answer, close=close, version=version))

    async def _later(self, pending: Awaitable[Answer], *, close: bool, version: str) -> None:
        try:
            answer = await pending
        except Exception:  # a defect here: the client gets an answer, the log where it was
            log.exception("cannot answer a request")
            answer = DEFECT
        self._task = None
        self._write(self._server.respond(answer, close=close, version=version), close=close)
        self._go_on()

    def _go_on(self) -> None:
        """Serve again, unless there is still something to wait for."""
        if self._transport is None or self._task is not None or self._closing or self._paused:
            return
        self._transport.resume_reading()
        self._serve_buffer()

    def _write(self, response: bytes, *, close: bool = False) -> None:
        if self._transport is None:
            return
        self._active = time.monotonic()
        self._transport.write(response)
        if close:
            self._closing = True
            self._transport.close()

    def _finish(self, answer: Answer) -> None:
        """Answer and close: after a request that was none nothing can be understood."""
        self._buffer = b""
        self._write(self._server.respond(answer, close=True), close=True)


def is_plain(headers: bytes) -> bool:
    """Whether no header can change the answer, so that the request line decides alone.

    Looks for the few words that matter in any spelling; a false "no" only costs time.
    """
    lower = headers.lower()
    return not (
        b"connection" in lower
        or b"text/html" in lower
        or b"content-length" in lower
        or b"transfer-encoding" in lower
    )


def parse_head(head: bytes) -> tuple[Request, str]:
    """Parse a request's head; returns the request and "HTTP/1.0" or "HTTP/1.1".

    Raises BadRequest for anything but GET without a body.
    """
    line, *rest = head.decode("latin-1").split("\r\n")
    parts = line.split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.0", "HTTP/1.1"):
        raise _refuse("400 Bad Request", "Not an HTTP/1.x request")
    method, target, version = parts
    if method != "GET":
        raise _refuse("405 Method Not Allowed", "Only GET is served here", ("allow", "GET"))
    headers: dict[str, str] = {}
    for item in rest:
        name, colon, value = item.partition(":")
        if not colon or not name or name != name.strip():
            raise _refuse("400 Bad Request", "A header line is not NAME: VALUE")
        headers[name.lower()] = value.strip()
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        raise _refuse("400 Bad Request", "A GET request has no body here")
    if version == "HTTP/1.1" and "host" not in headers:
        raise _refuse("400 Bad Request", "HTTP/1.1 wants a Host header")
    if target.startswith("http://"):
        target = "/" + target[7:].partition("/")[2]
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        raise _refuse("400 Bad Request", "The request's target is not a path")
    return Request(path, query, headers), version
