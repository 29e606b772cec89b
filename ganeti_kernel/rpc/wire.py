"""How a node call travels: HTTPS POST to `/<call>`, arguments a JSON object.

The answer is `{"result": …}` or `{"error": [class name, [arguments]]}` whatever the HTTP status;
a status other than 200 means that the call was refused before it ran.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import RemoteError, decode_error, encode_error

EPOCH_HEADER: Final = "X-Ganeti-Epoch"
DEADLINE_HEADER: Final = "X-Ganeti-Deadline"
MAX_BODY: Final = 64 << 20
"""Bytes of a request or an answer."""

NOT_A_MESSAGE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding bytes of a stranger may raise."""


class _Reply(msgspec.Struct, forbid_unknown_fields=True):
    result: Any = None
    error: tuple[str, list[Any]] | None = None


def encode_arguments(args: Mapping[str, Any]) -> bytes:
    """Arguments (JSON values and model objects) in a canonical form: same call, same bytes."""
    return msgspec.json.encode(args, order="deterministic")


def encode_result(value: Any) -> bytes:
    return msgspec.json.encode({"result": value})


def encode_failure(error: BaseException) -> bytes:
    return msgspec.json.encode({"error": encode_error(error)}, enc_hook=str)


def decode_reply(body: bytes, result: Any) -> Any:
    """Return the result as an object of type `result`, or raise what the node raised.

    Raises RemoteError when the answer is not a reply or the result has not the type `result`.
    """
    try:
        reply = msgspec.json.decode(body, type=_Reply)
        if reply.error is not None:
            raise decode_error(*reply.error)
        return msgspec.convert(reply.result, result)
    except NOT_A_MESSAGE as error:
        raise RemoteError(f"the answer is not understood ({error})") from None


def remote(node: str, call: str, error: RemoteError) -> RemoteError:
    """The same error with node and call in its text."""
    named = type(error)(f"node {node}, call {call}: {error}")
    named.uncertain = error.uncertain
    return named
