"""Moves as steps that change instances' roles on nodes, and what that does to the nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from .model import NO_NODE, Floats, Ints
from .state import ROW, State, location_scores

Node = TypeVar("Node", int, Ints)

#: Moves as changes of role: for the instance's primary, its secondary and the target node the
#: sequence of steps, each +1/-1 and P (primary) or S (secondary). Upstream's names in comments.
STEPS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "f": (("-P", "+S"), ("-S", "+P"), ()),  # failover or migrate
    "fa": (("-P",), (), ("+P",)),  # failover to any node
    "r": (("-P", "+P"), ("-S",), ("+S",)),  # replace secondary
    "rf": (("-P", "+S"), ("-S",), ("+P",)),  # replace and failover
    "frf": (("-P",), ("-S", "+P", "-P", "+S"), ("+P",)),  # replace primary
    "fr": (("-P",), ("-S", "+P"), ("+S",)),  # failover and replace
}

#: Called for each step that adds an instance to a node: (role, step, columns before and after,
#: node numbers) so that a caller may check limits on the way; see `moved_columns`.
StepObserver = Callable[[str, str, Floats, Floats, Ints], None]


def moved_columns(
    state: State, kind: str, insts: Ints, targets: Ints, observe: StepObserver | None = None
) -> dict[str, Floats]:
    """What the nodes' quantities become if each of ``insts`` makes a ``kind`` move to its target.

    Arguments are arrays of one length C; every instance is moved on its own from ``state``. The
    result has, for each node concerned ("p" its primary, "s" its secondary, "t" the target), the
    new columns of ``State.q`` as an array (rows, C). Sums are formed step by step as upstream does,
    so that the last bit of fractional loads agrees.
    """
    static = state.static
    old_p, old_s = state.pnode[insts], state.snode[insts]
    new_p, new_s = destination(kind, old_p, old_s, targets)
    memory = static.sec_mem[insts] * static.real[insts]
    result: dict[str, Floats] = {}
    nodes_of = {"p": old_p, "s": old_s, "t": targets}
    steps_of = dict(zip("pst", STEPS[kind], strict=True))
    for role in "spt":  # the secondary first, as upstream finds its objections
        nodes, steps = nodes_of[role], steps_of[role]
        if not steps:
            continue
        columns = state.q[:, nodes]
        usable = static.usable[:, nodes]
        for step in steps:
            before = columns
            sign = 1.0 if step[0] == "+" else -1.0
            table = static.as_primary if step[1] == "P" else static.as_secondary
            columns = columns + sign * (table[:, insts] * usable)
            if step == "-S":
                columns[ROW["rmem"]] = _rmem_without(state, nodes, old_p, memory)
            elif step == "+S":
                reserved = state.peers[nodes, new_p] + memory
                columns[ROW["rmem"]] = np.maximum(columns[ROW["rmem"]], reserved)
            if observe is not None and sign > 0:
                observe(role, step, before, columns, nodes)
        result[role] = columns
    if static.located:
        old = location_scores(static, insts, old_p, old_s)
        new = location_scores(static, insts, new_p, new_s)
        result["p"][ROW["lscore"]] -= old
        arrived = {"f": "s", "fa": "t", "r": "p", "rf": "t", "frf": "t", "fr": "s"}[kind]
        result[arrived][ROW["lscore"]] += new
    return result


def _rmem_without(state: State, nodes: Ints, peers: Ints, memory: Floats) -> Floats:
    """Reserved memory of ``nodes`` with ``memory`` less for ``peers``."""
    table = state.peers[nodes]
    rows = np.arange(len(nodes))
    table[rows, peers] -= memory
    result: Floats = np.maximum(0.0, table.max(axis=1))
    return result


def destination(kind: str, pnode: Node, snode: Node, target: Node) -> tuple[Node, Node]:
    """Primary and secondary after a move of an instance now on ``pnode``, ``snode``."""
    return {
        "f": (snode, pnode),
        "fa": (target, snode),
        "r": (pnode, target),
        "rf": (target, pnode),
        "frf": (target, snode),
        "fr": (snode, target),
    }[kind]


def apply_move(
    state: State,
    inst: int,
    kind: str,
    target: int = NO_NODE,
    columns: dict[str, Floats] | None = None,
) -> None:
    """Apply one move (a key of `STEPS`) without any check, in upstream's order of steps.

    ``columns`` are the nodes' new quantities by role, where the caller has them already.
    """
    static = state.static
    old_p, old_s = int(state.pnode[inst]), int(state.snode[inst])
    new_p, new_s = destination(kind, old_p, old_s, target)
    real = bool(static.real[inst])
    if columns is None:
        moved = moved_columns(state, kind, np.array([inst]), np.array([target]))
        columns = {role: values[:, 0] for role, values in moved.items()}
    for role, node in zip("pst", (old_p, old_s, target), strict=True):
        if role in columns:
            state.replace_column(node, columns[role])
    state.plist[old_p].remove(inst)
    state.plist[new_p].insert(0, inst)
    if old_p != new_p:
        for tag in static.exclusion[inst]:
            state.ptags[old_p, tag] -= 1
            state.ptags[new_p, tag] += 1
    if old_s != NO_NODE:
        state.slist[old_s].remove(inst)
        state.slist[new_s].insert(0, inst)
        if real:
            state.peers[old_s, old_p] -= static.sec_mem[inst]
            state.peers[new_s, new_p] += static.sec_mem[inst]
    state.pnode[inst], state.snode[inst] = new_p, new_s
