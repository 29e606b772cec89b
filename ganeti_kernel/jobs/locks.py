"""Who may touch what: locks granted all at once, in order, so that nothing waits in a circle.

A job asks for everything an opcode needs in one request and holds nothing while it waits, so
there is no deadlock. Requests are granted by priority, then by age; a request that would take
something an earlier one still waits for has to wait too. A waiter that was overtaken by a more
urgent, younger one becomes more urgent itself, so nobody waits for ever.

A request can also pick: of some bundles of locks it takes those that are free. What it only may
take keeps nobody else waiting, so whoever asks has to give up some time.

This module is pure: it decides, others act.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ganeti_kernel.errors import LockError
from ganeti_kernel.jobs.job import HIGHEST_PRIORITY
from ganeti_kernel.jobs.operation import ALL, LEVELS, Lock, Pick


@dataclass(slots=True)
class Waiter:
    """A request that is not granted yet. `age` grows with each request ever made.

    `since`: when it was made, on the caller's clock.
    """

    owner: int
    claims: Claims
    priority: int
    age: int
    since: float
    bundles: Sequence[Claims] = ()
    least: int = 0

    @property
    def rank(self) -> tuple[int, int]:
        return self.priority, self.age


class Blocker(NamedTuple):
    """Why a request is not granted: `owner` holds, or is to have before, what `lock` excludes."""

    lock: Lock
    owner: int
    holds: bool


class Claims:
    """A set of locks, indexed by level and name; exclusive wins over shared."""

    __slots__ = ("_levels",)

    def __init__(self, locks: Iterable[Lock]) -> None:
        self._levels: dict[str, dict[str, bool]] = {}
        for lock in locks:
            if lock.level not in LEVELS or not lock.name:
                raise LockError(f"{lock.level}/{lock.name} is not a lock")
            names = self._levels.setdefault(lock.level, {})
            names[lock.name] = names.get(lock.name, False) or lock.exclusive

    def __iter__(self) -> Iterator[Lock]:
        for level in LEVELS:
            for name, exclusive in sorted(self._levels.get(level, {}).items()):
                yield Lock(level, name, exclusive)

    def __bool__(self) -> bool:
        return bool(self._levels)

    def clash(self, other: Claims) -> Lock | None:
        """The first of these locks that cannot be held while the others are."""
        return next((lock for lock in self if Claims([lock]).conflict(other)), None)

    def conflict(self, other: Claims) -> bool:
        """Whether the two cannot be held at once. A level's set lock stands for all its names."""
        for level, mine in self._levels.items():
            theirs = other._levels.get(level)
            if theirs and _conflict(mine, theirs):
                return True
        return False

    def cover(self, other: Claims) -> bool:
        """Whether whoever holds these holds the others as well."""
        return all(
            mode <= max(self._mode(level, name), self._mode(level, ALL))
            for level, names in other._levels.items()
            for name, mode in names.items()
        )

    def _mode(self, level: str, name: str) -> int:
        """-1 not held, 0 shared, 1 exclusive."""
        return int(self._levels.get(level, {}).get(name, -1))


def _conflict(mine: dict[str, bool], theirs: dict[str, bool]) -> bool:
    for own, other in ((mine, theirs), (theirs, mine)):
        if ALL in own and (own[ALL] or any(other.values())):
            return True
    small, large = (mine, theirs) if len(mine) <= len(theirs) else (theirs, mine)
    return any(name in large and (mode or large[name]) for name, mode in small.items())


