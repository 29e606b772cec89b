"""Datagrams in, datagrams out: one thread per socket.

A blocking receive takes queued datagrams without asking first whether there are any, so an idle
daemon costs nothing and a request takes two system calls: less work than any event loop. While
datagrams come faster than they are answered, whole batches are taken with two calls instead.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from ganeti_kernel.confd.batch import Batch
from ganeti_kernel.confd.counters import Counters
from ganeti_kernel.errors import ConfigurationError

log = logging.getLogger(__name__)

QUEUE_BYTES: Final = 4 << 20
"""Receive buffer asked for, so that a burst waits rather than being dropped."""

LOOK_FOR_MORE: Final = 64
"""Datagrams answered singly before looking whether more than one is waiting."""

_WAKE: Final = 1.0
"""Seconds after which a waiting thread looks whether it should stop."""

Reply = Callable[[bytes], bytes | None]


def bind(address: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a bound UDP socket; `::` takes IPv4 as well. `shared`: several processes bind it.

    Raises ConfigurationError that names the address.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != "::"))
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE_BYTES)
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        raise ConfigurationError(
            f"cannot serve UDP {address} port {port}: {error.strerror or error}"
        ) from None
    return sock


def addresses(text: str | None) -> list[str]:
    """The addresses to bind of a `-b` value (comma-separated); None: all of this machine."""
    if text:
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::", 0))
    except OSError:
        return ["0.0.0.0"]  # noqa: S104 - as upstream; every request must carry a signature
    return ["::"]


class Receivers:
    """The threads that answer datagrams."""

    def __init__(self, sockets: Sequence[socket.socket], reply: Reply) -> None:
        self._sockets = sockets
        self._reply = reply
        self._stopping = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for sock in self._sockets:
            # set directly: Python's own time-outs would add a poll() to every receive
            sock.setblocking(True)
            option = struct.pack("ll", int(_WAKE), 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, option)
            thread = threading.Thread(target=self._serve, args=(sock,), name="confd", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self._stopping = True
        for sock in self._sockets:
            with contextlib.suppress(OSError):  # Linux wakes the receiver and says ENOTCONN
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(2 * _WAKE)
        for sock in self._sockets:
            sock.close()

    def _serve(self, sock: socket.socket) -> None:
        batch = Batch(sock)
        while not self._stopping:
            try:
                self._one_by_one(sock, LOOK_FOR_MORE)
                while not self._stopping and batch.exchange(self._reply) > 1:
                    pass
            except OSError as error:
                self._trouble(error)
            except Exception:  # a defect in answering one datagram must not silence the rest
                log.exception("defect while answering a datagram")

    def _one_by_one(self, sock: socket.socket, count: int) -> None:
        receive, send, reply = sock.recvfrom, sock.sendto, self._reply
        for _turn in range(count):
            datagram, sender = receive(65536)
            answer = reply(datagram)
            if answer is not None:
                send(answer, sender)

    def _trouble(self, error: OSError) -> None:
        """Most errors concern one peer (it went away, its answer does not fit) or the wait."""
        if self._stopping or error.errno in (errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED):
            return
        log.warning("cannot exchange a datagram: %s", error.strerror or error)
        if error.errno in (errno.EBADF, errno.ENOTSOCK):
            self._stopping = True
        elif error.errno not in (errno.EMSGSIZE, errno.EINVAL, errno.EPERM):
            time.sleep(0.01)  # no memory, no buffers: do not spin


def timed(reply: Reply, counters: Counters) -> Reply:
    """Have the time of every answer counted."""

    def measured(datagram: bytes) -> bytes | None:
        before = time.perf_counter_ns()
        answer = reply(datagram)
        if answer is not None:
            counters.observe(time.perf_counter_ns() - before)
        return answer

    return measured
