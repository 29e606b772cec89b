"""Collector: makes one report of the monitoring daemon.

Source: upstream's monitoring agent design and the 3.0 daemon.

The daemon runs each collector in a process of its own, which it may end at any moment: for a
deadline, for memory, for a reload. What a stateful collector must not lose travels through
`save` and `restore`. The process's class attributes may be set on the object too (a collector
that learns its category from a file does).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from ganeti_kernel.specs.base import Plugin, hookspec

KIND_PERFORMANCE: Final = 0
KIND_STATUS: Final = 1

CATEGORIES: Final = (None, "instance", "storage", "daemon", "hypervisor")

OK: Final = 0
REPAIRING: Final = 1
"""Temporarily bad, being repaired without anybody's help."""
UNKNOWN: Final = 2
"""Cannot be determined."""
BAD: Final = 4
"""Bad, needs somebody's help."""

CODES: Final = (OK, REPAIRING, UNKNOWN, BAD)


def status(code: int, message: str = "") -> dict[str, Any]:
    """The status object of a report or of one item in it."""
    return {"code": code, "message": message}


def merge_status(items: Iterable[tuple[int, str]]) -> dict[str, Any]:
    """The status object of many items, each `(code, message)`.

    The worst code wins. The text is what upstream 3.0 sends: the last item's message first, each
    on a line of its own after an empty one; empty messages are left out.
    """
    worst, lines = OK, []
    for code, message in items:
        worst = max(worst, code)
        if message:
            lines.append("\n" + message)
    return status(worst, "".join(reversed(lines)))


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a report's data, described once for documents and for Prometheus.

    `path` starts at the data: `a.b` is a member, `a[]` an item of a list, `a[cpu]` the same with
    its position as label `cpu`, `{domain}` a member whose key is a label of that name. `type` is
    a JSON type's name. A field with `label` tells the items of its list apart.

    As a metric a number is multiplied by `scale` and called
    `ganeti_<collector>_<metric or the path's words>`; `counter` marks one that only grows.
    """

    path: str
    help: str
    type: str = "int"
    unit: str = ""
    metric: str = ""
    counter: bool = False
    scale: float = 1
    label: bool = False


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """An option of `mon-collector`. `kind` "file": a recording that `use_inputs` gets instead of
    the live source; "address" and "port": where confd is."""

    name: str
    short: str
    help: str
    kind: str = "file"

    @property
    def metavar(self) -> str:
        return {"file": "FILE", "address": "IP_ADDR", "port": "PORT"}[self.kind]


CONFD_INPUTS: Final = (
    Input(name="address", short="a", kind="address", help="address of the confd server to ask"),
    Input(name="port", short="p", kind="port", help="port of the confd server to ask"),
)


class Collector(Plugin):
    """The contract. Calls never overlap. A stateful collector gets `update` at its interval,
    whether or not anybody reads the report; `collect` makes the data from what is known now.

    Leave nothing behind: a child process that outlives the call is killed.
    """

    CATEGORY: str | None = None
    KIND: int = KIND_PERFORMANCE
    FORMAT_VERSION: int = 1
    VERSION: str = "B"
    STATEFUL: bool = False

    INTERVAL: float = 5.0
    """Seconds between two reports unless the cluster's configuration says otherwise."""
    DEADLINE: float = 10.0
    """Seconds `update` and `collect` may take together; then the process is killed."""
    MEMORY: int = 128
    """MiB of address space the process may take beyond what the daemon gave it."""

    FIELDS: tuple[Field, ...] = ()
    INPUTS: tuple[Input, ...] = ()

    @hookspec
    def precondition(self) -> str | None:
        """Return why this node cannot have the report (no such kernel module), None if it can.

        Asked when the process starts, and once a minute while it says no.
        """
        return None

    @hookspec
    def update(self, now: float) -> None:
        """Take a sample; `now` is seconds on this machine's clock since boot."""

    @hookspec
    @abstractmethod
    def collect(self) -> Any:
        """Return the report's `data`, a JSON value. Status collectors include the status object
        `{"code": 0|1|2|4, "message": text}` under "status". Any exception becomes a report that
        says so."""

    @hookspec
    def metrics(self, data: Any) -> str | None:
        """Return this data as Prometheus text; None: the daemon makes it out of `FIELDS`."""
        return None

    @hookspec
    def save(self) -> Any:
        """Return a JSON value from which `restore` goes on in another process; None: nothing."""
        return None

    @hookspec
    def restore(self, state: Any) -> None:
        """Take over what `save` returned; called before the first `update`."""

    @hookspec
    def use_inputs(self, inputs: Mapping[str, str]) -> None:
        """Read these recordings (name of an `Input` of kind "file" -> path) instead of live
        sources. Paths exist no more than any file does: `collect` raises for a bad one."""
