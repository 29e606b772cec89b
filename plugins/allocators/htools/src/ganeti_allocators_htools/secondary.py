"""allocate-secondary: a second node for an instance that has its disks on one, to mirror them.

As upstream has it, the instance is taken off its node and allocated anew as a mirrored one there
with each other node of the group: the node it runs on is judged too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .allocation import Outcome, Scorer, choose, tally
from .capacity import Site
from .choosing import Refused, Rules, describe
from .limits import (
    as_primary,
    as_secondary,
    exclusion_numbers,
    primary_codes,
    secondary_codes,
)
from .loaders.ialloc import section
from .placing import place
from .relocating import as_request, find_instance
from .state import ROW, State, location_scores


def _without(state: State, inst: int) -> State:
    """The state with an instance that has no secondary taken off its node."""
    trial, static = state.copy(), state.static
    node = int(state.pnode[inst])
    column = trial.q[:, node] - static.as_primary[:, inst] * static.usable[:, node]
    if static.located:
        where = np.array([inst])
        column[ROW["lscore"]] -= location_scores(
            static, where, state.pnode[where], state.snode[where]
        )[0]
    trial.replace_column(node, column)
    trial.plist[node].remove(inst)
    for tag in static.exclusion[inst]:
        trial.ptags[node, tag] -= 1
    return trial


def allocate_secondary(
    request: Mapping[str, Any], state: State, rules: Rules
) -> tuple[str, Any, State]:
    """Raises `Refused` where no node can be the secondary."""
    inst = find_instance(state, section(request, "name", str, "invalid request dict"))
    cluster = state.static.cluster
    primary = int(state.pnode[inst])
    wanted = replace(as_request(cluster, inst), template="drbd")
    wanted = replace(wanted, exclusion=exclusion_numbers(state, wanted.tags))
    bare = _without(state, inst)
    nodes = np.flatnonzero(cluster.nodes.group == cluster.nodes.group[primary])
    nodes = nodes[nodes != primary]
    force = rules.ignore_soft_errors
    own = int(primary_codes(bare, wanted.sizes, force=force)[0, primary])
    needed = wanted.mem if wanted.uses_sec_mem else 0
    rmem = np.maximum(bare.rmem, bare.peers[:, primary] + needed)
    codes = np.where(own, own, secondary_codes(bare, wanted, rmem, force=force))[nodes]
    outcome = Outcome(failures=tally(codes))
    good = nodes[codes == 0]
    states = {}
    for node in good.tolist():
        states[node] = bare.copy()
        place(states[node], inst, (primary, node))

    def safe(where: tuple[int, ...]) -> bool:
        return not rules.capacity_checks or Site.of(states[where[1]]).redundant()

    if len(good):
        pair = np.concatenate(([primary], good))
        columns = as_primary(bare, wanted), as_secondary(bare, wanted)
        reserved = np.broadcast_to(rmem[pair], (len(pair), len(pair)))
        scores = Scorer(bare).pairs(wanted, pair, *columns, reserved)[0, 1:]
        choose(outcome, [np.full(len(good), primary), good], scores, safe)
    if outcome.best is None:
        raise Refused(describe(outcome, state))
    node = outcome.best.nodes[1]
    return describe(outcome, state), cluster.nodes.name[node], states[node]
