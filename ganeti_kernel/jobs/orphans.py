"""Ending the processes of jobs on a machine whose master was replaced.

The new master brings the jobs to their end by their journals; here nothing may go on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Final

import msgspec

from ganeti_kernel.config.keys import JOBS_PREFIX
from ganeti_kernel.errors import StoreError
from ganeti_kernel.jobs.job import Job
from ganeti_kernel.jobs.livelock import is_alive, livelock_path, remove_stale
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.store import Store

PATIENCE: Final = 5.0


def end_jobs(paths: Paths, store: Store) -> list[int]:
    """Kill the processes of all jobs of this store that live here; returns the jobs' numbers.

    Raises StoreError when the store cannot be read, or a process does not end.
    """
    found: dict[int, int] = {}
    for entry in store.list(JOBS_PREFIX):
        try:
            job = msgspec.json.decode(entry.value, type=Job)
        except msgspec.DecodeError as error:
            raise StoreError(f"{entry.key} in the store cannot be read: {error}") from error
        # the lock is what tells that the process is the job's: numbers are used again
        if job.process_id and is_alive(livelock_path(paths, job.id)):
            found[job.id] = job.process_id
    for pid in found.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    for job_id, pid in found.items():
        path = livelock_path(paths, job_id)
        while is_alive(path):
            if time.monotonic() > deadline:
                raise StoreError(f"the process {pid} of job {job_id} does not end")
            time.sleep(0.02)
        remove_stale(path)
    return sorted(found)
