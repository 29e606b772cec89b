"""Many datagrams per system call: Linux's recvmmsg and sendmmsg.

Under load a whole queue of requests is taken with one call and answered with one. Senders'
addresses stay in the kernel's own form between the two, so none is parsed or printed.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable
from typing import Final

SIZE: Final = 32
"""Datagrams taken at once."""

SLOT: Final = 1 << 16
"""Bytes of room for one datagram; none is larger."""

_NAME: Final = 32
"""Bytes of room for an address; IPv6 needs 28."""

_MSG_WAITFORONE: Final = 0x10000


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vector", ctypes.c_void_p),
        ("vectors", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("length", ctypes.c_uint32))


_WORDS: Final = ctypes.sizeof(_Message) // 4
_LENGTH: Final = _Message.length.offset // 4
_NAME_LENGTH: Final = _Header.name_length.offset // 4

_libc: Final = ctypes.CDLL(None, use_errno=True)
for _call in (_libc.recvmmsg, _libc.sendmmsg):
    _call.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
_libc.recvmmsg.argtypes = (*_libc.recvmmsg.argtypes, ctypes.c_void_p)


class _Room:
    """Memory for SIZE datagrams and the kernel's descriptions of them."""

    def __init__(self, names: int) -> None:
        self._buffer = bytearray(SIZE * SLOT)
        self.data = memoryview(self._buffer)
        self._messages = (_Message * SIZE)()
        self._vectors = (_Vector * SIZE)()
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))
        vectors, width = ctypes.addressof(self._vectors), ctypes.sizeof(_Vector)
        for index in range(SIZE):
            self._vectors[index].base = base + index * SLOT
            self._vectors[index].length = SLOT
            header = self._messages[index].header
            header.name = names + index * _NAME
            header.name_length = _NAME
            header.vector = vectors + index * width
            header.vectors = 1
        self.address = ctypes.addressof(self._messages)
        self.words = memoryview(self._messages).cast("B").cast("I")
        """The descriptions as 32-bit words: a datagram's length and its address's length."""
        self.sizes = memoryview(self._vectors).cast("B").cast("Q")
        """Pairs of pointer and size of each datagram's memory."""
        self.names = memoryview(self._messages).cast("B").cast("Q")
        """The descriptions as 64-bit words; the first of each points to the address."""


class Batch:
    """Takes and answers datagrams of one blocking socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._descriptor = sock.fileno()
        self._names = ctypes.create_string_buffer(SIZE * _NAME)
        self._base = ctypes.addressof(self._names)
        self._in = _Room(self._base)
        self._out = _Room(self._base)

    def exchange(self, reply: Callable[[bytes], bytes | None]) -> int:
        """Wait for datagrams, answer those that are there, return their number; raises OSError.

        One that `reply` answers with None, or with more than a datagram holds, gets nothing.
        """
        room, words = self._in, self._in.words
        count: int = _libc.recvmmsg(self._descriptor, room.address, SIZE, _MSG_WAITFORONE, None)
        if count < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        out, data, ready = self._out, room.data, 0
        for index in range(count):
            start = index * SLOT
            answer = reply(bytes(data[start : start + words[index * _WORDS + _LENGTH]]))
            if answer is not None and len(answer) <= SLOT:
                size = len(answer)
                out.data[ready * SLOT : ready * SLOT + size] = answer
                out.sizes[2 * ready + 1] = size
                out.names[ready * _WORDS // 2] = self._base + index * _NAME
                out.words[ready * _WORDS + _NAME_LENGTH] = words[index * _WORDS + _NAME_LENGTH]
                ready += 1
            words[index * _WORDS + _NAME_LENGTH] = _NAME
        self._send(ready)
        return count

    def _send(self, ready: int) -> None:
        """Send the answers; the kernel stops at one it refuses, which is left out."""
        done, problem = 0, 0
        while done < ready:
            address = self._out.address + done * ctypes.sizeof(_Message)
            sent = _libc.sendmmsg(self._descriptor, address, ready - done, 0)
            if sent < 0:
                problem = ctypes.get_errno()
                sent = 1
            done += sent
        if problem:
            raise OSError(problem, os.strerror(problem))
