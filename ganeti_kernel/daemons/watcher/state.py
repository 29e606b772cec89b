"""What the watcher remembers of a node group, and what it decides by it. Pure.

State file and limits are upstream 3.0's: `{"node": {name: {"bootid": …}}, "instance": {name:
{"restart_count": …, "restart_when": …, "cleanup_count": …, "cleanup_when": …}}}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

MAX_TRIES: Final = 5
RETRY_EXPIRATION: Final = 8 * 3600.0
"""So many tries, then none for so many seconds."""

RESTART: Final = "restart"
CLEANUP: Final = "cleanup"

WANTED: Final = {"ERROR_down": RESTART, "USER_down": CLEANUP}
"""An instance's status -> what is to be done about it."""

HELPLESS: Final = frozenset({"ERROR_nodedown", "ERROR_nodeoffline", "ERROR_wrongnode"})
"""States that only a person can end."""


class Tries(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was tried for one instance; `*_when` are seconds since the epoch."""

    restart_count: int = 0
    restart_when: float = 0.0
    restart_job: int = 0
    cleanup_count: int = 0
    cleanup_when: float = 0.0
    cleanup_job: int = 0


class NodeMemory(msgspec.Struct):
    bootid: str = ""


class State(msgspec.Struct):
    """The whole file of one node group."""

    node: dict[str, NodeMemory] = {}
    instance: dict[str, Tries] = {}


class InstanceRow(NamedTuple):
    """What is asked of an instance. `secondaries` are node names."""

    name: str
    status: str
    disks_active: bool
    secondaries: Sequence[str]


class Decision(NamedTuple):
    """What is to be done for one instance, and the line for the log."""

    name: str
    action: str | None
    text: str


def decide(
    state: State, rows: Iterable[InstanceRow], now: float, pending: frozenset[int] = frozenset()
) -> list[Decision]:
    """Decide for each instance; forgets those that are well or gone. `pending`: unfinished jobs."""
    found = list(rows)
    for name in set(state.instance) - {row.name for row in found}:
        del state.instance[name]
    out = []
    for row in found:
        tries = state.instance.get(row.name)
        action = WANTED.get(row.status)
        if action is None:
            if row.status in HELPLESS:
                out.append(Decision(row.name, None, f"{row.name} is {row.status}: left alone"))
            elif tries is not None:
                del state.instance[row.name]
                if row.status == "running" and tries.restart_count:
                    out.append(Decision(row.name, None, f"{row.name} runs again"))
            continue
        tries = state.instance.setdefault(row.name, Tries())
        out.append(_attempt(row, action, tries, now, pending))
    return out


def _attempt(
    row: InstanceRow, action: str, tries: Tries, now: float, pending: frozenset[int]
) -> Decision:
    count: int = getattr(tries, f"{action}_count")
    when: float = getattr(tries, f"{action}_when")
    job: int = getattr(tries, f"{action}_job")
    if job in pending:
        return Decision(row.name, None, f"{row.name} is {row.status}; job {job} is at it")
    if count and now - when > RETRY_EXPIRATION:
        count = 0
    if count >= MAX_TRIES:
        hours = (RETRY_EXPIRATION - (now - when)) / 3600
        text = f"{row.name} is {row.status}; {count} tries failed, the next in {hours:.1f} hours"
        return Decision(row.name, None, text)
    setattr(tries, f"{action}_count", count + 1)
    setattr(tries, f"{action}_when", now)
    text = f"{row.name} is {row.status}; {action}, try {count + 1} of {MAX_TRIES}"
    return Decision(row.name, action, text)


def rebooted(state: State, bootids: Mapping[str, str]) -> set[str]:
    """Nodes that were started since the last look; remembers what is now. No id: no answer.

    A node that was never seen counts as started anew (upstream 3.0).
    """
    out = set()
    for name, bootid in bootids.items():
        if not bootid:
            continue
        known = state.node.get(name)
        if known is None or known.bootid != bootid:
            out.add(name)
        state.node[name] = NodeMemory(bootid)
    for name in set(state.node) - set(bootids):
        del state.node[name]
    return out


def to_activate(rows: Iterable[InstanceRow], nodes: set[str]) -> list[str]:
    """Instances whose disks a node lost when it was started anew."""
    return [row.name for row in rows if row.disks_active and nodes.intersection(row.secondaries)]
