"""Messages between the daemon and a collector's process: a length, then msgpack.

What comes from the process is not trusted: a collector may have written to the socket itself.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

import msgspec

from ganeti_kernel.mond.report import MAX_REPORT, Identity

MAX_FRAME: Final = 3 * MAX_REPORT
_LENGTH: Final = struct.Struct("!I")


class Collect(msgspec.Struct, tag="collect", frozen=True):
    """Make a report. `update`: take a sample first; `metrics`: make the metrics too."""

    update: bool = True
    metrics: bool = False


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The plugin is loaded. `inactive` is why it has no report here; times are seconds."""

    identity: Identity
    interval: float
    deadline: float
    inactive: str | None = None


class Unusable(msgspec.Struct, tag="unusable", frozen=True):
    """The plugin cannot be used; the process ends."""

    reason: str


class Names(msgspec.Struct, tag="names", frozen=True):
    """Collectors that sources offer now."""

    names: list[str]


class Round(msgspec.Struct, tag="round", frozen=True):
    """One report. `error` is set when the report says that the collector failed; `state` is what
    the collector saved (msgpack); `metrics` holds family, header lines and sample lines."""

    identity: Identity
    timestamp: int
    duration: float
    report: bytes
    error: str | None = None
    exhausted: bool = False
    state: bytes | None = None
    metrics: list[tuple[str, str, str]] | None = None


Message = Ready | Unusable | Names | Round
_DECODER: Final = msgspec.msgpack.Decoder(Message)
_COMMANDS: Final = msgspec.msgpack.Decoder(Collect)
_ENCODER: Final = msgspec.msgpack.Encoder()


class Garbled(Exception):
    """What arrived is not a message."""


def pack(message: Message | Collect) -> bytes:
    body = _ENCODER.encode(message)
    return _LENGTH.pack(len(body)) + body


async def read_message(reader: asyncio.StreamReader) -> Message:
    """Read one message of a process. Raises EOFError at the end, Garbled for anything else."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME:
            raise Garbled(f"a message of {length} bytes")
        message: Message = _DECODER.decode(await reader.readexactly(length))
        if isinstance(message, Round):
            _check_report(message.report)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise EOFError from error
    except (msgspec.DecodeError, ValueError) as error:
        raise Garbled(str(error)) from error
    return message


def _check_report(body: bytes) -> None:
    """Hold a report to be JSON without building it."""
    if len(body) > MAX_REPORT:
        raise Garbled(f"a report of {len(body)} bytes")
    msgspec.json.decode(body, type=msgspec.Raw)


def read_command(sock: socket.socket) -> Collect | None:
    """In the process: wait for a command; None when the daemon is gone."""
    head = _exactly(sock, _LENGTH.size)
    if head is None:
        return None
    body = _exactly(sock, _LENGTH.unpack(head)[0])
    return None if body is None else _COMMANDS.decode(body)


def _exactly(sock: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            return None
        data += piece
    return data
