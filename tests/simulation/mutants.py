"""Defects that the simulation must find: each is one change of the real code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest

from ganeti_kernel.config.keys import QUEUE_SERIAL, job_key
from ganeti_kernel.jobs import scheduler, starting
from ganeti_kernel.jobs.commit import Committer
from ganeti_kernel.jobs.grants import Grants
from ganeti_kernel.jobs.job import Job
from ganeti_kernel.jobs.locks import Claims, LockManager
from ganeti_kernel.jobs.manager import JobManager
from ganeti_kernel.jobs.queue import JobQueue
from ganeti_kernel.jobs.ratelimit import RateLimits
from ganeti_kernel.jobs.server import JobServer
from ganeti_kernel.jobs.starting import Starter
from ganeti_kernel.specs.store import Put

Patch = Callable[[pytest.MonkeyPatch], None]


def set_lock_stands_for_nothing(patch: pytest.MonkeyPatch) -> None:
    """Who holds all nodes does not keep others from one of them."""

    def conflict(self: Claims, other: Claims) -> bool:
        return any(a.level == b.level and a.name == b.name and (a.exclusive or b.exclusive)
                   for a in self for b in other)  # fmt: skip

    patch.setattr(Claims, "conflict", conflict)


def readers_overtake(patch: pytest.MonkeyPatch) -> None:
    """Whoever can be served is served, though an earlier one waits for the same."""
    taken = LockManager._taken
    patch.setattr(LockManager, "_taken", lambda self, claims, _passed: taken(self, claims, ()))


def urgent_ones_starve_others(patch: pytest.MonkeyPatch) -> None:
    """Who is overtaken does not become more urgent."""
    patch.setattr(LockManager, "_compensate", lambda *_args: None)


def nobody_is_woken(patch: pytest.MonkeyPatch) -> None:
    """Freed locks are not given to who waits for them."""

    def release(self: LockManager, owner: int) -> list[int]:
        self._held.pop(owner, None)
        self._waiting.pop(owner, None)
        return []

    patch.setattr(LockManager, "release", release)


def a_pick_takes_what_is_held(patch: pytest.MonkeyPatch) -> None:
    """Of what it may pick, a job is given also what is not free."""

    def possible(self: LockManager, waiter: Any, passed: Any) -> Claims | None:
        if self._taken(waiter.claims, passed):
            return None
        return Claims(lock for claims in (waiter.claims, *waiter.bundles) for lock in claims)

    patch.setattr(LockManager, "_possible", possible)


def narrowing_frees_only_in_memory(patch: pytest.MonkeyPatch) -> None:
    """A restart gives back what a job had given back."""

    async def narrow(self: Grants, job_id: int, locks: Any, extra: Any = ()) -> None:
        await self._queue.update(job_id, lambda old: old, extra)
        self._wake(self.locks.narrow(job_id, sorted(locks)))

    patch.setattr(Grants, "narrow", narrow)


def locks_are_forgotten_by_a_restart(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(JobManager, "_reinstate", lambda *_args: None)


def a_job_between_two_opcodes_is_lost(patch: pytest.MonkeyPatch) -> None:
    """What a restart finds between two opcodes counts as not begun, and is never started."""
    patch.setattr(JobManager, "_is_lost", lambda _self, job: job.status != "queued")


def dependencies_do_not_matter(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scheduler, "_check_dependencies", lambda *_args: "")


def youngest_first(patch: pytest.MonkeyPatch) -> None:
    """Jobs start in the wrong order."""
    real = scheduler.decide

    def decide(queued: Any, statuses: Any, running: Any, limit: int, judges: Any) -> Any:
        out = real(queued, statuses, running, limit, judges)
        out.start.reverse()
        return out

    patch.setattr(starting, "decide", decide)


def rate_limits_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    """Jobs that are started together do not count."""
    patch.setattr(RateLimits, "started", lambda *_args: None)


def answered_before_it_is_on_disk(patch: pytest.MonkeyPatch) -> None:
    """A submission does not wait for the disk."""

    commit = Committer.commit

    async def impatient(self: Committer, changes: Any, compare: Any = ()) -> int | None:
        task = asyncio.get_running_loop().create_task(commit(self, changes, compare))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return 1 if any(change.key == QUEUE_SERIAL for change in changes) else await task

    patch.setattr(Committer, "commit", impatient)


def cancelled_jobs_are_started(patch: pytest.MonkeyPatch) -> None:
    """A job may be started while it is being cancelled."""

    async def end(self: Starter, job_id: int, status: str, error: Any) -> bool:
        await self._ending.end_with(job_id, status, error)
        return True

    patch.setattr(Starter, "end", end)


def repeated_requests_count_twice(patch: pytest.MonkeyPatch) -> None:
    """The acknowledgement of a request is not kept, so a repetition is carried out again."""
    patch.setattr(JobServer, "load", _nothing)


def endings_leave_jobs_running(patch: pytest.MonkeyPatch) -> None:
    """An end is not followed by a look for what can start now."""
    real = JobManager._after

    def after(self: JobManager, job_id: int) -> None:
        real(self, job_id)
        self.starter._kicked.clear()

    patch.setattr(JobManager, "_after", after)


def records_forget_the_past(patch: pytest.MonkeyPatch) -> None:
    """Two changes of one job at the same time: the later one is made from the old record."""

    async def update(self: JobQueue, job_id: int, change: Any, extra: Any = ()) -> Job:
        old = self.get(job_id)
        new: Job = change(old)
        puts = [Put(job_key(job_id), msgspec.json.encode(new)), *extra]
        await self._committer.commit(puts)
        self.jobs[job_id] = new
        self._notify(job_id)
        return new

    patch.setattr(JobQueue, "update", update)


async def _nothing(*_args: Any) -> None:
    return None


MUTANTS: Final[tuple[Patch, ...]] = (
    set_lock_stands_for_nothing,
    readers_overtake,
    urgent_ones_starve_others,
    nobody_is_woken,
    a_pick_takes_what_is_held,
    narrowing_frees_only_in_memory,
    locks_are_forgotten_by_a_restart,
    a_job_between_two_opcodes_is_lost,
    dependencies_do_not_matter,
    youngest_first,
    rate_limits_are_not_counted,
    answered_before_it_is_on_disk,
    cancelled_jobs_are_started,
    repeated_requests_count_twice,
    endings_leave_jobs_running,
    records_forget_the_past,
)
