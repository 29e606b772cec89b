"""Asking confd, synchronously.

client = ConfdClient.of_node(Paths.from_environment())
role = client.ask(1, "node2.example.com").answer
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

from ganeti_kernel.confd.codec import UNREADABLE, Reply, Signer, decode_reply
from ganeti_kernel.confd.exchange import EXPIRE, Exchange, Result, family_of, plain, tcp_wanted
from ganeti_kernel.confd.key import read_key
from ganeti_kernel.constants import CONFD_PORT, MAX_SSCONF_BYTES
from ganeti_kernel.errors import ConfdClientError, ConfigurationError, SignatureError
from ganeti_kernel.paths import Paths

MAX_TCP_REPLY: Final = 256 << 20
_PART: Final = 1 << 16


class ConfdClient:
    """Asks the daemons of one cluster. Holds no socket between questions."""

    def __init__(self, key: bytes, peers: Sequence[str], port: int = CONFD_PORT) -> None:
        """`peers` are addresses of one family; raises ConfdClientError for others."""
        self.family = socket.AF_INET if family_of(peers) == 4 else socket.AF_INET6
        self.peers = list(peers)
        self.port = port
        self.signer = Signer(key)

    @classmethod
    def of_node(
        cls, paths: Paths, peers: Sequence[str] = (), port: int = CONFD_PORT
    ) -> ConfdClient:
        """Take the key, and unless given the master candidates' addresses, from a node's files."""
        try:
            key = read_key(paths.hmac_key)
        except ConfigurationError as error:
            raise ConfdClientError(str(error)) from None
        return cls(key, list(peers) or read_candidates(paths), port)

    def ask(
        self,
        number: int,
        query: Any = None,
        *,
        coverage: int = 0,
        timeout: float = EXPIRE,
        settle: float = EXPIRE,
    ) -> Result:
        """Ask and wait until enough peers have answered or `timeout` seconds are over.

        `coverage` is the number of peers to ask: 0 up to six, -1 all. `settle`: seconds after the
        first good answer for which a newer one is waited for. Raises ConfdClientError
        when nobody answers; an error answer is a Result with its status.
        """
        return self.run(self.exchange(number, query, coverage, timeout, settle))

    def run(self, exchange: Exchange) -> Result:
        """Carry a question out; as `ask`. The exchange keeps the trace, also of a failure."""
        with socket.socket(self.family, socket.SOCK_DGRAM) as sock:
            while not exchange.complete and (now := time.monotonic()) < exchange.expires:
                for peer in exchange.due(now):
                    try:
                        sock.sendto(exchange.datagram, (peer, self.port))
                    except OSError as error:
                        exchange.failed(peer, error.strerror or str(error), now)
                # never 0, which would make the socket non-blocking
                sock.settimeout(max(0.001, exchange.wait(time.monotonic())))
                try:
                    datagram, sender = sock.recvfrom(_PART)
                except OSError:  # time to resend, or an answer from the network to an earlier send
                    continue
                reply = exchange.receive(datagram, sender[0], time.monotonic())
                if reply is not None and tcp_wanted(reply):
                    self._by_tcp(exchange, plain(sender[0]))
        return exchange.result(time.monotonic())

    def exchange(
        self, number: int, query: Any, coverage: int, timeout: float, settle: float = EXPIRE
    ) -> Exchange:
        return Exchange(
            self.signer,
            self.peers,
            number,
            query,
            coverage=coverage,
            expire=timeout,
            settle=settle,
            start=time.monotonic(),
            wall=time.time(),
            rng=random.Random(),
        )

    def _by_tcp(self, exchange: Exchange, peer: str) -> None:
        """Fetch the answer that did not fit; if that fails the error answer stands."""
        left = exchange.expires - time.monotonic()
        try:
            with socket.create_connection((peer, self.port), timeout=max(0.1, left)) as sock:
                sock.sendall(exchange.datagram)
                sock.shutdown(socket.SHUT_WR)
                data = bytearray()
                while part := sock.recv(_PART):
                    data += part
                    if len(data) > MAX_TCP_REPLY or time.monotonic() > exchange.expires:
                        raise TimeoutError("the answer is too large or too slow")
            reply = open_tcp(self.signer, exchange, bytes(data))
            exchange.fetched(peer, len(data), reply, time.monotonic())
        except (OSError, SignatureError) as error:
            exchange.failed(peer, f"TCP: {error}", time.monotonic())


def open_tcp(signer: Signer, exchange: Exchange, data: bytes) -> Reply:
    """Check a reply that came by TCP; raises SignatureError when it is none."""
    envelope = signer.unpack(data)
    if envelope.salt != exchange.salt:
        raise SignatureError("the reply answers another question")
    try:
        return decode_reply(envelope.msg)
    except UNREADABLE as error:
        raise SignatureError(f"the reply is not readable: {error}") from None


def read_candidates(paths: Paths) -> list[str]:
    """Return the master candidates' addresses from the node's ssconf file."""
    path = paths.ssconf("master_candidates_ips")
    try:
        with open(path, encoding="ascii") as stream:
            lines = stream.read(MAX_SSCONF_BYTES).split()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfdClientError(
            f"cannot read the master candidates' addresses from {path}: {reason}; give them "
            f"with --peers"
        ) from None
    return lines
