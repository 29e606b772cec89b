"""Which queued jobs start now: dependencies, priorities, filters, the limit of running jobs.

Pure: from the state of the queue to a decision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

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
    """What to do now: start these jobs in this order, end those; for what the others wait."""

    start: list[int] = field(default_factory=list)
    end: list[Verdict] = field(default_factory=list)
    wait: dict[int, str] = field(default_factory=dict)


class Opinion(NamedTuple):
    """What somebody thinks of a job: "start", "wait" or "reject", and why not start it."""

    action: str
    why: str = ""


START: Final = Opinion("start")


def wait(why: str) -> Opinion:
    return Opinion("wait", why)


class Judge(Protocol):
    """Somebody who is asked before a job starts; counts what it let through."""

    def opinion(self, job: Job) -> Opinion: ...

    def started(self, job: Job) -> None:
        """The job starts: the others agreed."""


def decide(
    queued: Iterable[Job],
    statuses: Mapping[int, str],
    running: Collection[object],
    limit: int,
    judges: Sequence[Judge] = (),
) -> Decision:
    """Decide about queued jobs.

    `statuses` must know every job that a queued one depends on (absent: lost); `running` are
    the jobs that have a process. Judges are asked in starting order, at most once a job, one
    after the other until one objects, and are told of no job that waits for another.
    """
    out = Decision()
    ready: list[Job] = []
    for job in queued:
        verdict = _check_dependencies(job, statuses)
        if isinstance(verdict, Verdict):
            out.end.append(verdict)
        elif verdict:
            out.wait[job.id] = verdict
        else:
            ready.append(job)
    room = max(0, limit - len(running))
    for job in sorted(ready, key=lambda item: (item.priority, item.id)):
        if len(out.start) >= room:
            out.wait[job.id] = f"one of the {limit} jobs that may run at once to end"
            continue
        opinion = next((item for item in _opinions(judges, job) if item.action != "start"), START)
        if opinion.action == "start":
            out.start.append(job.id)
            for judge in judges:
                judge.started(job)
        elif opinion.action == "reject":
            out.end.append(Verdict(job.id, CANCELED, JobCanceled(opinion.why)))
        else:
            out.wait[job.id] = opinion.why
    return out


def _opinions(judges: Sequence[Judge], job: Job) -> Iterator[Opinion]:
    return (judge.opinion(job) for judge in judges)


def _check_dependencies(job: Job, statuses: Mapping[int, str]) -> str | Verdict:
    """What to wait for (nothing: all fulfilled), or a verdict: one can never be fulfilled."""
    waits: list[int] = []
    for other, accepted in job.depends():
        status = statuses.get(other)
        if status is None:
            return Verdict(
                job.id,
                ERROR,
                OpPrereqError(f"Job {other}, on which this job depends, is lost", "unknown_entity"),
            )
        if status not in FINAL:
            waits.append(other)
        elif status not in accepted:
            text = (
                f"Job {other}, on which this job depends, ended with status {status}, "
                f"expected {' or '.join(sorted(accepted))}"
            )
            if status == CANCELED:
                return Verdict(job.id, CANCELED, JobCanceled(text))
            return Verdict(job.id, ERROR, OpPrereqError(text, "wrong_state"))
    if not waits:
        return ""
    return f"the end of job {', '.join(map(str, waits))}, on which it depends"
