"""A load generator for confd that costs little itself: many datagrams per system call.

Python's own socket calls would take as much CPU as the daemon that is measured, so whole batches
go through `sendmmsg` and `recvmmsg`. Several sockets are used, because the kernel spreads senders,
not datagrams, over a daemon's processes.
"""

from __future__ import annotations

import ctypes
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

BATCH = 16
SOCKETS = 8
PATIENCE = 0.25
"""Seconds without any reply after which the outstanding ones count as lost."""


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vector", ctypes.POINTER(_Iovec)),
        ("vectors", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("length", ctypes.c_uint32))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
_libc.recvmmsg.argtypes = (*_libc.sendmmsg.argtypes, ctypes.c_void_p)


def _messages(buffers: Sequence[ctypes.Array[ctypes.c_char]]) -> ctypes.Array[_Message]:
    array = (_Message * len(buffers))()
    for message, buffer in zip(array, buffers, strict=True):
        vector = _Iovec(ctypes.addressof(buffer), len(buffer))
        message.header.vector = ctypes.pointer(vector)
        message.header.vectors = 1
    return array


@dataclass
class Outcome:
    answered: int
    lost: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.answered / self.seconds


class Load:
    """Sends the same datagrams over and over, a fixed number in flight."""

    def __init__(
        self,
        address: str,
        port: int,
        datagrams: Sequence[bytes],
        *,
        batch: int = BATCH,
        sockets: int = SOCKETS,
    ) -> None:
        """`batch` requests are in flight on each of `sockets` sockets."""
        self._batch = batch
        self._sockets: list[socket.socket] = []
        self._out: dict[int, ctypes.Array[_Message]] = {}
        self._keep: list[object] = []
        incoming = [ctypes.create_string_buffer(65536) for _ in range(batch)]
        self._in = _messages(incoming)
        self._keep.append(incoming)
        for index in range(sockets):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            sock.connect((address, port))
            own = [datagrams[(index * batch + turn) % len(datagrams)] for turn in range(batch)]
            buffers = [ctypes.create_string_buffer(item, len(item)) for item in own]
            self._keep.append(buffers)
            self._out[sock.fileno()] = _messages(buffers)
            self._sockets.append(sock)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_error: object) -> None:
        for sock in self._sockets:
            sock.close()

    def run(self, seconds: float) -> Outcome:
        """Keep the requests in flight for a while."""
        poll = select.epoll()
        for sock in self._sockets:
            poll.register(sock, select.EPOLLIN)
            _libc.sendmmsg(sock.fileno(), self._out[sock.fileno()], self._batch, 0)
        answered = lost = 0
        flying = self._batch * len(self._sockets)
        start = now = time.perf_counter()
        while now < start + seconds:
            ready = poll.poll(PATIENCE)
            now = time.perf_counter()
            if not ready:
                lost += flying
                flying = 0
                for descriptor, messages in self._out.items():
                    flying += _libc.sendmmsg(descriptor, messages, self._batch, 0)
                continue
            for descriptor, _mask in ready:
                count = _libc.recvmmsg(descriptor, self._in, self._batch, socket.MSG_DONTWAIT, None)
                if count > 0:
                    answered += count
                    _libc.sendmmsg(descriptor, self._out[descriptor], count, 0)
        poll.close()
        return Outcome(answered, lost, now - start)


def latencies(address: str, port: int, datagrams: Sequence[bytes], count: int) -> list[float]:
    """Seconds of `count` questions asked one after the other, sorted."""
    out = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        sock.settimeout(2)
        for index in range(count):
            datagram = datagrams[index % len(datagrams)]
            before = time.perf_counter()
            sock.send(datagram)
            sock.recv(65536)
            out.append(time.perf_counter() - before)
    return sorted(out)
