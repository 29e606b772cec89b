"""Tables and trees on the terminal, in upstream's forms. Pure: everything returns text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

STATUS_NORMAL: Final = 0
STATUS_UNKNOWN: Final = 1
STATUS_NO_DATA: Final = 2
STATUS_UNAVAILABLE: Final = 3
STATUS_OFFLINE: Final = 4

_SHORT: Final = {
    STATUS_UNKNOWN: "??",
    STATUS_NO_DATA: "?",
    STATUS_UNAVAILABLE: "-",
    STATUS_OFFLINE: "*",
}
STATUS_WORDS: Final = {
    STATUS_UNKNOWN: "(unknown)",
    STATUS_NO_DATA: "(nodata)",
    STATUS_UNAVAILABLE: "(unavail)",
    STATUS_OFFLINE: "(offline)",
}
_RIGHT: Final = frozenset({"number", "unit", "float"})


class Column(NamedTuple):
    """A column: its title, and whether it is aligned to the right."""

    title: str
    right: bool = False


def format_unit(value: float, units: str) -> str:
    """Format MiB: `h` picks a unit and appends it, `m`, `g`, `t` give the bare number."""
    if units == "m" or (units == "h" and value < 1 << 10):
        return f"{round(value)}" + ("M" if units == "h" else "")
    if units == "g" or (units == "h" and value < 1 << 20):
        return f"{value / (1 << 10):0.1f}" + ("G" if units == "h" else "")
    return f"{value / (1 << 20):0.1f}" + ("T" if units == "h" else "")


def format_time(value: float | Sequence[int] | None, *, micro: bool = False) -> str:
    """Format seconds since the epoch, or upstream's `[seconds, microseconds]`; None is "?"."""
    if value is None:
        return "?"
    seconds, micros = (value, 0) if isinstance(value, int | float) else (value[0], value[1])
    text = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    return f"{text}.{micros:06d}" if micro else text


def format_list(value: Any) -> str:
    """Join a list with commas; None inside is shown as `None` (upstream)."""
    return ",".join(str(item) for item in value)


def format_params(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={item}" for key, item in value.items())


def format_cell(kind: str, value: Any, units: str) -> str:
    """Format one normal value by the kind of its field."""
    if kind == "unit" and isinstance(value, int | float):
        return format_unit(value, units)
    if kind == "bool":
        return "Y" if value else "N"
    if kind == "timestamp":
        return format_time(value)
    return str(value)


def table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    *,
    headers: bool = True,
    separator: str | None = None,
    pad_header: bool = False,
) -> list[str]:
    """Lay out a table; with a separator nothing is aligned.

    `pad_header` fills the last header cell too, as upstream's older listings do.
    """
    cells = [list(row) for row in rows]
    titles = [column.title for column in columns]
    if separator is not None:
        lines = [separator.join(row) for row in cells]
        return [separator.join(titles), *lines] if headers else lines
    widths = [
        max([len(title) if headers else 0, *(len(row[index]) for row in cells)])
        for index, title in enumerate(titles)
    ]
    lines = [_align(columns, row, widths) for row in cells]
    if headers:
        head = _align(columns, titles, widths)
        lines.insert(0, head.ljust(sum(widths) + len(widths) - 1) if pad_header else head)
    return lines


def _align(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> str:
    last = len(row) - 1
    parts = []
    for index, (column, text, width) in enumerate(zip(columns, row, widths, strict=True)):
        if column.right:
            parts.append(text.rjust(width))
        else:
            parts.append(text if index == last else text.ljust(width))
    return " ".join(parts)


def query_table(
    result: Mapping[str, Any],
    *,
    overrides: Mapping[str, Callable[[Any], str]],
    headers: bool = True,
    separator: str | None = None,
    units: str | None = None,
    verbose: bool = False,
) -> tuple[list[str], list[str]]:
    """Lay out the answer of a LUXI query; returns (lines, names of unknown fields)."""
    marks = STATUS_WORDS if verbose else _SHORT
    fields = result["fields"]
    unit = units or ("h" if separator is None else "m")
    kinds = [field["kind"] for field in fields]
    formats = [overrides.get(field["name"]) for field in fields]
    rows = []
    for row in result["data"]:
        texts = []
        for kind, form, (status, value) in zip(kinds, formats, row, strict=True):
            if status != STATUS_NORMAL:
                texts.append(marks.get(status, "?"))
            elif form is not None:
                texts.append(form(value))
            else:
                texts.append(format_cell(kind, value, unit))
        rows.append(texts)
    columns = [Column(field["title"], field["kind"] in _RIGHT) for field in fields]
    unknown = [field["name"] for field in fields if field["kind"] == "unknown"]
    return table(columns, rows, headers=headers, separator=separator), unknown


def tree(value: Any, indent: int = 0) -> list[str]:
    """Lay out nested data as upstream's `info` commands do.

    A mapping gives `key: value` lines, a list of pairs the same in order, a list of mappings or
    lists an item marked with a dash each.
    """
    lines: list[str] = []
    _tree(lines, value, indent)
    return lines


def _tree(lines: list[str], value: Any, indent: int) -> None:
    if isinstance(value, Mapping):
        _pairs(lines, sorted(value.items()), indent)
    elif _is_pairs(value):
        _pairs(lines, value, indent)
    elif isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, Mapping | list | tuple):
                start = len(lines)
                _tree(lines, item, indent + 2)
                if len(lines) > start:
                    lines[start] = " " * indent + "- " + lines[start][indent + 2 :]
            else:
                lines.append(f"{' ' * indent}- {item}")
    else:
        lines.append(f"{' ' * indent}{value}")


def _pairs(lines: list[str], pairs: Iterable[Any], indent: int) -> None:
    for key, item in pairs:
        if isinstance(item, Mapping | list | tuple):
            lines.append(f"{' ' * indent}{key}: ")
            _tree(lines, item, indent + 2)
        else:
            lines.append(f"{' ' * indent}{key}: {item}")


class Pairs(list[tuple[str, Any]]):
    """Ordered `key: value` lines for `tree`; a plain list is a list of items."""


def _is_pairs(value: Any) -> bool:
    return isinstance(value, Pairs)
