"""Random schedules of jobs in virtual time, through the real queue, scheduler, locks, job server.

Submissions with dependencies, changes of priority, cancels, kills, filters, rate limits, deaths of
processes at any request, restarts of the master daemon, full disks. Checked at each step: no two
jobs hold what excludes the other, jobs start in order and only when they may, nothing is done
twice, nobody is overtaken without end; and at the end: every job that was promised has ended, and
nothing of it is left. GANETI_SCHEDULES says how many are run; `python -m tests.simulation` too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.simulation.__main__ import quiet
from tests.simulation.mutants import MUTANTS, Patch
from tests.simulation.run import run_seed

SCHEDULES = int(os.environ.get("GANETI_SCHEDULES", "1500"))
PARTS = 4

FINDERS = {
    "set_lock_stands_for_nothing": 10,
    "readers_overtake": 31,
    "urgent_ones_starve_others": 139,
    "nobody_is_woken": 3,
    "a_pick_takes_what_is_held": 0,
    "narrowing_frees_only_in_memory": 800,
    "locks_are_forgotten_by_a_restart": 19,
    "a_job_between_two_opcodes_is_lost": 353,
    "dependencies_do_not_matter": 0,
    "youngest_first": 0,
    "rate_limits_are_not_counted": 236,
    "answered_before_it_is_on_disk": 0,
    "cancelled_jobs_are_started": 151,
    "repeated_requests_count_twice": 19,
    "endings_leave_jobs_running": 59,
    "records_forget_the_past": 903,
}
"""A seed that finds each mutant; `python -m tests.simulation --mutants` looks for others."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
def test_schedules(part: int) -> None:
    assert sum(run_seed(seed) for seed in range(part, SCHEDULES, PARTS)) > SCHEDULES / PARTS


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_each_defect_is_found(mutant: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = FINDERS[mutant.__name__]
    run_seed(seed)
    mutant(monkeypatch)
    with pytest.raises(AssertionError):  # Broken, Stuck
        run_seed(seed)
