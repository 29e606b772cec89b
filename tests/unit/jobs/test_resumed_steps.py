"""A step that says it is resumed: done again after its process died, undone when it fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

import ganeti_kernel.operations.test  # noqa: F401 # registers the operation of OP_TEST_DELAY
from ganeti_kernel.errors import OpExecError
from ganeti_kernel.jobs.job import Job, OpRecord
from ganeti_kernel.jobs.journal import Begun, Ended, Entry, Planned
from ganeti_kernel.jobs.operation import STEPS, JobContext, Step, StepPlan
from ganeti_kernel.jobs.runner import JobRunner

PLAN = [StepPlan(name="t.first"), StepPlan(name="t.long", resume=True), StepPlan(name="t.last")]


class Master:
    """The channel of a job process; remembers statuses, journal and log."""

    def __init__(self) -> None:
        self.statuses: list[tuple[str, Any]] = []
        self.entries: list[Entry] = []
        self.canceled = False

    def call(self, method: str, **args: Any) -> Any:
        if method == "status":
            self.statuses.append((args["status"], args.get("result")))
        if method == "journal":
            self.entries += args["entries"]
            return self.canceled
        return None


@pytest.fixture
def did() -> Iterator[list[str]]:
    """What the steps did; a step named in `failing` fails."""
    done: list[str] = []

    def make(name: str) -> type[Step]:
        class Noted(Step):
            NAME = name

            def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
                done.append(f"do {name}")
                if f"fail {name}" in done:
                    raise OpExecError("it went wrong")

            def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
                done.append(f"undo {name}")

        return Noted

    for plan in PLAN:
        STEPS[plan.name] = make(plan.name)
    yield done
    for plan in PLAN:
        del STEPS[plan.name]


def recover(master: Master, *journal: Entry) -> None:
    op = OpRecord(input={"OP_ID": "OP_TEST_DELAY", "duration": 0.0}, status="running")
    hello = {"job": msgspec.to_builtins(Job(id=1, ops=[op])), "secrets": []}
    entries = [Planned(0, PLAN), *journal]
    runner = JobRunner(master, None, {**hello, "journal": msgspec.to_builtins(entries)})  # type: ignore[arg-type]
    runner.run("job process killed")


def test_it_is_done_again_and_the_plan_goes_on(did: list[str]) -> None:
    master = Master()
    recover(master, Begun(0, 0), Ended(0, 0), Begun(0, 1))
    assert did == ["do t.long", "do t.last"]
    assert master.statuses == [("success", None)]


def test_others_are_undone(did: list[str]) -> None:
    master = Master()
    recover(master, Begun(0, 0))
    assert did == ["undo t.first"]
    assert master.statuses[0][0] == "error"


def test_between_steps_all_is_undone(did: list[str]) -> None:
    master = Master()
    recover(master, Begun(0, 0), Ended(0, 0), Begun(0, 1), Ended(0, 1))
    assert did == ["undo t.long", "undo t.first"]


def test_it_is_undone_when_it_fails(did: list[str]) -> None:
    master = Master()
    did.append("fail t.long")
    recover(master, Begun(0, 0), Ended(0, 0), Begun(0, 1))
    assert did[1:] == ["do t.long", "undo t.long", "undo t.first"]
    status, result = master.statuses[-1]
    assert (status, result) == ("error", ["OpExecError", ["step t.long: it went wrong"]])


def test_a_cancel_waits_for_its_end(did: list[str]) -> None:
    master = Master()
    master.canceled = True
    recover(master, Begun(0, 0), Ended(0, 0), Begun(0, 1))
    assert did == ["do t.long", "undo t.long", "undo t.first"]
    assert master.statuses[-1][0] == "canceled"
