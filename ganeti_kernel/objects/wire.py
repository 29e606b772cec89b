"""Between model objects and JSON values.

Upstream leaves an optional field out rather than writing null, and an instance or disk that is
only a reservation ("forthcoming") leaves out every field that has no value yet. msgspec can omit
defaults, but only all of them, and upstream does write `"tags": []`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

ALWAYS = frozenset({"uuid", "serial_no", "ctime", "mtime", "forthcoming"})


def to_wire(value: Any) -> Any:
    """Return the JSON value (dicts, lists, numbers, strings) of an object or container."""
    if isinstance(value, msgspec.Struct):
        return _struct_to_wire(value)
    if isinstance(value, Mapping):
        return {key: to_wire(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_wire(item) for item in value]
    return value


def _struct_to_wire(value: msgspec.Struct) -> dict[str, Any]:
    reservation = getattr(value, "forthcoming", None)
    out: dict[str, Any] = {}
    for name in value.__struct_fields__:
        item = getattr(value, name)
        if item is None or (reservation and not item and name not in ALWAYS):
            continue
        out[name] = item if isinstance(item, str | int | float) else to_wire(item)
    return out


def from_wire(value: Any, cls: type[T], where: str = "") -> T:
    """Build an object from a JSON value.

    Unknown fields are ignored; a missing or ill-typed one raises ValueError with its path,
    prefixed by `where`.
    """
    try:
        return msgspec.convert(value, cls)
    except msgspec.ValidationError as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from None
