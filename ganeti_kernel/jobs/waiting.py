"""For what jobs wait, in words: a job that stands still says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ganeti_kernel.jobs.locks import Blocker, LockManager, Waiter
from ganeti_kernel.jobs.operation import Lock
from ganeti_kernel.objects import ConfigView


def describe(blockers: Iterable[Blocker], name: Callable[[Lock], str]) -> list[str]:
    """One text a lock, with the jobs that are in the way. `name` gives a lock as a person knows it.

    Shape: `lock node/node1.example.com, held by job 3, wanted before by job 5`.
    """
    found: dict[str, dict[bool, set[int]]] = {}
    for blocker in blockers:
        owners = found.setdefault(name(blocker.lock), {True: set(), False: set()})
        owners[blocker.holds].add(blocker.owner)
    return [
        f"lock {lock}{_jobs(', held by', owners[True])}{_jobs(', wanted before by', owners[False])}"
        for lock, owners in found.items()
    ]


def _jobs(text: str, owners: Iterable[int]) -> str:
    numbers = ", ".join(map(str, sorted(owners)))
    return f"{text} job {numbers}" if numbers else ""


def lock_name(lock: Lock) -> str:
    """As upstream writes it: level and instance name or UUID."""
    return f"{lock.level}/{lock.name}"


def named(view: ConfigView) -> Callable[[Lock], str]:
    """Lock names with the object's name in place of its UUID."""
    tables: Mapping[str, Mapping[str, Any]] = {
        "node": view.nodes,
        "node-res": view.nodes,
        "nodegroup": view.nodegroups,
        "network": view.networks,
    }

    def name(lock: Lock) -> str:
        item = tables.get(lock.level, {}).get(lock.name)
        return lock_name(lock) if item is None else f"{lock.level}/{item.name}"

    return name


@dataclass(frozen=True, slots=True)
class Wait:
    """One job that waits for one lock. `since`: seconds since the epoch; `behind`: jobs."""

    job: int
    exclusive: bool
    since: float
    behind: list[int]


def waits(locks: LockManager, lock: Lock, waiters: Iterable[Waiter]) -> list[Wait]:
    """Who waits for a lock and behind whom, in the order in which they will be served."""
    out = []
    for waiter in waiters:
        wanted = next((item for item in waiter.claims if _same(item, lock)), None)
        if wanted is None:
            continue
        behind = {item.owner for item in locks.blockers(waiter.owner) if _same(item.lock, lock)}
        out.append(Wait(waiter.owner, wanted.exclusive, waiter.since, sorted(behind)))
    return out


def _same(one: Lock, other: Lock) -> bool:
    return (one.level, one.name) == (other.level, other.name)
