"""LUXI on the wire (upstream 3.0): JSON texts, each ended by one byte.

A request is `{"method", "args", "version"?}`, a reply `{"success", "result"}`; a failure's result
is `[error class, [arguments]]`, or a plain text when the request could not be read at all.
Kept free of heavy imports: every command uses it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from ganeti_kernel.errors import GenericError, LuxiError, decode_error
from ganeti_kernel.version import CONFIG_VERSION

END: Final = b"\x03"

LUXI_VERSION: Final = CONFIG_VERSION

MAX_REQUEST: Final = 32 << 20
MAX_REPLY: Final = 256 << 20

BAD_REQUEST: Final = "Failed to parse request: "
"""What begins the text of a reply to a request that cannot be read (upstream 3.0)."""


class BadRequest(Exception):
    """A request that cannot be read; the text goes to the client."""


@dataclass(frozen=True, slots=True)
class Call:
    """A decoded request. A version other than ours is taken, as upstream does."""

    method: str
    args: list[Any]


def encode_request(method: str, args: list[Any] | tuple[Any, ...]) -> bytes:
    value = {"method": method, "args": list(args), "version": LUXI_VERSION}
    return json.dumps(value, separators=(",", ":")).encode() + END


def decode_request(data: bytes) -> Call:
    """Decode a request without its end byte; raises BadRequest."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"Invalid JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("Invalid JSON: an object is expected")
    if not isinstance(value.get("method"), str):
        raise BadRequest(f"key 'method' not found, object contains only {sorted(value)}")
    if not isinstance(value.get("args"), list):
        raise BadRequest(f"{value['method']}: 'args' must be a list")
    return Call(value["method"], value["args"])


def decode_reply(data: bytes) -> Any:
    """Return the result of a reply without its end byte; raises what it failed with."""
    try:
        value = json.loads(data)
        success, result = value["success"], value["result"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise LuxiError("the master daemon sent something that is no reply") from None
    if success:
        return result
    raise failure(result)


def failure(result: Any) -> GenericError:
    """The error that a failed reply stands for."""
    if (
        isinstance(result, list)
        and len(result) == 2
        and isinstance(result[0], str)
        and isinstance(result[1], list)
    ):
        return decode_error(result[0], result[1])
    return LuxiError(str(result))
