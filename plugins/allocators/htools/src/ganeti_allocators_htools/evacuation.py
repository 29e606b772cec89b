"""Emptying a node, one guest after the other, each to where the score stays lowest.

These are the steps behind upstream's global N+1 check and hroller's plans: only hard limits
(memory, disk, spindles, migration tags) hold, as the guests have to go somewhere. Every function
changes the state it is given and says whether it got everything off.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .limits import Request, policy_failure
from .model import NO_NODE, Bools, Cluster, Ints
from .moves import ALLOWED, MIGRATION, ExactScorer, refusals
from .state import State
from .steps import apply_move
from .words import TEMPLATES

#: What happens to a guest when its node goes: failover to the secondary, start on any node that
#: reaches its disks, or be made anew elsewhere.
DRBD_GUEST, SHARED, LOCAL = range(3)
GUEST_KINDS = {"drbd": DRBD_GUEST, "file": LOCAL, "plain": LOCAL, "blockdev": LOCAL}


def guest_kinds(cluster: Cluster) -> list[int]:
    """Per instance one of `DRBD_GUEST`, `SHARED`, `LOCAL`."""
    table = [GUEST_KINDS.get(template, SHARED) for template in TEMPLATES]
    return [table[code] for code in cluster.instances.template.tolist()]


def instance_request(cluster: Cluster, number: int) -> Request:
    """An existing instance as a request for a place."""
    insts = cluster.instances
    return Request(
        name=insts.name[number],
        mem=int(insts.mem[number]),
        dsk=int(insts.dsk[number]),
        vcpus=int(insts.vcpus[number]),
        template=TEMPLATES[int(insts.template[number])],
        disks=insts.disks[number],
        disk_spindles=insts.disk_spindles[number],
        spindle_use=int(insts.spindle_use[number]),
        nics=int(insts.nics[number]),
    )


def fail_over(state: State, insts: Iterable[int]) -> bool:
    """Make each instance's secondary its primary."""
    for inst in insts:
        old, new = int(state.pnode[inst]), int(state.snode[inst])
        code = refusals(state, "f", np.array([inst]), np.array([NO_NODE]), force=True)[0]
        if code != ALLOWED and not (state.static.offline[old] and _could_take(state, inst, new)):
            return False
        apply_move(state, inst, "f")
    return True


def _could_take(state: State, inst: int, node: int) -> bool:
    """Room on the secondary is enough where the primary is down anyway."""
    allowed = state.static.migratable
    return bool(
        state.umem[node] > state.static.counted[inst]
        and state.fdsk[node] > 0
        and (allowed is None or allowed[state.pnode[inst], node])
    )


def start_elsewhere(state: State, inst: int, targets: Ints, members: Bools) -> bool:
    """Move an instance with shared disks to the best of ``targets``; the first of equals wins.

    ``members`` are the nodes whose score decides (its group).
    """
    return _to_best(state, "fa", inst, targets, members, last=False)


def make_anew(state: State, inst: int, targets: Ints) -> bool:
    """Put an instance that cannot move on the best of ``targets`` its policy allows; the last of
    equals wins."""
    cluster = state.static.cluster
    request = instance_request(cluster, inst)
    allowed = [
        not policy_failure(
            request,
            cluster.groups[int(cluster.nodes.group[node])].policy,
            bool(cluster.nodes.exclusive[node]),
        )
        for node in targets.tolist()
    ]
    everyone = np.ones(len(cluster.nodes), dtype=bool)
    return _to_best(state, "fa", inst, targets[np.array(allowed, dtype=bool)], everyone, last=True)


def _to_best(
    state: State, kind: str, inst: int, targets: Ints, members: Bools, *, last: bool
) -> bool:
    if not len(targets):
        return False
    insts = np.full(len(targets), inst)
    codes = refusals(state, kind, insts, targets, force=True)
    if last:  # made anew: no migration takes place
        codes[codes == MIGRATION] = ALLOWED
    good = targets[codes == ALLOWED]
    if not len(good):
        return False
    scores = ExactScorer(state, members=members).scores(kind, insts[: len(good)], good)
    index = len(good) - 1 - int(np.argmin(scores[::-1])) if last else int(np.argmin(scores))
    apply_move(state, inst, kind, int(good[index]))
    return True


def _guests(state: State, node: int) -> list[int]:
    """Real (not forthcoming) primaries, newest first."""
    return [inst for inst in state.plist[node] if state.static.real[inst]]


def clear_redundant(state: State, node: int, kinds: list[int]) -> bool:
    """Fail all mirrored primaries of ``node`` over."""
    return fail_over(state, [i for i in _guests(state, node) if kinds[i] == DRBD_GUEST])


def clear_others(state: State, node: int, kinds: list[int], targets: Ints) -> bool:
    """Move everything but mirrored instances from ``node`` to ``targets``."""
    mem = state.static.counted
    guests = _guests(state, node)
    members = state.static.cluster.nodes.group == state.static.cluster.nodes.group[node]
    shared = [inst for inst in guests if kinds[inst] == SHARED]
    local = sorted(
        (inst for inst in guests if kinds[inst] == LOCAL), key=lambda inst: -float(mem[inst])
    )
    return all(start_elsewhere(state, inst, targets, members) for inst in shared) and all(
        make_anew(state, inst, targets) for inst in local
    )


def survives(state: State, node: int, kinds: list[int]) -> bool:
    """Whether all guests of ``node`` could run elsewhere in its group should it fail.

    As in upstream, offline nodes are asked too, and count as places to go to.
    """
    nodes = state.static.cluster.nodes
    trial = state.copy()
    group = nodes.group == nodes.group[node]
    targets = np.flatnonzero(group & (np.arange(len(nodes)) != node))
    return clear_redundant(trial, node, kinds) and clear_others(trial, node, kinds, targets)
