"""JSON pointers into the configuration, with secrets hidden on the way."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from ganeti_kernel.objects import ConfigView, to_wire
from ganeti_kernel.objects.document import TABLES

_ESCAPE: Final = re.compile(r"~(.?)")


class NotFound(LookupError):
    """The pointer is not well formed, or leads nowhere."""


def steps(pointer: str) -> list[str]:
    """Split a pointer (RFC 6901); raises NotFound for one that is not well formed."""
    if not pointer.startswith("/"):
        raise NotFound(pointer)
    return [_ESCAPE.sub(_unescape, step) for step in pointer[1:].split("/")]


def look_up(view: ConfigView, pointer: str) -> Any:
    """Return the value at `pointer` with secrets hidden; raises NotFound."""
    top, *rest = steps(pointer)
    if top not in view.document.members:
        raise NotFound(pointer)
    if top in TABLES:
        table = view.document.table(top)
        if not rest:
            return {uuid: _object(view, top, uuid) for uuid in table}
        uuid, *rest = rest
        if uuid not in table:
            raise NotFound(pointer)
        return _walk(_object(view, top, uuid), rest)
    return _walk(_member(view, top), rest)


def _object(view: ConfigView, table: str, uuid: str) -> Any:
    raw = msgspec.json.decode(view.document.table(table)[uuid])
    return view.secrets.redact(_complete(raw, getattr(view, table)[uuid]))


def _member(view: ConfigView, name: str) -> Any:
    value = view.document.value(name)
    if name == "cluster":
        value = _complete(value, view.cluster)
    return view.secrets.redact(value, name)


def _complete(value: dict[str, Any], typed: msgspec.Struct) -> dict[str, Any]:
    """Add members that the file left out: it may be older than upstream's own rewriting of it."""
    if all(name in value or getattr(typed, name) is None for name in typed.__struct_fields__):
        return value
    whole: dict[str, Any] = to_wire(typed)
    return whole | value


def _walk(value: Any, path: list[str]) -> Any:
    for step in path:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isascii() and step.isdigit():
            if len(step) > 9 or int(step) >= len(value):
                raise NotFound(step)
            value = value[int(step)]
        else:
            raise NotFound(step)
    return value


def _unescape(match: re.Match[str]) -> str:
    try:
        return {"0": "~", "1": "/"}[match[1]]
    except KeyError:
        raise NotFound(match[0]) from None
