"""Types of option values: `key=value` lists, sizes, yes/no (syntax of upstream 3.0)."""

from __future__ import annotations

from typing import Any, Final

import click

from ganeti_kernel.constants import EXIT_FAILURE, EXIT_USAGE
from ganeti_kernel.errors import UnitParseError
from ganeti_kernel.units import parse_size


def split_escaped(text: str, separator: str = ",") -> list[str]:
    """Split at separators that are not behind a backslash; backslashes are taken off."""
    parts = [""]
    escaped = False
    for char in text:
        if escaped:
            parts[-1] += char
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == separator:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def parse_key_values(text: str) -> dict[str, Any]:
    """Parse `a=b,c,no_d,-e` to `{"a": "b", "c": True, "d": False, "e": None}`.

    Raises ValueError that names a key given twice or an empty one.
    """
    out: dict[str, Any] = {}
    for part in split_escaped(text) if text else []:
        key, equals, value = part.partition("=")
        key = key.strip()
        item: Any = value
        if not equals:
            item = True
            if key.startswith("no_"):
                key, item = key[3:], False
            elif key.startswith("-"):
                key, item = key[1:], None
        if not key:
            raise ValueError(f"{part!r} names no parameter; write KEY=VALUE")
        if key in out:
            raise ValueError(f"parameter {key!r} is given twice")
        out[key] = item
    return out


def parse_ident(text: str) -> tuple[str, Any]:
    """Parse `ident:a=b,c=d` to `("ident", {…})`; `no_ident` gives False, `-ident` None."""
    ident, colon, rest = text.partition(":")
    if not colon:
        if ident.startswith("no_"):
            return ident[3:], False
        if ident.startswith("-") and len(ident) > 1 and not ident[1:].isdigit():
            return ident[1:], None
    return ident, parse_key_values(rest)


def parse_bool(text: str) -> bool:
    """Parse yes/no, true/false; raises ValueError."""
    value = text.strip().lower()
    if value in ("yes", "true"):
        return True
    if value in ("no", "false"):
        return False
    raise ValueError(f"{text!r} is neither yes nor no")


class Parsed(click.ParamType[Any]):
    """An option value that a pure function parses.

    `exit_code` when it cannot: upstream's option parser knows sizes and ends with 2, other values
    are refused by its commands, with 1.
    """

    def __init__(self, name: str, parse: Any, *, exit_code: int = EXIT_FAILURE) -> None:
        self.name = name
        self.parse = parse
        self.exit_code = exit_code

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except (ValueError, UnitParseError) as error:
            self.fail(str(error), param, ctx)


KEY_VALUES: Final = Parsed("KEY=VALUE,…", parse_key_values)
IDENT: Final = Parsed("IDENT:KEY=VALUE,…", parse_ident)
SIZE: Final = Parsed("SIZE", parse_size, exit_code=EXIT_USAGE)
YES_NO: Final = Parsed("yes|no", parse_bool)
COMMA_LIST: Final = Parsed("A,B,…", split_escaped)

__all__ = [
    "COMMA_LIST",
    "IDENT",
    "KEY_VALUES",
    "SIZE",
    "YES_NO",
    "Parsed",
    "UnitParseError",
    "parse_bool",
    "parse_ident",
    "parse_key_values",
    "parse_size",
    "split_escaped",
]
