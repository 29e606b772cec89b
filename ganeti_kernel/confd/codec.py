"""The confd wire format: signed envelopes around JSON (upstream 3.0's confd protocol).

A datagram is `plj0` and a JSON object of three strings: `msg` (the inner object as JSON text),
`salt`, and `hmac`, the hex HMAC-SHA1 of salt and msg under the cluster's key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from hmac import compare_digest
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import SignatureError

MAGIC: Final = b"plj0"
PROTOCOL: Final = 1

MAX_DATAGRAM: Final = 61_440
"""Bytes of the largest request and the largest reply by UDP: what upstream's clients take."""

MAX_CLOCK_SKEW: Final = 300
"""Seconds that a request's time may be off (upstream's design document says 150)."""

_NULL: Final = msgspec.Raw(b"null")
_BLOCK: Final = 64


class Envelope(msgspec.Struct, gc=False):
    msg: str
    salt: str
    hmac: str


class Request(msgspec.Struct, gc=False):
    """The inner object of a request; `query` stays JSON text until somebody needs its value."""

    type: int
    rsalt: str
    protocol: int
    query: msgspec.Raw = _NULL


class Reply(msgspec.Struct, gc=False):
    protocol: int
    status: int
    answer: Any
    serial: int


decode_envelope: Final[Callable[[bytes], Envelope]] = msgspec.json.Decoder(Envelope).decode
decode_request: Final[Callable[[str], Request]] = msgspec.json.Decoder(Request).decode
decode_reply: Final[Callable[[str], Reply]] = msgspec.json.Decoder(Reply).decode
encode: Final = msgspec.json.encode

UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What decoding foreign bytes can raise."""


class Signer:
    """HMAC-SHA1 under one key; the key's two hash states are computed once."""

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK:
            key = hashlib.sha1(key, usedforsecurity=False).digest()
        block = key.ljust(_BLOCK, b"\0")
        inner = hashlib.sha1(bytes(byte ^ 0x36 for byte in block), usedforsecurity=False)
        outer = hashlib.sha1(bytes(byte ^ 0x5C for byte in block), usedforsecurity=False)
        self._inner, self._outer = inner.copy, outer.copy

    def sign(self, data: bytes) -> str:
        """Return the signature as 40 lower-case hex digits."""
        inner = self._inner()
        inner.update(data)
        outer = self._outer()
        outer.update(inner.digest())
        return outer.hexdigest()

    def verify(self, envelope: Envelope) -> bool:
        wanted = self.sign((envelope.salt + envelope.msg).encode())
        given = envelope.hmac
        if not given.isascii():
            return False
        return compare_digest(wanted, given) or compare_digest(wanted, given.lower())

    def pack(self, msg: str, salt: str) -> bytes:
        """Return the datagram that carries `msg`."""
        mac = self.sign((salt + msg).encode())
        return MAGIC + encode(Envelope(msg, salt, mac))

    def unpack(self, datagram: bytes) -> Envelope:
        """Return a datagram's envelope; raises SignatureError that says what is wrong with it."""
        if datagram[:4] != MAGIC:
            raise SignatureError("it does not begin with plj0")
        try:
            envelope = decode_envelope(datagram[4:])
        except UNREADABLE as error:
            raise SignatureError(f"its envelope is not readable: {error}") from None
        if not self.verify(envelope):
            raise SignatureError("its signature is wrong (another cluster's key?)")
        return envelope
