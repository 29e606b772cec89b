"""From a datagram to its reply: checks, look-up among kept answers, signature. No input, no output.

Answers are pure functions of the served view and the query, so each is computed once per view;
what is left per datagram is reading two small JSON objects and signing. A whole snapshot (view and
kept answers) is replaced at a reload, so that no request sees half of one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from ganeti_kernel.confd.codec import (
    MAGIC,
    MAX_CLOCK_SKEW,
    MAX_DATAGRAM,
    PROTOCOL,
    UNREADABLE,
    Reply,
    Request,
    Signer,
    decode_envelope,
    decode_request,
    encode,
)
from ganeti_kernel.confd.counters import SLOT, Counters, answer_slot
from ganeti_kernel.objects.view import ConfigView
from ganeti_kernel.specs.confd_query import (
    ERROR_ARGUMENT,
    ERROR_INTERNAL,
    STATUS_ERROR,
    STATUS_NOT_IMPLEMENTED,
    Answer,
    BadQuery,
    ConfdQuery,
    refuse,
)

log = logging.getLogger(__name__)

MAX_KEPT: Final = 4096
MAX_KEPT_BYTES: Final = 32 << 20
"""Answers kept per view; beyond either limit all are forgotten and computed anew."""

NOTHING_LOADED: Final = "the configuration is not loaded yet"

_HEAD: Final = MAGIC + b'{"hmac":"'
_AROUND: Final = len(_HEAD) + 40 + 1
"""Bytes of a reply beside what is kept and the salt: its head, the signature, the last brace."""

_MAGIC_SLOT: Final = SLOT["reject:magic"]
_MALFORMED_SLOT: Final = SLOT["reject:malformed"]
_SIGNATURE_SLOT: Final = SLOT["reject:signature"]
_STALE_SLOT: Final = SLOT["reject:stale"]

Kept = tuple[bytes, bytes, int]
"""An answer ready for signing: the inner object's text, the same as a JSON string with what
stands around it in the envelope, and the slot that counts it."""


class Snapshot:
    """A view, and the answers given from it so far."""

    __slots__ = ("kept", "size", "view")

    def __init__(self, view: ConfigView | None) -> None:
        self.view = view
        self.kept: dict[tuple[int, bytes], Kept] = {}
        self.size = 0


class Responder:
    """Answers datagrams from the current snapshot."""

    def __init__(
        self,
        key: bytes,
        queries: Mapping[int, ConfdQuery],
        counters: Counters | None = None,
        *,
        max_skew: int = MAX_CLOCK_SKEW,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.signer = Signer(key)
        self.queries: Mapping[int, ConfdQuery] = queries
        self.counters = counters or Counters()
        self.port = 0
        self.problem = NOTHING_LOADED
        self._max_skew = max_skew
        self._clock = clock
        self._snapshot = Snapshot(None)

    @property
    def view(self) -> ConfigView | None:
        return self._snapshot.view

    def serve(self, view: ConfigView | None) -> None:
        """Answer from this view from now on; None: answer that nothing is loaded."""
        self._snapshot = Snapshot(view)

    def change_key(self, key: bytes) -> None:
        self.signer = Signer(key)

    def use(self, queries: Mapping[int, ConfdQuery]) -> None:
        """Answer with these request types from now on."""
        self.queries = queries
        self.serve(self._snapshot.view)

    def reply(self, datagram: bytes, limit: int = MAX_DATAGRAM) -> bytes | None:
        """Return the reply to a datagram, at most `limit` bytes; None: it stays unanswered."""
        values = self.counters.values
        if datagram[:4] != MAGIC:
            values[_MAGIC_SLOT] += 1
            return None
        try:
            envelope = decode_envelope(datagram[4:])
            signed = self.signer.verify(envelope)
        except UNREADABLE:
            values[_MALFORMED_SLOT] += 1
            return None
        if not signed:
            values[_SIGNATURE_SLOT] += 1
            return None
        try:
            if abs(int(envelope.salt) - self._clock()) > self._max_skew:
                values[_STALE_SLOT] += 1
                return None
        except ValueError:
            values[_MALFORMED_SLOT] += 1
            return None
        snapshot = self._snapshot
        try:
            request = decode_request(envelope.msg)
            found = snapshot.kept.get((request.type, bytes(request.query)))
            if found is None:
                found = self._compute(snapshot, request)
            salt = request.rsalt
        except UNREADABLE:
            unreadable = _unreadable(envelope.msg)
            if unreadable is None:
                values[_MALFORMED_SLOT] += 1
                return None
            salt, answer = unreadable
            found = _keep(answer, -1)
        text, tail, slot = found
        echo = encode(salt)
        size = len(tail) + len(echo) + _AROUND
        if size > limit:
            text, tail, slot = _keep(self._too_large(size), -1)
            self.counters.add("too_large")
        values[slot] += 1
        mac = self.signer.sign(salt.encode() + text)
        return b"".join((_HEAD, mac.encode(), tail, echo, b"}"))

    def _compute(self, snapshot: Snapshot, request: Request) -> Kept:
        self.counters.add("computed")
        try:
            kept = _keep(self._ask(snapshot.view, request.type, request.query), request.type)
        except UNREADABLE:
            raise
        except Exception as error:  # an answer that is no JSON is the plugin's defect
            kept = _keep(self._defect(request.type, error), request.type)
        if snapshot.view is None:
            return kept
        snapshot.size += len(kept[0]) + len(kept[1]) + len(request.query)
        if len(snapshot.kept) >= MAX_KEPT or snapshot.size > MAX_KEPT_BYTES:
            snapshot.kept.clear()
            snapshot.size = 0
        snapshot.kept[request.type, bytes(request.query)] = kept
        return kept

    def _ask(self, view: ConfigView | None, number: int, text: msgspec.Raw) -> Answer:
        query = self.queries.get(number)
        if query is None:
            known = ", ".join(str(item) for item in sorted(self.queries)) or "none"
            return refuse(
                ERROR_ARGUMENT,
                f"request type {number} is not installed here (installed: {known})",
                status=STATUS_NOT_IMPLEMENTED,
            )
        if view is None:
            return Answer(STATUS_ERROR, self.problem, 0)
        value = msgspec.json.decode(text)
        try:
            return query.answer(view, value)
        except BadQuery as error:
            return refuse(ERROR_ARGUMENT, str(error))
        except Exception as error:  # a plugin's defect must not end the daemon
            return self._defect(number, error)

    def _defect(self, number: int, error: Exception) -> Answer:
        self.counters.add("plugin_failures")
        log.error("request type %d failed: %s", number, error, exc_info=error)
        return refuse(
            ERROR_INTERNAL,
            f"request type {number} failed on this node ({type(error).__name__}); its log says why",
        )

    def _too_large(self, size: int) -> Answer:
        return refuse(
            ERROR_INTERNAL,
            f"the answer takes {size} bytes, a datagram {MAX_DATAGRAM}; send the same request by "
            f"TCP to port {self.port}",
            size=size,
            limit=MAX_DATAGRAM,
            transport="tcp",
            port=self.port,
        )


def _keep(answer: Answer, number: int) -> Kept:
    text = encode(Reply(PROTOCOL, answer.status, answer.answer, answer.serial))
    tail = b'","msg":' + encode(text.decode()) + b',"salt":'
    return text, tail, answer_slot(number, answer.status)


def _unreadable(msg: str) -> tuple[str, Answer] | None:
    """What to answer to a signed request that is not one: its reply salt and why; None: without
    a reply salt an answer would reach nobody."""
    try:
        value: Any = msgspec.json.decode(msg)
    except UNREADABLE:
        return None
    salt = value.get("rsalt") if isinstance(value, dict) else None
    if not isinstance(salt, str):
        return None
    try:
        msgspec.convert(value, Request)
        problem = "the query is not readable"
    except msgspec.ValidationError as error:
        problem = str(error)
    return salt, refuse(ERROR_ARGUMENT, f"bad request: {problem}")
