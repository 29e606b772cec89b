"""Bytes that are no message."""

from __future__ import annotations

import pytest

from ganeti_kernel.errors import RemoteError
from ganeti_kernel.rpc import wire


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b'{"result": "\xff"}', b'{"result": ' + b"[" * 100_000, b'{"error": [1]}'],
)
def test_an_answer_that_is_none(body: bytes) -> None:
    with pytest.raises(RemoteError, match="the answer is not understood"):
        wire.decode_reply(body, int)
