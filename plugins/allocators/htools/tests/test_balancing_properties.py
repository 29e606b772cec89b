"""What must hold of every plan, on random clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from balancing_clusters import random_state
from ganeti_allocators_htools import search as search_module
from ganeti_allocators_htools.building import build_state, build_static
from ganeti_allocators_htools.evaluate import Evaluator
from ganeti_allocators_htools.loaders import text
from ganeti_allocators_htools.moves import ALLOWED, ORDER, ExactScorer, Rules, refusals
from ganeti_allocators_htools.score import lower_bound, score
from ganeti_allocators_htools.search import Limits, Move, Search, balance
from ganeti_allocators_htools.state import State
from ganeti_allocators_htools.steps import STEPS
from hypothesis import given, settings
from hypothesis import strategies as st

SEEDS = st.integers(0, 10_000)


def _plan(state: State, steps: int = -1) -> list[Move]:
    return list(balance(Search(state), Limits(max_steps=steps)))


def _all_moves(state: State) -> list[tuple[int, int, str, int]]:
    """Every move balancing may consider: instance, place in upstream's order, kind, target."""
    insts = state.static.cluster.instances
    online = np.flatnonzero(~state.static.offline).tolist()
    result = []
    for inst in range(len(insts)):
        pnode, snode = int(state.pnode[inst]), int(state.snode[inst])
        if insts.mirror[inst] == 1:
            usable = snode in online
            if usable:
                result.append((inst, -1, "f", -1))
            kinds = ORDER["internal"] if usable else ("r", "rf")
        else:
            kinds = ORDER["external"] if insts.mirror[inst] == 2 else ()
        for target in online:
            if target not in (pnode, snode):
                result += [
                    (inst, target * 4 + place, kind, target) for place, kind in enumerate(kinds)
                ]
    return result


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_score_never_rises_and_is_the_moves_score(seed: int) -> None:
    state = random_state(seed)
    current = score(state)
    for move in balance(Search(state), Limits()):
        assert move.score < current
        assert score(state) == move.score
        current = move.score


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_state_kept_up_to_date_equals_one_built_anew(seed: int) -> None:
    state = random_state(seed)
    _plan(state)
    saved = text.format_cluster(
        state.static.cluster,
        state.pnode,
        state.snode,
        state.fdsk.astype(np.int64),
        state.fsp.astype(np.int64),
    )
    cluster = text.parse(saved)
    anew = build_state(build_static(cluster, state.static.rules))
    assert np.array_equal(anew.peers, state.peers)
    assert np.array_equal(anew.ptags, state.ptags)
    assert [sorted(row) for row in anew.plist] == [sorted(row) for row in state.plist]
    for name in ("fdsk", "ucpu", "isp", "rmem", "imem", "npri", "nsec", "lscore", "ucpu_f"):
        assert np.allclose(getattr(anew, name), getattr(state, name)), name


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_no_move_breaks_a_rule(seed: int) -> None:
    state = random_state(seed)
    static = state.static
    failing = state.fails_n1.copy()
    for move in balance(Search(state), Limits()):
        online = ~static.offline
        fleeing = static.offline[[node for node in move.old if node >= 0]].any()
        if not fleeing:
            assert not (state.fails_n1 & ~failing & online).any()
            target = move.new[0]
            crowded = state.ucpu[target] > static.hi_cpu[target] * static.cluster.nodes.tcpu[target]
            assert move.new[0] == move.old[0] or not crowded
        if move.new[0] != move.old[0]:
            assert state.umem[move.new[0]] > 0
            assert not static.offline[move.new[0]]
        # a forthcoming instance counts for no tag yet
        if move.new[0] != move.old[0] and not fleeing and static.real[move.inst]:
            for tag in static.exclusion[move.inst]:
                own = static.exclusion[move.inst].count(tag)
                assert state.ptags[move.new[0], tag] == own
        failing = state.fails_n1.copy()


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_best_move_is_that_of_an_exhaustive_search(seed: int) -> None:
    state = random_state(seed)
    scorer = ExactScorer(state)
    best: tuple[float, int, int] | None = None
    chosen = None
    for inst, place, kind, target in _all_moves(state):
        insts, targets = np.array([inst]), np.array([target])
        if refusals(state, kind, insts, targets)[0] != ALLOWED:
            continue
        key = (float(scorer.scores(kind, insts, targets)[0]), inst, place)
        if key[0] < score(state) and (best is None or key < best):
            best, chosen = key, (inst, kind, target)
    move = Search(state).best()
    assert (move and (move.inst, move.kind, move.target)) == chosen
    assert move is None or (best is not None and move.score == best[0])


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_approximate_scores_agree_with_exact_ones(seed: int) -> None:
    state = random_state(seed)
    evaluator, scorer = Evaluator(state, Rules()), ExactScorer(state)
    mirror = state.static.cluster.instances.mirror
    for number, evaluate in ((1, evaluator.internal), (2, evaluator.external)):
        rows = np.flatnonzero(mirror == number)
        if not len(rows):
            continue
        for kind, costs in evaluate(rows, evaluator.online).items():
            for row, column in np.argwhere(np.isfinite(costs)).tolist():
                target = np.array([evaluator.online[column] if STEPS[kind][2] else -1])
                exact = scorer.scores(kind, rows[[row]], target)[0]
                assert math.isclose(costs[row, column], exact, rel_tol=1e-9, abs_tol=1e-7)


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_skipping_instances_changes_nothing(
    seed: int, alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = []
    for threshold in (0, 10**9):
        monkeypatch.setattr(search_module, "LAZY_FROM", threshold)
        plans.append(_plan(random_state(seed, nodes=9, instances=60, alike=alike)))
    assert plans[0] == plans[1]
    assert plans[0]


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_plan_stays_above_the_lower_bound(seed: int) -> None:
    state = random_state(seed)
    _plan(state)
    assert score(state) >= lower_bound(state)


def test_copies_do_not_share_changes() -> None:
    state = random_state(3)
    before = score(state)
    copy = state.copy()
    assert _plan(copy)
    assert score(state) == before
    assert not state.static.cluster.instances.mem.flags.writeable
