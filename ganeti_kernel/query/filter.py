"""Filters in their list form: `["&", ["=", "role", "M"], ["!", ["?", "offline"]]]`.

Operators are upstream 3.0's: `|` `&` `!` `?` `=` `==` `!=` `<` `<=` `>` `>=` `=~` `=[]`. A cell
without a value never matches a comparison. While live data has not been gathered yet, a condition
on it is undecided (None), and so is whatever depends on it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from ganeti_kernel.errors import ECODE_INVAL, OpPrereqError
from ganeti_kernel.query.grammar import MAX_DEPTH, glob_to_regex, parse_filter

__all__ = ["compile_filter", "fields_in", "glob_to_regex", "parse_filter", "requested_names"]

MAX_CONDITIONS: Final = 5_000
MAX_REGEX_LENGTH: Final = 1_024
DEEPEST: Final = 2 * MAX_DEPTH
"""How deep conditions may be nested."""

CellOf = Callable[[str], tuple[int, Any] | None]
"""Gives a field's cell of one item, None while it is not known."""

Predicate = Callable[[CellOf], bool | None]

_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compile_filter(qfilter: Any, known: Collection[str]) -> Predicate:
    """Return a predicate over an item's cells; None as a filter lets everything through.

    `known` are the fields that exist. Raises OpPrereqError (wrong_input) that names what is
    wrong with the filter.
    """
    return _Compiler(known).compile(qfilter, 0)


def fields_in(qfilter: Any, depth: int = 0) -> frozenset[str]:
    """Return the fields that a filter looks at; a part that cannot be compiled has none."""
    if not isinstance(qfilter, list | tuple) or not qfilter or depth > DEEPEST:
        return frozenset()
    head, *rest = qfilter
    if head in ("|", "&", "!"):
        return frozenset().union(*(fields_in(part, depth + 1) for part in rest))
    return frozenset({rest[0]}) if rest and isinstance(rest[0], str) else frozenset()


def requested_names(qfilter: Any, key: str, depth: int = 0) -> list[Any] | None:
    """Return the names when the filter only says which objects are wanted, else None.

    Such a filter is an equality on the key, or any of several; it may shorten names, and a name
    that does not exist is an error rather than an empty answer.
    """
    if not isinstance(qfilter, list | tuple) or not qfilter or depth > DEEPEST:
        return None
    head, *rest = qfilter
    if head == "|" and rest:
        parts = [requested_names(part, key, depth + 1) for part in rest]
        if any(part is None for part in parts):
            return None
        return list(dict.fromkeys(name for part in parts for name in part or ()))
    if head in ("=", "==") and len(rest) == 2 and rest[0] == key:
        return [rest[1]] if isinstance(rest[1], str | int) else None
    return None


class _Compiler:
    def __init__(self, known: Collection[str]) -> None:
        self.known = known
        self.count = 0

    def compile(self, qfilter: Any, depth: int) -> Predicate:
        if qfilter is None:
            return lambda _cells: True
        self.count += 1
        if self.count > MAX_CONDITIONS or depth > DEEPEST:
            raise _wrong("it is too large")
        if not isinstance(qfilter, list | tuple) or not qfilter or not isinstance(qfilter[0], str):
            raise _wrong(f"expected a list that begins with an operator, found {_short(qfilter)}")
        head, *rest = qfilter
        if head in ("|", "&"):
            parts = [self.compile(part, depth + 1) for part in rest]
            return _any(parts) if head == "|" else _all(parts)
        if head == "!":
            return _not(self.compile(self.only(head, rest, 1)[0], depth + 1))
        if head == "?":
            return self.condition(self.only(head, rest, 1)[0], bool)
        if head not in ("=", "==", "!=", "=~", "=[]", *_ORDER):
            raise _wrong(f"Unknown filter operand '{head}'")
        name, value = self.only(head, rest, 2)
        return self.condition(name, _test(head, value))

    def only(self, head: str, rest: Sequence[Any], count: int) -> Sequence[Any]:
        if len(rest) != count:
            raise _wrong(f"operator '{head}' takes {count} arguments, found {len(rest)}")
        return rest

    def condition(self, name: Any, test: Callable[[Any], bool]) -> Predicate:
        if not isinstance(name, str) or name not in self.known:
            raise _wrong(f"there is no field {_short(name)}")

        def predicate(cells: CellOf) -> bool | None:
            cell = cells(name)
            if cell is None:
                return None
            status, value = cell
            return status == 0 and test(value)

        return predicate


def _test(head: str, value: Any) -> Callable[[Any], bool]:
    if isinstance(value, list | dict) or value is None:
        raise _wrong(f"operator '{head}' compares with text, a number or a truth value")
    if head in ("=", "=="):
        return lambda found: _equal(found, value)
    if head == "!=":
        return lambda found: not _equal(found, value)
    if head == "=[]":
        return lambda found: (
            isinstance(found, list | tuple) and any(_equal(item, value) for item in found)
        )
    if head == "=~":
        pattern = _pattern(value)
        return lambda found: isinstance(found, str) and pattern.search(found) is not None
    compare = _ORDER[head]
    return lambda found: _comparable(found, value) and compare(found, value)


def _pattern(value: Any) -> re.Pattern[str]:
    if not isinstance(value, str) or len(value) > MAX_REGEX_LENGTH:
        raise _wrong(f"a regular expression is text of at most {MAX_REGEX_LENGTH} characters")
    try:
        return re.compile(value)
    except re.error as error:
        raise _wrong(f"the regular expression {value!r} is wrong: {error}") from None


def _equal(found: Any, value: Any) -> bool:
    return _comparable(found, value) and bool(found == value)


def _comparable(found: Any, value: Any) -> bool:
    """Text with text, numbers with numbers; true and false are equal to 1 and 0 only."""
    if isinstance(found, str) or isinstance(value, str):
        return isinstance(found, str) and isinstance(value, str)
    return isinstance(found, int | float) and isinstance(value, int | float)


def _any(parts: Sequence[Predicate]) -> Predicate:
    def predicate(cells: CellOf) -> bool | None:
        answers = [part(cells) for part in parts]
        return True if True in answers else None if None in answers else False

    return predicate


def _all(parts: Sequence[Predicate]) -> Predicate:
    def predicate(cells: CellOf) -> bool | None:
        answers = [part(cells) for part in parts]
        return False if False in answers else None if None in answers else True

    return predicate


def _not(part: Predicate) -> Predicate:
    def predicate(cells: CellOf) -> bool | None:
        answer = part(cells)
        return None if answer is None else not answer

    return predicate


def _wrong(text: str) -> OpPrereqError:
    return OpPrereqError(f"the query filter cannot be used: {text}", ECODE_INVAL)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
