"""What a field is, and the ways most of them are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ganeti_kernel.query.source import NORMAL, UNKNOWN, Missing, QuerySource

TEXT: Final = "text"
BOOL: Final = "bool"
NUMBER: Final = "number"
FLOAT: Final = "float"
UNIT: Final = "unit"
"""A size in MiB."""

TIMESTAMP: Final = "timestamp"
OTHER: Final = "other"

Getter = Callable[[QuerySource, Any], Any]
Cell = tuple[int, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A column. `get(source, item)` returns the value, or a Missing that says why there is none.

    `needs` names the live data it is made from.
    """

    name: str
    title: str
    kind: str
    doc: str
    get: Getter
    needs: frozenset[str] = frozenset()

    def describe(self) -> dict[str, str]:
        return {"name": self.name, "title": self.title, "kind": self.kind, "doc": self.doc}

    def cell(self, source: QuerySource, item: Any) -> Cell:
        value = self.get(source, item)
        return (int(value), None) if isinstance(value, Missing) else (NORMAL, value)


Table = Mapping[str, Field]


def table(*groups: Iterable[Field]) -> dict[str, Field]:
    """Make a table of groups of fields."""
    return {field.name: field for group in groups for field in group}


def unknown(name: str) -> Field:
    """Stands in for a field that does not exist."""
    return Field(name, name, "unknown", f"Unknown field '{name}'", lambda _source, _item: None)


def unknown_cell() -> Cell:
    return UNKNOWN, None


# -- getters -----------------------------------------------------------------------------------


def attribute(name: str) -> Getter:
    """The object's attribute; None means there is none."""
    return lambda _source, item: or_unavailable(getattr(item, name))


def member(name: str) -> Getter:
    """A row's member; None means there is none."""
    return lambda _source, row: or_unavailable(row.get(name))


def or_unavailable(value: Any) -> Any:
    return Missing.UNAVAIL if value is None else value


def at(values: Getter, index: int) -> Getter:
    """The entry of a list-valued getter at an index; unavailable beyond its end."""

    def get(source: QuerySource, item: Any) -> Any:
        found = values(source, item)
        return or_unavailable(found[index]) if index < len(found) else Missing.UNAVAIL

    return get


def whole(value: Any) -> Any:
    """Write whole numbers without a fraction, as upstream's answers have them: 4, not 4.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    return [whole(item) for item in value] if isinstance(value, list) else value


def whole_numbers(get: Getter) -> Getter:
    """A getter whose numbers go through `whole`."""
    return lambda source, item: whole(get(source, item))


def common(noun: str, *, tags: bool = True) -> list[Field]:
    """The fields that every object of the configuration has."""
    out = [
        Field(
            "ctime",
            "CTime",
            TIMESTAMP,
            f"When the {noun} was made",
            whole_numbers(attribute("ctime")),
        ),
        Field(
            "mtime",
            "MTime",
            TIMESTAMP,
            f"When the {noun} was last changed",
            whole_numbers(attribute("mtime")),
        ),
        Field(
            "serial_no",
            "SerialNo",
            NUMBER,
            f"Serial number of the {noun}; grows by one with each change",
            attribute("serial_no"),
        ),
        Field("uuid", "UUID", TEXT, f"The {noun}'s UUID", attribute("uuid")),
    ]
    if tags:
        out.append(Field("tags", "Tags", OTHER, f"Tags of the {noun}", attribute("tags")))
    return out


def from_rows(rows: Iterable[tuple[str, str, str, str]]) -> list[Field]:
    """Fields of a resource whose items are dicts: (name, title, kind, doc)."""
    return [Field(name, title, kind, doc, member(name)) for name, title, kind, doc in rows]
