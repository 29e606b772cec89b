"""Which jobs start: order, limit, dependencies, filters."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ganeti_kernel.jobs.job import Job, OpRecord
from ganeti_kernel.jobs.ratelimit import RateLimits
from ganeti_kernel.jobs.scheduler import START, Opinion, decide, wait


def job(number: int, priority: int = 0, depends: list[Any] | None = None) -> Job:
    value = {"OP_ID": "OP_TEST_DELAY", "duration": 0, "depends": depends}
    return Job(id=number, ops=[OpRecord(input=value, priority=priority)])


@given(st.lists(st.integers(-20, 19), max_size=30), st.integers(0, 40), st.integers(0, 10))
def test_most_urgent_first_then_oldest_within_the_limit(
    priorities: list[int], limit: int, running: int
) -> None:
    jobs = [job(number, priority) for number, priority in enumerate(priorities, 1)]
    out = decide(jobs, {}, range(1000, 1000 + running), limit)
    order = sorted(jobs, key=lambda item: (item.priority, item.id))
    assert out.start == [item.id for item in order][: max(0, limit - running)]


def test_dependencies() -> None:
    statuses = {1: "success", 2: "running", 3: "error", 4: "canceled"}
    jobs = [
        job(10, depends=[[1, ["success"]]]),
        job(11, depends=[[2, []]]),
        job(12, depends=[[3, ["success"]]]),
        job(13, depends=[[3, []]]),
        job(14, depends=[[4, ["success", "error"]]]),
        job(15, depends=[[99, []]]),
    ]
    out = decide(jobs, statuses, [], 20)
    assert out.start == [10, 13]
    ended = {verdict.job_id: (verdict.status, str(verdict.error)) for verdict in out.end}
    assert ended[12] == (
        "error",
        "Job 3, on which this job depends, ended with status error, expected success",
    )
    assert ended[14][0] == "canceled"
    assert ended[15] == ("error", "Job 99, on which this job depends, is lost")
    assert sorted(ended) == [12, 14, 15]


class Strict:
    """Lets job 1 wait, rejects job 2."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.let_through: list[int] = []

    def opinion(self, item: Job) -> Opinion:
        self.asked.append(item.id)
        return {1: wait("tea"), 2: Opinion("reject", "no")}.get(item.id, START)

    def started(self, item: Job) -> None:
        self.let_through.append(item.id)


def test_judges_are_asked_in_order_and_only_while_there_is_room() -> None:
    judge, second = Strict(), Strict()
    jobs = [job(number) for number in range(1, 6)]
    out = decide(jobs, {}, [], 2, [judge, second])
    assert out.start == judge.let_through == second.let_through == [3, 4]
    assert [(verdict.job_id, verdict.status) for verdict in out.end] == [(2, "canceled")]
    assert judge.asked == [1, 2, 3, 4]
    assert second.asked == [3, 4], "who is refused by the first is not shown to the next"
    assert out.wait == {1: "tea", 5: "one of the 2 jobs that may run at once to end"}


def limited(number: int, *texts: str) -> Job:
    reason = [["gnt:user", text, 1] for text in texts]
    return Job(id=number, ops=[OpRecord(input={"OP_ID": "OP_TEST_DELAY", "reason": reason})])


def test_rate_limits_of_reasons() -> None:
    running = [limited(1, "rate-limit:2:copies")]
    jobs = [
        limited(11, "rate-limit:2:copies"),
        limited(12, "rate-limit:2:copies"),
        limited(13, "rate-limit:1:copies"),
        limited(14, "rate-limit:1:other", "rate-limit:2:copies"),
        limited(15, "rate-limit:0:none", "rate-limit:x:none", "no limit"),
        limited(16, "rate-limit:1:other"),
    ]
    out = decide(jobs, {}, running, 20, [RateLimits(running)])
    assert out.start == [11, 13, 15, 16], "14 took no place of 'other' while it waits for 'copies'"
    assert out.wait[12] == "the rate limit 2:copies, of which 2 jobs run"
