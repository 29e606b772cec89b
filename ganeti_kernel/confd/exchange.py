"""One question to several daemons: whom to ask, which replies count, when it is enough.

No input or output happens here; the synchronous and the asyncio client drive the same object.
Numbers and rules are those of upstream 3.0's client library.
"""

from __future__ import annotations

import ipaddress
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ganeti_kernel.confd.codec import (
    MAX_DATAGRAM,
    PROTOCOL,
    UNREADABLE,
    Reply,
    Signer,
    decode_reply,
)
from ganeti_kernel.errors import ConfdClientError, SignatureError
from ganeti_kernel.specs.confd_query import STATUS_OK

DEFAULT_COVERAGE: Final = 6
"""Peers asked when nobody says how many."""

EXPIRE: Final = 10.0
"""Seconds after which replies to a request are not waited for."""

ALL: Final = -1

RESEND_FIRST: Final = 0.4
"""Seconds until a peer that has not answered is asked again; doubled each time."""


def needed(sent: int) -> int:
    """How many replies make an answer when `sent` peers were asked (upstream 3.0)."""
    if sent < 3:
        return sent
    return sent - 1 if sent < 5 else sent // 2 + 1


def choose(peers: Sequence[str], coverage: int, rng: random.Random) -> list[str]:
    """Return the peers to ask, in random order; raises ConfdClientError for a bad coverage."""
    if coverage == ALL:
        count = len(peers)
    elif coverage == 0:
        count = min(len(peers), DEFAULT_COVERAGE)
    else:
        count = coverage
    if not 0 < count <= len(peers):
        raise ConfdClientError(
            f"cannot ask {coverage} peers: there are {len(peers)}; ask fewer, 0 (up to "
            f"{DEFAULT_COVERAGE}) or {ALL} (all)"
        )
    return rng.sample(list(peers), count)


def family_of(peers: Sequence[str]) -> int:
    """4 or 6; raises ConfdClientError for no peers, no addresses, or both families."""
    if not peers:
        raise ConfdClientError("there is nobody to ask: the list of peers is empty")
    try:
        versions = {ipaddress.ip_address(peer).version for peer in peers}
    except ValueError as error:
        raise ConfdClientError(f"a peer must be given by its address: {error}") from None
    if len(versions) > 1:
        raise ConfdClientError("peers must all have IPv4 or all have IPv6 addresses")
    return versions.pop()


def plain(address: str) -> str:
    """An address in the one form that can be compared (IPv4 in IPv6 becomes IPv4)."""
    value = ipaddress.ip_address(address.partition("%")[0])
    mapped = value.ipv4_mapped if isinstance(value, ipaddress.IPv6Address) else None
    return str(mapped or value)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a trace; `seconds` since the question was asked."""

    seconds: float
    what: str
    peer: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.seconds * 1000:9.3f} ms  {self.what:8} {self.peer:15} {self.detail}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a question. `consistent`: no two replies of one serial differed."""

    status: int
    answer: Any
    serial: int
    peer: str
    consistent: bool
    asked: int
    answered: int
    complete: bool
    trace: list[Event] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.status == STATUS_OK


