"""kill -9 of everything that runs jobs, at every request a job makes: nothing is lost or left."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Master

MAKE: dict[str, Any] = {"OP_ID": "OP_TEST_DUMMY"}
MARKS = {"mark0", "mark1", "mark3", "mark4"}
ROUNDS = {
    "job": (("before", 1), ("between", 1), ("after", 1)),
    "parent": (("between", 1),),
    "master": (("between", 1), ("after", 2)),
    "both": (("between", 1), ("after", 2)),
}
"""Whom to kill -> when, and at every how manieth request. After one request is before the next."""


PIVOT = 2
"""The step of MAKE that changes the configuration, when it is said to be a pivot."""


def effects(master: Master) -> set[str]:
    folder = master.paths.root / "effects"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def instances(master: Master) -> list[str]:
    text = master.paths.config_file.read_text()
    return ["made.example.com"] if "made.example.com" in text else []


def check_definite(master: Master, job_id: int) -> str:
    """The job ended one way or the other, with all or nothing of its work."""
    status, result, _log = master.wait(job_id)
    if status == "success":
        assert effects(master) == MARKS
        assert instances(master)
        assert result == [0, 1, "made", 3, 4] or result == [0, 1, "there", 3, 4]
    else:
        assert status == "error"
        assert effects(master) == set()
        assert not instances(master)
        assert result[0] == "OpExecError"
        assert "its process died" in result[1][0]
        assert "step" in result[1][0]
    assert master.leftovers() == []
    return status


def clean(master: Master) -> None:
    """Undo a success: the next round needs the same locks and makes the same things."""
    for name in effects(master):
        (master.paths.root / "effects" / name).unlink()
    status, _result, _log = master.wait(master.submit({**MAKE, "submit_jobs": "remove"}))
    assert status == "success"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("who", list(ROUNDS))
def test_kill_at_every_request(master: Master, who: str, record_property: Any) -> None:
    """Kill at request 1, 2, … of the job until a job makes fewer requests than that."""
    outcomes: Counter[str] = Counter()
    for when, pace in ROUNDS[who]:
        at = 1
        while True:
            master.set_fault(who=who, at=at, when=when)
            job_id = master.submit(MAKE)
            status = check_definite(master, job_id)
            fired = master.fault_fired()
            if not fired:
                assert status == "success"
            elif who in ("parent", "master"):
                assert status == "success", "the job itself was not killed"
            if status == "success":
                clean(master)
            if not fired:
                break
            outcomes[status] += 1
            at += pace
        assert at > 15
    record_property("figure", f"job of five steps, kill -9 of {who}: {dict(outcomes)}")
    folder = master.paths.run_dir / "livelocks"
    master.wait_until(lambda: not list(folder.iterdir()), "all livelocks to go")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_carried_on_past_the_pivot(master: Master, record_property: Any) -> None:
    """Killed before its pivot has ended a job is undone, after it it is carried through."""
    outcomes: Counter[str] = Counter()
    at = 1
    while True:
        master.set_fault(who="job", at=at, when="after")
        status = check_definite(master, master.submit({**MAKE, "result": PIVOT}))
        if status == "success":
            clean(master)
        if not master.fault_fired():
            break
        outcomes[status] += 1
        at += 1
    record_property("figure", f"job with a pivot, kill -9 of it: {dict(outcomes)}")
    assert outcomes["error"] > 10
    assert outcomes["success"] > 5


def test_failure_past_the_pivot_says_what_is_left(master: Master) -> None:
    job_id = master.submit({**MAKE, "result": PIVOT, "fail": True})
    status, result, _log = master.wait(job_id)
    assert status == "error"
    assert result == [
        "OpExecError",
        ["step break: it was asked to break; it cannot be undone any more; still to do: break"],
    ]
    assert effects(master) == {"mark0", "mark1", "mark3"}
    assert master.leftovers() == []
    clean(master)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_recovery_that_is_killed_is_recovered(master: Master) -> None:
    """Kill the job in its fourth step, then the process that undoes its work, at each request."""
    at = 1
    while True:
        then = {"who": "job", "at": at, "when": "between"}
        master.set_fault(who="job", at=18, when="between", then=then)
        assert check_definite(master, master.submit(MAKE)) == "error"
        if not master.fault_fired():
            break
        at += 1
    assert at > 8


def test_job_that_cannot_be_recovered_is_given_up(master: Master) -> None:
    """Its recovery dies again and again: it ends with the reason, and its locks are free."""
    fault = {"who": "job", "at": 3, "when": "after"}
    for _ in range(2):
        fault = {"who": "job", "at": 3, "when": "after", "then": fault}
    master.set_fault(who="job", at=18, when="after", then=fault)
    status, result, _log = master.wait(master.submit(MAKE))
    assert status == "error"
    assert "3 attempts to undo what it had begun died as well" in result[1][0]
    assert master.leftovers() == []
    assert master.wait(master.submit({**MAKE, "submit_jobs": "remove"}))[0] == "success"
