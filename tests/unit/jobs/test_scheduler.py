"""Which jobs start: order, limit, dependencies, filters."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ganeti_kernel.jobs.job import Job, OpRecord
from ganeti_kernel.jobs.scheduler import decide


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


def test_filters_are_asked_in_order_and_only_while_there_is_room() -> None:
    asked: list[int] = []

    def judge(item: Job) -> str:
        asked.append(item.id)
        return {1: "wait", 2: "reject"}.get(item.id, "start")

    out = decide([job(number) for number in range(1, 6)], {}, [], 2, judge)
    assert out.start == [3, 4]
    assert [(verdict.job_id, verdict.status) for verdict in out.end] == [(2, "canceled")]
    assert asked == [1, 2, 3, 4]
