"""The point after which a plan is only carried on, never undone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ganeti_kernel.jobs.operation import JobContext, Step, StepPlan, step


@step
class NoReturn(Step):
    """Does nothing itself. What comes behind it destroys, so an interruption carries it on.

    It is a step of its own because a destructive step that was begun and not ended could not be
    told from one that has done nothing.
    """

    NAME = "no-return"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        return None


NO_RETURN: Final = StepPlan(name=NoReturn.NAME, pivot=True)
