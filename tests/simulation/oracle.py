"""What must hold, written down a second time and simply, to be held against the real code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from ganeti_kernel.jobs.job import ERROR, FINAL, SUCCESS, Job
from ganeti_kernel.jobs.locks import LockManager, Waiter
from ganeti_kernel.jobs.operation import ALL, LEVELS, Lock, Pick
from ganeti_kernel.jobs.recovery import MAX_RECOVERIES

MOST_OVERTAKINGS: Final = 42
"""From the lowest priority to the highest, one for each; then age decides."""


class Broken(AssertionError):
    """Something that must hold does not."""


def clash(mine: Lock, theirs: Lock) -> bool:
    same = mine.level == theirs.level and (
        mine.name == theirs.name or ALL in (mine.name, theirs.name)
    )
    return same and (mine.exclusive or theirs.exclusive)


def clashes(mine: Iterable[Lock], theirs: Collection[Lock]) -> bool:
    return any(clash(a, b) for a in mine for b in theirs)


class WatchedLocks(LockManager):
    """The real lock manager; looks at each decision it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.overtaken: Counter[int] = Counter()

    def set_priority(self, owner: int, priority: int) -> list[int]:
        self.overtaken[owner] -= MOST_OVERTAKINGS
        return super().set_priority(owner, priority)

    def _grant(self) -> list[int]:
        before = dict(self._waiting)
        granted = super()._grant()
        for owner in granted:
            self.overtaken.pop(owner, None)
            self._check_overtaking(before[owner])
        self._check_first()
        return granted

    def _check_overtaking(self, winner: Waiter) -> None:
        locks = self.held(winner.owner)
        for waiter in self._waiting.values():
            if waiter.age < winner.age and clashes(waiter.claims, locks):
                self.overtaken[waiter.owner] += 1
                if self.overtaken[waiter.owner] > MOST_OVERTAKINGS:
                    raise Broken(f"job {waiter.owner} was overtaken {MOST_OVERTAKINGS} times")

    def _check_first(self) -> None:
        """Who is first waits only for what somebody holds."""
        waiters = sorted(self._waiting.values(), key=lambda item: item.rank)
        for waiter in waiters[:1]:
            held = [lock for locks in self.owners().values() for lock in locks]
            free = [item for item in waiter.bundles if not clashes(item, held)]
            if not clashes(waiter.claims, held) and len(free) >= waiter.least:
                raise Broken(f"job {waiter.owner} waits for nothing")
            if not self.blockers(waiter.owner):
                raise Broken(f"job {waiter.owner} is not told for what it waits")
        for owner in self._waiting:
            if self.held(owner):
                raise Broken(f"job {owner} waits while it holds locks")


class Oracle:
    """Book-keeping of what processes were told and what they did."""

    def __init__(self) -> None:
        self.believed: dict[int, list[Lock]] = {}
        self.alive: dict[int, int] = {}
        self.done: Counter[tuple[int, int, int]] = Counter()
        self.undone: Counter[tuple[int, int, int]] = Counter()
        self.refused: set[int] = set()
        """Jobs that were ended before they began."""

    # -- locks ---------------------------------------------------------------------------------

    def granted(
        self, job_id: int, held: Sequence[Lock], asked: Sequence[Lock], pick: Pick | None,
        jobs: Mapping[int, Job],
    ) -> None:  # fmt: skip
        order = [LEVELS.index(lock.level) for lock in held]
        if order != sorted(order):
            raise Broken(f"job {job_id} was given locks out of order: {held}")
        have = set(held)
        if not all(lock in have or _as_exclusive(lock) in have for lock in asked):
            raise Broken(f"job {job_id} was not given all it asked for")
        if pick is not None:
            whole = [item for item in pick.bundles if have.issuperset(item)]
            if len(whole) < pick.least:
                raise Broken(f"job {job_id} was given fewer than {pick.least} bundles")
        for other, locks in self.believed.items():
            job = jobs.get(other)
            ended = job is None or job.end_timestamp is not None
            if other != job_id and not ended and clashes(held, locks):
                raise Broken(f"jobs {job_id} and {other} hold the same lock")
        self.believed[job_id] = list(held)

    def gives_back(self, job_id: int, keep: Sequence[Lock] = ()) -> None:
        self.believed[job_id] = list(keep)

    # -- work ----------------------------------------------------------------------------------

    def begins(self, job: Job, statuses: Mapping[int, str]) -> None:
        """A process starts to carry out an opcode of this job."""
        for other, accepted in job.depends():
            if statuses.get(other) not in accepted:
                raise Broken(f"job {job.id} runs before job {other} ended as it should")
        if job.id in self.refused:
            raise Broken(f"job {job.id} runs though it was cancelled")

    def does(self, job_id: int, index: int, step: int) -> None:
        self.done[job_id, index, step] += 1
        if self.done[job_id, index, step] > 1:
            raise Broken(f"step {step} of opcode {index} of job {job_id} was done twice")

    def undoes(self, job_id: int, index: int, step: int) -> None:
        self.undone[job_id, index, step] += 1

    def lives(self, job_id: int, pid: int) -> None:
        if job_id in self.alive:
            raise Broken(f"job {job_id} has two processes")
        self.alive[job_id] = pid

    # -- the end -------------------------------------------------------------------------------

    def check_end(self, job: Job, steps: Sequence[int]) -> None:
        """`steps`: how many each opcode has."""
        for index, op in enumerate(job.ops):
            if op.status not in FINAL:
                raise Broken(f"job {job.id} did not end: {op.status}")
            for step in range(steps[index]):
                key = (job.id, index, step)
                there = self.done[key] - min(self.undone[key], self.done[key])
                given_up = op.status == ERROR and job.recoveries >= MAX_RECOVERIES
                if there != (op.status == SUCCESS) and not given_up:
                    raise Broken(f"{key} was done {self.done[key]} times and {op.status} is told")


def _as_exclusive(lock: Lock) -> Lock:
    return Lock(lock.level, lock.name, exclusive=True)


def check_clean(keys: Iterable[str], livelocks: Collection[Any]) -> None:
    left = [key for key in keys if key.startswith(("journal/", "ack/", "reservations/"))]
    if left or livelocks:
        raise Broken(f"left behind: {left} {list(livelocks)}")
