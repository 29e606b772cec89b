"""The filter language that users type: text into the list form that is sent.

    filter := term {"or" term};  term := factor {"and" factor}
    factor := "not" factor | "(" filter ")" | condition
    condition := field | field OPERATOR value | field (=~ | !~) regex | field (=* | !*) "glob"
               | value ["not"] "in" field

The language is upstream 3.0's. Nothing but `re` is imported: the command line uses this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, NoReturn

from ganeti_kernel.errors import QueryFilterParseError

MAX_LENGTH: Final = 16_384
MAX_DEPTH: Final = 50
DELIMITERS: Final = "/#^|"

_SPACE: Final = re.compile(r"\s*")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_/.]*")
_NUMBER: Final = re.compile(r"[+-]?\d+(?![\w.])", re.ASCII)
_STRING: Final = re.compile(r"\"((?:[^\"\\\n]|\\.)*)\"|'((?:[^'\\\n]|\\.)*)'")
_OPERATOR: Final = re.compile(r"==|=~|=\*|!=|!~|!\*|<=|>=|=|<|>")
_REGEX: Final = re.compile(r"m?([/#^|])(.*?)(?<!\\)\1([a-zA-Z]*)", re.DOTALL)
_WILD: Final = {"*": "[^.]*", "?": "[^.]"}

KEYWORDS: Final = frozenset({"and", "or", "not"})


class _Token(NamedTuple):
    kind: str
    text: str
    value: Any
    start: int


def parse_filter(text: str) -> list[Any]:
    """Return the list form of a filter.

    Raises QueryFilterParseError whose text shows the place that is not understood.
    """
    if len(text) > MAX_LENGTH:
        raise QueryFilterParseError(f"the filter is longer than {MAX_LENGTH} characters")
    return _Parser(text).whole()


def glob_to_regex(glob: str) -> str:
    """Return the regular expression of a glob over names.

    `*` is any text without a dot and `?` any character but a dot; what matches up to a dot
    matches, as names may be shortened.
    """
    parts = (_WILD.get(letter) or re.escape(letter) for letter in glob)
    return rf"^{''.join(parts)}(\..*)?$"


class _Parser:
    """Recursive descent over the text; a token is read when it is needed.

    A regular expression is recognised by its place alone, so there is no separate lexer.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.depth = 0

    def whole(self) -> list[Any]:
        out = self.either()
        self.skip()
        if self.place < len(self.text):
            self.fail("expected the end of the filter")
        return out

    def either(self) -> list[Any]:
        parts = list(self.chain("or", self.every))
        return parts[0] if len(parts) == 1 else ["|", *parts]

    def every(self) -> list[Any]:
        parts = list(self.chain("and", self.factor))
        return parts[0] if len(parts) == 1 else ["&", *parts]

    def chain(self, word: str, part: Any) -> Iterator[list[Any]]:
        yield part()
        while self.keyword(word):
            yield part()

    def factor(self) -> list[Any]:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH}")
        if self.keyword("not"):
            out: list[Any] = ["!", self.factor()]
        elif self.symbol("("):
            out = self.either()
            if not self.symbol(")"):
                self.fail("expected ')'")
        else:
            out = self.condition()
        self.depth -= 1
        return out

    def condition(self) -> list[Any]:
        value = self.value()
        if value is not None:
            negated = self.keyword("not")
            if not self.keyword("in"):
                self.fail("expected 'in' or 'not in' after a value")
            return _maybe_not(negated, ["=[]", self.field(), value.value])
        field = self.field()
        operator = self.match(_OPERATOR)
        if operator is None:
            return ["?", field]
        return self.compare(field, operator)

    def compare(self, field: str, operator: str) -> list[Any]:
        negated = operator in ("!~", "!*")
        if operator in ("=~", "!~"):
            return _maybe_not(negated, ["=~", field, self.regex()])
        value = self.value()
        if value is None:
            self.fail(f"expected a value (a number or quoted text) after '{operator}'")
        if operator in ("=*", "!*"):
            if value.kind != "string":
                self.fail("expected a quoted glob", value.start)
            return _maybe_not(negated, ["=~", field, glob_to_regex(value.value)])
        return ["==" if operator == "=" else operator, field, value.value]

    # -- tokens --------------------------------------------------------------------------------

    def skip(self) -> None:
        found = _SPACE.match(self.text, self.place)
        self.place = found.end() if found else self.place

    def match(self, pattern: re.Pattern[str]) -> str | None:
        self.skip()
        found = pattern.match(self.text, self.place)
        if found is None:
            return None
        self.place = found.end()
        return found[0]

    def symbol(self, text: str) -> bool:
        self.skip()
        if not self.text.startswith(text, self.place):
            return False
        self.place += len(text)
        return True

    def keyword(self, word: str) -> bool:
        self.skip()
        found = _NAME.match(self.text, self.place)
        if found is None or found[0] != word:
            return False
        self.place = found.end()
        return True

    def field(self) -> str:
        self.skip()
        start = self.place
        name = self.match(_NAME)
        if name is None or name in KEYWORDS:
            self.fail("expected the name of a field", start)
        return name

    def value(self) -> _Token | None:
        self.skip()
        start = self.place
        number = self.match(_NUMBER)
        if number is not None:
            return _Token("number", number, int(number), start)
        text = self.match(_STRING)
        if text is not None:
            return _Token("string", text, text[1:-1], start)
        return None

    def regex(self) -> str:
        self.skip()
        start = self.place
        found = _REGEX.match(self.text, start)
        if found is None:
            self.fail(f"expected a regular expression between two of {' '.join(DELIMITERS)}")
        delimiter, body, flags = found.groups()
        if set(flags) - {"s", "i"}:
            self.fail("expected the flags s and i only", found.start(3))
        body = body.replace(f"\\{delimiter}", delimiter)
        try:
            re.compile(body)
        except re.error as error:
            self.fail(f"the regular expression is wrong: {error}", start)
        self.place = found.end()
        return f"(?{''.join(sorted(set(flags)))}){body}" if flags else body

    def fail(self, message: str, place: int | None = None) -> NoReturn:
        where = self.place if place is None else place
        found = repr(self.text[where : where + 20]) if where < len(self.text) else "the end"
        message = f"{message}, found {found} (at character {where})"
        # Only one line can be pointed into.
        line = re.sub(r"\s", " ", self.text)
        raise QueryFilterParseError(
            f"Failed to parse query filter {self.text!r}: {message}\n{line}\n{' ' * where}^"
        )


def _maybe_not(negated: bool, condition: list[Any]) -> list[Any]:
    return ["!", condition] if negated else condition
