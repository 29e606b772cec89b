"""ConfdQuery: answers one type of confd request from a snapshot of the configuration.

Source: upstream 3.0's confd protocol. Numbers below 1000 are upstream's.
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
    """A reply: `status` STATUS_*; with STATUS_ERROR `answer` is an ERROR_* code or a text;
    `serial` is that of the object the answer comes from, 0 for errors."""

    status: int
    answer: Any
    serial: int


class ConfdQuery(Plugin):
    """The contract. `answer` is pure: the same view and query, the same answer."""

    NUMBER: ClassVar[int]

    @hookspec
    @abstractmethod
    def answer(self, view: ConfigView, query: Any) -> Answer:
        """Answer one request; `query` is any JSON value, a bad one gets an error answer."""
