"""Rate limits that jobs bring with them: a reason `rate-limit:N:LABEL` (upstream 3.0).

All jobs with the same text share a bucket, of which at most N run at once. A job takes one place in
each bucket that its opcodes' reasons name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from ganeti_kernel.jobs.job import Job
from ganeti_kernel.jobs.scheduler import START, Opinion, wait

_LIMIT: Final = re.compile(r"rate-limit:([0-9]{1,9}):.*", re.DOTALL)


def buckets(job: Job) -> dict[str, int]:
    """Bucket -> how many may run at once. What is no number above 0 is a reason like any other."""
    out: dict[str, int] = {}
    for op in job.ops:
        for _source, text, _stamp in op.input.get("reason") or ():
            match = _LIMIT.fullmatch(text)
            if match is not None and (limit := int(match[1])) > 0:
                out[text.removeprefix("rate-limit:")] = limit
    return out


class RateLimits:
    """`Judge` of the buckets, given the jobs that run."""

    def __init__(self, running: Iterable[Job]) -> None:
        self._taken = Counter(bucket for job in running for bucket in buckets(job))

    def opinion(self, job: Job) -> Opinion:
        for bucket, limit in buckets(job).items():
            if self._taken[bucket] >= limit:
                return wait(f"the rate limit {bucket}, of which {limit} jobs run")
        return START

    def started(self, job: Job) -> None:
        self._taken.update(buckets(job).keys())