class Exchange:
    """A question under way. `datagram` is what every target gets."""

    def __init__(
        self,
        signer: Signer,
        peers: Sequence[str],
        number: int,
        query: Any,
        *,
        coverage: int = 0,
        expire: float = EXPIRE,
        settle: float = EXPIRE,
        start: float,
        wall: float,
        rng: random.Random | None = None,
    ) -> None:
        """`start` is the monotonic time now, `wall` the seconds since the epoch.

        `settle`: seconds for which better answers are waited for once there is a good one.
        """
        self.targets = choose([plain(peer) for peer in peers], coverage, rng or random.Random())
        self.salt = str(uuid.uuid4())
        self.number = number
        self.expires = start + expire
        self._settle = settle
        self.trace: list[Event] = []
        self._signer = signer
        self._start = start
        self._best: tuple[Reply, str] | None = None
        self._seen: dict[str, Reply] = {}
        self._consistent = True
        self._resend_after = RESEND_FIRST
        self._next_send = start
        inner = {"protocol": PROTOCOL, "type": number, "query": query, "rsalt": self.salt}
        text = msgspec.json.encode(inner).decode()
        self.datagram = signer.pack(text, str(int(wall)))
        if len(self.datagram) > MAX_DATAGRAM:
            raise ConfdClientError(
                f"the request has {len(self.datagram)} bytes, more than the {MAX_DATAGRAM} that "
                f"are taken; ask for less at once"
            )

    @property
    def complete(self) -> bool:
        return len(self._seen) >= needed(len(self.targets))

    def wait(self, now: float) -> float:
        """Seconds until `due` has something to do or the question expires."""
        return max(0.0, min(self._next_send, self.expires) - now)

    def due(self, now: float) -> list[str]:
        """The peers to send the datagram to now: all at first, later those still silent."""
        if now < self._next_send:
            return []
        self._next_send = now + self._resend_after
        self._resend_after *= 2
        silent = [peer for peer in self.targets if peer not in self._seen]
        for peer in silent:
            self._note(now, "sent", peer, f"{len(self.datagram)} bytes, type {self.number}")
        return silent

    def failed(self, peer: str, problem: str, now: float) -> None:
        """A datagram could not be sent, or the network said that nobody is there."""
        self._note(now, "failed", peer, problem)

    def fetched(self, peer: str, size: int, reply: Reply, now: float) -> None:
        """A reply of which the datagram said that it is to be had by TCP has come that way."""
        self._note(now, "by TCP", peer, f"{size} bytes, serial {reply.serial}")
        self._replace(peer, reply, now)

    def receive(self, datagram: bytes, sender: str, now: float) -> Reply | None:
        """Take a datagram in; returns the reply if it counts, the trace says why if not."""
        peer = plain(sender)
        try:
            envelope = self._signer.unpack(datagram)
            if envelope.salt != self.salt:
                raise SignatureError("it answers another question")
            reply = decode_reply(envelope.msg)
        except SignatureError as error:
            self._note(now, "ignored", peer, str(error))
            return None
        except UNREADABLE as error:
            self._note(now, "ignored", peer, f"its content is not readable: {error}")
            return None
        if peer not in self.targets:
            self._note(now, "ignored", peer, "it was not asked")
            return None
        size = f"{len(datagram)} bytes, serial {reply.serial}, status {reply.status}"
        if peer in self._seen:
            self._note(now, "ignored", peer, f"{size}: it has answered already")
            return None
        self._note(now, "reply", peer, size)
        self._take(peer, reply, now)
        return reply

    def _replace(self, peer: str, reply: Reply, now: float) -> None:
        """Forget a peer's first reply for a better one."""
        self._seen.pop(peer, None)
        if self._best is not None and self._best[1] == peer:
            self._best = None
            for other, earlier in list(self._seen.items()):
                self._prefer(other, earlier, now)
        self._take(peer, reply, now)

    def result(self, now: float) -> Result:
        """The answer so far; raises ConfdClientError when nobody has answered."""
        if self._best is None:
            raise ConfdClientError(
                f"no answer to request type {self.number} within {now - self._start:.1f} s from "
                f"{', '.join(self.targets)}; is ganeti-confd running there, with the same key, and "
                f"are the clocks right?"
            )
        reply, peer = self._best
        return Result(
            status=reply.status,
            answer=reply.answer,
            serial=reply.serial,
            peer=peer,
            consistent=self._consistent,
            asked=len(self.targets),
            answered=len(self._seen),
            complete=self.complete,
            trace=self.trace,
        )

    def _take(self, peer: str, reply: Reply, now: float) -> None:
        for other in self._seen.values():
            if other.serial == reply.serial and _content(other) != _content(reply):
                self._consistent = False
        self._seen[peer] = reply
        if reply.status == STATUS_OK:
            self.expires = min(self.expires, now + self._settle)
        self._prefer(peer, reply, now)

    def _prefer(self, peer: str, reply: Reply, now: float) -> None:
        """An answer beats an error, then the higher serial wins."""
        if self._best is not None:
            best = self._best[0]
            if (reply.status == STATUS_OK, reply.serial) <= (best.status == STATUS_OK, best.serial):
                if _content(reply) != _content(best):
                    self._note(now, "outdone", peer, f"{self._best[1]} has serial {best.serial}")
                return
        self._best = reply, peer

    def _note(self, now: float, what: str, peer: str, detail: str) -> None:
        self.trace.append(Event(now - self._start, what, peer, detail))


def _content(reply: Reply) -> tuple[int, Any]:
    return reply.status, reply.answer


def tcp_wanted(reply: Reply) -> bool:
    """Does a reply say that the answer is to be had by TCP?"""
    return (
        reply.status != STATUS_OK
        and isinstance(reply.answer, dict)
        and reply.answer.get("transport") == "tcp"
    )