class LockManager:
    """All locks of the cluster. Methods that free something return the owners granted by it."""

    def __init__(self) -> None:
        self._held: dict[int, Claims] = {}
        self._waiting: dict[int, Waiter] = {}
        self._age = 0

    def request(
        self,
        owner: int,
        locks: Collection[Lock],
        priority: int = 0,
        *,
        pick: Pick | None = None,
        now: float = 0.0,
    ) -> list[int]:
        """Ask for locks; the owner is in the answer when it has them now.

        Asking again for what is held is granted at once (a request repeated after a crash).
        Raises LockError when the owner holds other locks: it must release them first.
        """
        claims = Claims(locks)
        bundles = [Claims(bundle) for bundle in pick.bundles] if pick is not None else []
        least = pick.least if pick is not None else 0
        held = self._held.get(owner)
        if held is not None:
            if held.cover(claims) and sum(map(held.cover, bundles)) >= least:
                return [owner]
            raise LockError(f"job {owner} asks for more locks while it holds some")
        self._age += 1
        self._waiting[owner] = Waiter(owner, claims, priority, self._age, now, bundles, least)
        return self._grant()

    def reinstate(self, owner: int, locks: Collection[Lock]) -> None:
        """Give an owner the locks it held before a restart; raises LockError on a conflict."""
        claims = Claims(locks)
        if not claims:
            return
        for other, held in self._held.items():
            if other != owner and held.conflict(claims):
                raise LockError(f"jobs {other} and {owner} both claim to hold the same lock")
        self._held[owner] = claims

    def release(self, owner: int) -> list[int]:
        """Free all that the owner holds or waits for."""
        held = self._held.pop(owner, None)
        waited = self._waiting.pop(owner, None)
        return self._grant() if held is not None or waited is not None else []

    def narrow(self, owner: int, locks: Collection[Lock]) -> list[int]:
        """Free all that the owner holds but these. Raises LockError for one it does not hold."""
        claims = Claims(locks)
        self.check_held(owner, claims)
        if claims:
            self._held[owner] = claims
        else:
            self._held.pop(owner, None)
        return self._grant()

    def check_held(self, owner: int, locks: Iterable[Lock]) -> None:
        """Raise LockError when the owner does not hold all of these."""
        if not self._held.get(owner, Claims(())).cover(Claims(locks)):
            raise LockError(f"job {owner} wants to keep locks that it does not hold")

    def withdraw(self, owner: int) -> list[int]:
        """Forget what the owner waits for; what it holds it keeps (for a recovery)."""
        return self._grant() if self._waiting.pop(owner, None) is not None else []

    def set_priority(self, owner: int, priority: int) -> list[int]:
        """Change a waiter's priority; one that does not wait is left alone."""
        waiter = self._waiting.get(owner)
        if waiter is None:
            return []
        waiter.priority = priority
        return self._grant()

    def held(self, owner: int) -> list[Lock]:
        claims = self._held.get(owner)
        return list(claims) if claims else []

    def is_waiting(self, owner: int) -> bool:
        return owner in self._waiting

    def owners(self) -> dict[int, list[Lock]]:
        return {owner: list(claims) for owner, claims in self._held.items()}

    def waiters(self) -> list[Waiter]:
        """Who waits, in the order in which they will be served."""
        return sorted(self._waiting.values(), key=lambda item: item.rank)

    def blockers(self, owner: int) -> list[Blocker]:
        """Whom a waiter waits for: who holds what it must have, and whoever comes before it.

        When it only has too few bundles, that is who is in the way of those.
        """
        waiter = self._waiting.get(owner)
        if waiter is None:
            return []
        return self._against(waiter, [waiter.claims]) or self._against(waiter, waiter.bundles)

    def lacks_bundles(self, owner: int) -> bool:
        """Whether a waiter could have all it must have, and only too few bundles are free."""
        waiter = self._waiting.get(owner)
        return waiter is not None and not self._against(waiter, [waiter.claims])

    def _against(self, waiter: Waiter, wanted: Iterable[Claims]) -> list[Blocker]:
        held = [(other, claims, True) for other, claims in self._held.items()]
        before = [
            (other.owner, other.claims, False)
            for other in self.waiters()
            if other.rank < waiter.rank
        ]
        return [
            Blocker(lock, other, holds)
            for claims in wanted
            for other, theirs, holds in [*held, *before]
            if (lock := claims.clash(theirs)) is not None
        ]

    def _grant(self) -> list[int]:
        granted: list[int] = []
        passed: list[Claims] = []
        for waiter in self.waiters():
            claims = self._possible(waiter, passed)
            if claims is None:
                passed.append(waiter.claims)
                continue
            del self._waiting[waiter.owner]
            if claims:
                self._held[waiter.owner] = claims
            granted.append(waiter.owner)
            self._compensate(waiter.age, claims)
        return granted

    def _possible(self, waiter: Waiter, passed: Sequence[Claims]) -> Claims | None:
        """What a waiter can have now, or None: nothing. `passed`: who is to be served before."""
        if self._taken(waiter.claims, passed):
            return None
        if not waiter.bundles:
            return waiter.claims
        free = [bundle for bundle in waiter.bundles if not self._taken(bundle, passed)]
        if len(free) < waiter.least:
            return None
        return Claims(lock for claims in (waiter.claims, *free) for lock in claims)

    def _taken(self, claims: Claims, passed: Sequence[Claims]) -> bool:
        return any(claims.conflict(other) for other in passed) or any(
            claims.conflict(held) for held in self._held.values()
        )

    def _compensate(self, age: int, granted: Claims) -> None:
        for other in self._waiting.values():
            if other.age < age and other.claims.conflict(granted):
                other.priority = max(HIGHEST_PRIORITY, other.priority - 1)
