"""Whatever the cluster: an allocation breaks no rule, and its score is the score afterwards."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
from ganeti_allocators_htools.allocation import Outcome, allocate
from ganeti_allocators_htools.building import build_state, build_static
from ganeti_allocators_htools.capacity import Site
from ganeti_allocators_htools.choosing import new_request
from ganeti_allocators_htools.evacuation import guest_kinds, survives
from ganeti_allocators_htools.limits import Request, exclusion_numbers, policy_failure
from ganeti_allocators_htools.loaders import text
from ganeti_allocators_htools.placing import with_instances
from ganeti_allocators_htools.score import score
from ganeti_allocators_htools.state import State
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.interop.htools.clusters import Cluster, clusters
from tests.interop.htools.ialloc_requests import allocate as any_request

SETTINGS = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _case(cluster: Cluster, seed: int) -> tuple[State, Request, int]:
    parsed = text.parse(cluster.text())
    wanted = new_request(any_request(cluster, random.Random(seed)))
    state = with_instances(build_state(build_static(parsed)), [wanted])
    numbers = exclusion_numbers(state, wanted.tags)
    return state, replace(wanted, exclusion=numbers), len(parsed.instances)


def _everywhere(state: State) -> Any:
    return np.flatnonzero(~state.static.cluster.nodes.offline)


def _after(state: State, number: int, outcome: Outcome) -> Site:
    assert outcome.best is not None
    site = Site.of(state).copy()
    site.place(number, outcome.best.nodes)
    return site


@SETTINGS
@given(clusters(), st.integers(0, 2**16))
def test_no_allocation_breaks_a_rule(cluster: Cluster, seed: int) -> None:
    state, request, number = _case(cluster, seed)
    outcome = allocate(state, request, _everywhere(state))
    if outcome.best is None:
        return
    nodes = state.static.cluster.nodes
    for node in outcome.best.nodes:
        policy = state.static.cluster.groups[int(nodes.group[node])].policy
        assert policy_failure(request, policy, bool(nodes.exclusive[node])) == 0
        assert not nodes.offline[node]
    primary = outcome.best.nodes[0]
    assert not any(state.ptags[primary, tag] for tag in request.exclusion)
    after = _after(state, number, outcome).state
    assert not (after.fails_n1 & ~state.fails_n1).any()
    if len(outcome.best.nodes) == 2:
        first, second = outcome.best.nodes
        assert first != second
        assert nodes.group[first] == nodes.group[second]


@SETTINGS
@given(clusters(), st.integers(0, 2**16))
def test_score_is_that_of_the_state_afterwards(cluster: Cluster, seed: int) -> None:
    state, request, number = _case(cluster, seed)
    outcome = allocate(state, request, _everywhere(state))
    if outcome.best is None:
        return
    after = score(_after(state, number, outcome).state)
    assert math.isnan(after) or math.isclose(after, outcome.best.score, rel_tol=1e-6, abs_tol=1e-6)


@SETTINGS
@given(clusters())
def test_quick_redundancy_check_agrees_with_playing_the_failure(cluster: Cluster) -> None:
    state = build_state(build_static(text.parse(cluster.text())))
    kinds = guest_kinds(state.static.cluster)
    count = len(state.static.cluster.nodes)
    expected = [node for node in range(count) if not survives(state, node, kinds)]
    assert Site.of(state).failing() == expected


@SETTINGS
@given(clusters(), st.integers(0, 2**16))
def test_checked_allocation_keeps_every_node_expendable(cluster: Cluster, seed: int) -> None:
    state, request, number = _case(cluster, seed)

    def check(nodes: tuple[int, ...]) -> bool:
        site = Site.of(state).copy()
        site.place(number, nodes)
        return site.redundant()

    outcome = allocate(state, request, _everywhere(state), check=check)
    if outcome.best is not None:
        assert _after(state, number, outcome).failing() == []
