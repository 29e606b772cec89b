"""Whatever the cluster: a plan breaks no rule, and carrying it out leads where it says.

Plans are carried out on a simulated cluster (`simulation`) that knows the rules by itself: N+1,
limits of the instance policy, exclusion tags, migration tags, offline nodes, memory and disk, the
options that restrict a plan; the score (which holds the location tags) never rises; jobs of one set
do not meet; the end state is the one that was planned, saved and scored. `test_plan_mutants` shows
that each of these can fail.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.interop.htools.clusters import KINDS
from tests.interop.htools.plans import CHECKS, wrong

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FIXED = 120
"""Seeds that are always looked at, each with the next kind of cluster."""

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("program", sorted(CHECKS))
@SETTINGS
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(KINDS))
def test_any_plan(program: str, seed: int, kind: str) -> None:
    assert wrong(program, seed, kind) == []


@pytest.mark.parametrize("program", sorted(CHECKS))
def test_plans_of_fixed_seeds(program: str) -> None:
    found = {seed: wrong(program, seed, KINDS[seed % len(KINDS)]) for seed in range(FIXED)}
    assert {seed: texts for seed, texts in found.items() if texts} == {}
