"""The step of an operation whose work is jobs of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ganeti_kernel.jobs.operation import JobContext, Step, step


@step
class SubmitJobs(Step):
    """Submit jobs. Arguments: jobs (opcode dicts); besides (what else the result has, a dict).

    A repetition would submit them again.
    """

    NAME = "jobs.submit"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        submitted = [list(item) for item in context.submit(args["jobs"])]
        return {"jobs": submitted, **args.get("besides", {})}


def submitted(outcomes: Sequence[Any]) -> dict[str, Any] | None:
    """What `SubmitJobs` as the last step returned, None where there was nothing to submit."""
    last = outcomes[-1] if outcomes else None
    return last if isinstance(last, dict) and "jobs" in last else None
