"""Which queued jobs start now: dependencies, priorities, filters, the limit of running jobs.

Pure: from the state of the queue to a decision.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ganeti_kernel.errors import GenericError, JobCanceled, OpPrereqError
from ganeti_kernel.jobs.job import CANCELED, ERROR, FINAL, Job


@dataclass(frozen=True, slots=True)
class Verdict:
    """A job that will never run: its final status and why."""

    job_id: int
    status: str
    error: GenericError


@dataclass(slots=True)
class Decision:
    """What to do now: start these jobs in this order, end those."""

    start: list[int] = field(default_factory=list)
    end: list[Verdict] = field(default_factory=list)


Judge = Callable[[Job], str]
"""What a filter chain says of a job: "start", "wait" or "reject"."""


def decide(
    queued: Iterable[Job],
    statuses: Mapping[int, str],
    running: Collection[int],
    limit: int,
    judge: Judge | None = None,
) -> Decision:
    """Decide about queued jobs.

    `statuses` must know every job that a queued one depends on (absent: lost); `running` are
    the jobs that have a process. `judge` is asked in starting order, at most once a job, and is
    told of no job that waits for another.
    """
    out = Decision()
    ready: list[Job] = []
    for job in queued:
        verdict = _check_dependencies(job, statuses)
        if isinstance(verdict, Verdict):
            out.end.append(verdict)
        elif verdict:
            ready.append(job)
    room = max(0, limit - len(running))
    for job in _in_order(ready, room if judge is None else len(ready)):
        if len(out.start) >= room:
            break
        answer = judge(job) if judge is not None else "start"
        if answer == "start":
            out.start.append(job.id)
        elif answer == "reject":
            error = JobCanceled("a job filter rejects this job; see gnt-filter list")
            out.end.append(Verdict(job.id, CANCELED, error))
    return out


def _in_order(ready: list[Job], count: int) -> list[Job]:
    """The first `count` jobs, most urgent first, then oldest."""
    return heapq.nsmallest(count, ready, key=lambda item: (item.priority, item.id))


def _check_dependencies(job: Job, statuses: Mapping[int, str]) -> bool | Verdict:
    """True: all fulfilled; False: some to wait for; a verdict: one can never be fulfilled."""
    ready = True
    for other, accepted in job.depends():
        status = statuses.get(other)
        if status is None:
            return Verdict(
                job.id,
                ERROR,
                OpPrereqError(f"Job {other}, on which this job depends, is lost", "unknown_entity"),
            )
        if status not in FINAL:
            ready = False
        elif status not in accepted:
            text = (
                f"Job {other}, on which this job depends, ended with status {status}, "
                f"expected {' or '.join(sorted(accepted))}"
            )
            if status == CANCELED:
                return Verdict(job.id, CANCELED, JobCanceled(text))
            return Verdict(job.id, ERROR, OpPrereqError(text, "wrong_state"))
    return ready
