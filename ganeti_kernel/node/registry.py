"""Which function serves which node call."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ganeti_kernel.errors import ProgrammerError
from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.rpc.server import Handler, make_handler

MODULES: Final = (
    "commands",
    "disks",
    "exports",
    "extstorage",
    "files",
    "guest_os",
    "hooks",
    "info",
    "instances",
    "master",
    "master_ip",
    "migration",
    "network",
    "power",
    "replica",
    "restricted",
    "storage",
    "verify",
)

Arguments = Mapping[str, Any]
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Entry:
    """A call's function, what the call is about, and what must happen before its turn."""

    function: Callable[..., Any]
    subject: Callable[[Arguments], str | None]
    first: Callable[..., Any] | None


ENTRIES: Final[dict[str, Entry]] = {}


def guest_or_disk(args: Arguments) -> str | None:
    """The instance that a call is about; calls on one instance run one after the other."""
    if "guest" in args:
        return f"instance {args['guest'].name}"
    if "disk" in args:
        return f"instance {args['disk'].instance or args['disk'].uuid}"
    return None


def node_call(
    name: str,
    *,
    subject: Callable[[Arguments], str | None] = guest_or_disk,
    first: Callable[..., Any] | None = None,
) -> Callable[[Function], Function]:
    """Register a function `(context, **arguments)` for a call of the table in `rpc.calls`.

    `first(context, **arguments)` runs at once, while the call itself waits for its turn.
    """

    def register(function: Function) -> Function:
        if name in ENTRIES:
            raise ProgrammerError(f"node call {name!r} has two functions")
        ENTRIES[name] = Entry(function, subject, first)
        return function

    return register


def handlers(context: NodeContext) -> dict[str, Handler]:
    """Return the handlers of all calls, bound to this node."""
    for module in MODULES:
        importlib.import_module(f"ganeti_kernel.node.{module}")
    return {
        name: make_handler(
            name,
            functools.partial(entry.function, context),
            entry.subject,
            functools.partial(entry.first, context) if entry.first else None,
        )
        for name, entry in ENTRIES.items()
    }
