"""ConfdQuery: answers one type of confd request from a snapshot of the configuration.

Source: upstream 3.0's confd protocol. Numbers below 1000 are upstream's.

An example, the whole of a plugin:

    from ganeti_kernel.specs import Description, hookimpl
    from ganeti_kernel.specs.confd_query import Answer, ConfdQuery, one_string, ok

    class TagQuery(ConfdQuery):
        '''Names of the instances that carry a tag.'''

        API_VERSION = 1
        NUMBER = 1042

        @hookimpl
        def describe(self):
            return Description(name="instances-by-tag", version="1.0", summary="...")

        @hookimpl
        def answer(self, view, query):
            tag = one_string(query)
            if isinstance(tag, Answer):
                return tag
            names = [inst.name for inst in view.instances.values() if tag in inst.tags]
            return ok(sorted(names), view.cluster.serial_no)
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Final

import msgspec

from ganeti_kernel.objects.view import ConfigView
from ganeti_kernel.specs.base import Plugin, hookspec

STATUS_OK: Final = 0
STATUS_ERROR: Final = 1
STATUS_NOT_IMPLEMENTED: Final = 2

ERROR_UNKNOWN_ENTRY: Final = 0
ERROR_INTERNAL: Final = 1
ERROR_ARGUMENT: Final = 2

FIRST_FREE_NUMBER: Final = 1000
"""Numbers from here on are for third parties."""


class Answer(msgspec.Struct, frozen=True):
    """A reply: `status` STATUS_*; with STATUS_ERROR `answer` is an ERROR_* code, a text, or what
    `refuse` makes; `serial` is that of the object the answer comes from, 0 for errors.

    `answer` is any value that msgspec encodes as JSON; msgspec.Raw pieces travel as they are.
    """

    status: int
    answer: Any
    serial: int


class BadQuery(ValueError):
    """A query value that a request type cannot take; the text says what is wrong with it."""


class DictQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The object form of a query; its keys on the wire are "0" to "3"."""

    link: str | None = msgspec.field(name="0", default=None)
    ip: str | None = msgspec.field(name="1", default=None)
    ips: list[str] | None = msgspec.field(name="2", default=None)
    fields: list[int | str] | None = msgspec.field(name="3", default=None)


class ConfdQuery(Plugin):
    """The contract. `answer` is pure: the same view and query, the same answer, so that answers
    can be kept for as long as the view is served. It neither changes the view nor reads anything
    else (no file, no clock), and takes milliseconds: nobody else is answered meanwhile."""

    NUMBER: ClassVar[int]
    """The request type on the wire, unique among installed plugins."""

    @hookspec
    @abstractmethod
    def answer(self, view: ConfigView, query: Any) -> Answer:
        """Answer one request; `query` is any JSON value.

        A value that the type cannot take: raise BadQuery, or return an error answer. Anything
        else that is raised counts as a defect; its sender gets ERROR_INTERNAL.
        """


def ok(answer: Any, serial: int) -> Answer:
    return Answer(STATUS_OK, answer, serial)


def error(code: int) -> Answer:
    """An error answer as upstream's own: the bare code, serial 0."""
    return Answer(STATUS_ERROR, code, 0)


def refuse(code: int, text: str, *, status: int = STATUS_ERROR, **details: Any) -> Answer:
    """An error answer for what upstream leaves unanswered: code and text, with more details."""
    return Answer(status, {"code": code, "text": text, **details}, 0)


def parse_query(query: Any) -> str | DictQuery | None:
    """Return a query in one of upstream's three forms; raises BadQuery for other values."""
    if query is None or isinstance(query, str):
        return query
    if not isinstance(query, dict):
        kind = type(query).__name__
        raise BadQuery(f"the query is of JSON type {kind}; null, a string or an object is taken")
    try:
        return msgspec.convert(query, DictQuery)
    except msgspec.ValidationError as problem:
        raise BadQuery(
            f'bad query object: {problem}; "0" is a link, "1" an address, "2" a list of addresses, '
            f'"3" a list of field numbers'
        ) from None


def one_string(query: Any) -> str | Answer:
    """For types that take one string: the string, or the answer upstream gives to other forms."""
    form = parse_query(query)
    if isinstance(form, str):
        return form
    name = "EmptyQuery" if form is None else "DictQuery"
    return Answer(STATUS_ERROR, f"Invalid query type {name}", 0)
