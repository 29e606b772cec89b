"""How a job process talks to the master daemon: frames, and the job's end of the line.

A frame is four bytes of length (big endian) and JSON. A request is `{"seq", "method", "args"}`,
its reply `{"ok": true, "result"}` or `{"ok": false, "error": [class, arguments]}`.

Requests that change something are numbered. When the line breaks (the master daemon was killed or
restarted), the job connects again and repeats the request it has no reply to; the master keeps
the last number and reply of each job with the effect, so nothing happens twice.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import JobLost, JobQueueError, StoreError, decode_error
from ganeti_kernel.jobs.sockets import short_address

HEADER: Final = struct.Struct(">I")

MAX_REQUEST: Final = 8 << 20
MAX_REPLY: Final = 256 << 20
"""A reply can hold the whole configuration."""

RECONNECT_SECONDS: Final = 600.0
"""How long a job waits for the master daemon to come back."""

RETRY_DELAY: Final = (0.02, 1.0)
"""Seconds before the first and the later attempts to connect."""

NUMBERED: Final = frozenset(
    {"config", "journal", "log", "narrow", "release", "reserve", "status", "submit"}
)
"""Requests that change something."""


class Request(msgspec.Struct, frozen=True):
    method: str
    args: dict[str, Any] = {}
    seq: int | None = None


class Reply(msgspec.Struct, frozen=True):
    ok: bool
    result: Any = None
    error: tuple[str, list[Any]] | None = None


class _RawReply(msgspec.Struct, frozen=True):
    ok: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: tuple[str, list[Any]] | None = None


_reply = msgspec.json.Decoder(_RawReply)


def encode_frame(value: Any) -> bytes:
    data = msgspec.json.encode(value)
    return HEADER.pack(len(data)) + data


class Channel:
    """A job's line to the master daemon; every call blocks until there is a reply."""

    def __init__(
        self,
        path: Path,
        job_id: int,
        *,
        patience: float = RECONNECT_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        ended: Callable[[], bool] = lambda: False,
    ) -> None:
        """`ended`: whether the job is known to have ended, without a master daemon to say so."""
        self._path = path
        self._job_id = job_id
        self._patience = patience
        self._sleep = sleep
        self._ended = ended
        self._socket: socket.socket | None = None
        self._seq = 0

    def hello(self) -> dict[str, Any]:
        """Attach to the job; returns what the master daemon knows of it.

        Raises JobLost when the job has ended and wants no process.
        """
        deadline = time.monotonic() + self._patience
        answer: dict[str, Any] = msgspec.json.decode(self._attempts(self._attach, deadline))
        self._seq = answer["seq"]
        return answer

    def call(self, method: str, **args: Any) -> Any:
        """Send a request and return its result; raises the error it ended with.

        A store that cannot be written (full disk) is tried again for as long as a master daemon
        that is away: giving up would only lose more.
        """
        return msgspec.json.decode(self.call_raw(method, **args))

    def call_raw(self, method: str, **args: Any) -> bytes:
        """Like `call`, but the result's JSON text."""
        seq = None
        if method in NUMBERED:
            self._seq += 1
            seq = self._seq
        request = Request(method, args, seq)
        if len(frame := encode_frame(request)) > MAX_REQUEST:
            raise JobQueueError(f"request {method} is too large ({len(frame)} bytes)")

        def attempt() -> bytes:
            if self._socket is None:
                self._attach()
            return self._exchange(frame)

        return self._attempts(attempt, time.monotonic() + self._patience)

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    def _attempts(self, attempt: Callable[[], bytes], deadline: float) -> bytes:
        delay, longest = RETRY_DELAY
        while True:
            try:
                return attempt()
            except (OSError, StoreError) as error:
                if isinstance(error, OSError):
                    self.close()
                    if self._ended():  # the reply to its last request was lost, nothing else
                        raise JobLost(f"job {self._job_id} has ended") from error
                if time.monotonic() > deadline:
                    raise JobLost(
                        f"job {self._job_id} has no master daemon to talk to: {error}"
                    ) from error
            self._sleep(delay)
            delay = min(longest, delay * 2)

    def _attach(self) -> bytes:
        self.close()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with short_address(self._path) as address:
            self._socket.connect(address)
        hello = Request("hello", {"job": self._job_id, "pid": os.getpid()})
        return self._exchange(encode_frame(hello))

    def _exchange(self, frame: bytes) -> bytes:
        assert self._socket is not None
        self._socket.sendall(frame)
        (length,) = HEADER.unpack(self._read(HEADER.size))
        if length > MAX_REPLY:
            raise ConnectionError(f"reply of {length} bytes")
        reply = _reply.decode(self._read(length))
        if reply.ok:
            return bytes(reply.result)
        name, arguments = reply.error or ("GenericError", ["no reason given"])
        raise decode_error(name, arguments)

    def _read(self, length: int) -> bytes:
        assert self._socket is not None
        parts: list[bytes] = []
        while length:
            data = self._socket.recv(min(length, 1 << 20))
            if not data:
                raise ConnectionError("the master daemon closed the connection")
            parts.append(data)
            length -= len(data)
        return b"".join(parts)
