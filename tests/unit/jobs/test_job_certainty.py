"""Steps of which nobody knows whether they were done: done again, or never again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ganeti_kernel.errors import RemoteError
from ganeti_kernel.jobs.journal import Begun, Planned, progress
from ganeti_kernel.jobs.operation import STEPS, JobContext, Step, StepPlan
from ganeti_kernel.jobs.runner import _certainly, _where


class Calls:
    """A node call that fails some times, its answer lost or the node not reached."""

    def __init__(self, failures: int, *, uncertain: bool) -> None:
        self.left = failures
        self.uncertain = uncertain
        self.made = 0

    def __call__(self) -> str:
        self.made += 1
        if self.left:
            self.left -= 1
            error = RemoteError("no answer")
            error.uncertain = self.uncertain
            raise error
        return "done"


def test_a_lost_answer_is_asked_for_again() -> None:
    calls = Calls(2, uncertain=True)
    assert _certainly(calls) == "done"
    assert calls.made == 3


def test_a_node_that_was_not_reached_is_not() -> None:
    calls = Calls(1, uncertain=False)
    with pytest.raises(RemoteError):
        _certainly(calls)
    assert calls.made == 1


@pytest.mark.parametrize("once", [True, False])
def test_what_is_told_of_a_step_that_was_interrupted(
    monkeypatch: pytest.MonkeyPatch, once: bool
) -> None:
    class Reboot(Step):
        NAME = "reboot"
        ONCE = once

        def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
            return None

    monkeypatch.setitem(STEPS, "reboot", Reboot)
    state = progress([Planned(0, [StepPlan(name="reboot")]), Begun(0, 0)], 0)
    told = _where(state, "its process died")
    assert told.startswith("its process died during step reboot")
    assert ("may have been done" in told) == once
    assert ("was undone" in told) != once
