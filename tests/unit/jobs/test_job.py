"""A job's status, ends, and upstream's job file."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from ganeti_kernel.errors import OpExecError
from ganeti_kernel.jobs.job import (
    Job,
    OpRecord,
    end_job,
    job_status,
    set_status,
)
from ganeti_kernel.jobs.journal import Begun, Ended, Entry, Failed, Planned, Undone, progress
from ganeti_kernel.jobs.operation import StepPlan

GOLDEN = Path(__file__).parents[2] / "data" / "jobs" / "job-45"


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], "success"),
        (["success", "success"], "success"),
        (["success", "queued"], "queued"),
        (["success", "running", "queued"], "running"),
        (["success", "waiting", "queued"], "waiting"),
        (["error", "error"], "error"),
        (["success", "canceling", "queued"], "canceling"),
        (["canceled", "canceled"], "canceled"),
        (["running", "error"], "error"),
    ],
)
def test_status(statuses: list[str], expected: str) -> None:
    assert job_status(statuses) == expected


def test_end_gives_the_reason_to_the_first_and_the_cause_to_the_rest() -> None:
    job = Job(id=1, ops=[OpRecord(input={}) for _ in range(3)])
    job = set_status(job, 0, "success", 7)
    ended = end_job(job, "error", OpExecError("disk full"))
    assert [op.status for op in ended.ops] == ["success", "error", "error"]
    assert ended.ops[1].result == ["OpExecError", ["disk full"]]
    assert ended.ops[2].result == ["OpExecError", ["Preceding opcode failed"]]
    assert ended.end_timestamp is not None


def test_priority_is_that_of_what_is_still_to_do() -> None:
    job = Job(id=1, ops=[OpRecord(input={}, priority=-10), OpRecord(input={}, priority=10)])
    assert job.priority == -10
    assert set_status(job, 0, "success").priority == 10


def test_a_job_has_upstreams_shape() -> None:
    """Reading a real job file and writing it again changes nothing but the logs, kept apart."""
    golden = json.loads(GOLDEN.read_text())
    for op in golden["ops"]:
        del op["log"]
    job = msgspec.convert(golden, Job)
    assert json.loads(msgspec.json.encode(job)).items() >= golden.items()
    assert job.status == "success"


def test_progress_of_a_journal() -> None:
    steps = [StepPlan(name="a"), StepPlan(name="b", pivot=True), StepPlan(name="c")]
    entries: list[Entry] = [Planned(0, steps), Begun(0, 0), Ended(0, 0, 1), Begun(0, 1)]
    state = progress(entries, 0)
    assert (state.interrupted, state.past_pivot, state.to_undo()) == ("b", False, [1, 0])
    state.apply(Ended(0, 1, 2))
    assert (state.interrupted, state.past_pivot, state.next_step) == (None, True, 2)
    failed = progress([*entries, Failed(0, ["OpExecError", ["x"]]), Undone(0, 1, "stuck")], 0)
    assert failed.to_undo() == [0]
    assert failed.problems == ["stuck"]
    assert progress(entries, 1).planned is False
