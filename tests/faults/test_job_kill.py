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
def test_kill_at_every_request(master: Master, who: str) -> None:
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
    print(f"killed {who}: {dict(outcomes)}")
    assert not list((master.paths.run_dir / "livelocks").iterdir())
