"""Who is the master, by what the nodes say. Pure: the answers come as a mapping.

Every node is asked what `MasterState` it is in; None stands for a node that did not answer. The
number of a term (epoch) decides between masters: it grows with each fail-over. Counting decides
whether enough of the cluster was heard: a new master needs more than half of the nodes, so a master
that hears at least half can be sure that there is no other one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ganeti_kernel.config.replica import Position, Record
from ganeti_kernel.rpc.results import MasterState

States = Mapping[str, MasterState | None]
"""Node name -> answer."""


def cut_off(reached: int, nodes: int) -> bool:
    """Whether more than half of the nodes could have chosen another master. `reached`: with us."""
    return 2 * reached < nodes


def replaced_by(states: States, epoch: int) -> str | None:
    """The text of why a master of this epoch was replaced; None when nobody says so."""
    newer = {name: state for name, state in states.items() if state and state.epoch > epoch}
    if not newer:
        return None
    name, state = max(newer.items(), key=lambda item: item[1].epoch)
    master = state.master or "another node"
    return (
        f"this master was replaced by {master}: node {name} obeys epoch {state.epoch}, and this "
        f"master's is {epoch}; jobs and changes go there now"
    )


def refusal(states: States, name: str, epoch: int) -> tuple[str, bool] | None:
    """Why node `name` must not be master of this epoch, and whether waiting may help; None: it may.

    `states` has the other nodes.
    """
    text = replaced_by(states, epoch)
    if text is not None:
        return text, False
    votes = Counter(state.master for state in states.values() if state and state.master)
    mine = votes.pop(name, 0) + 1
    if votes:
        other, count = votes.most_common(1)[0]
        if count > mine:
            return f"{count} nodes say that the master is {other}, {mine} that it is {name}", False
    silent = sorted(node for node, state in states.items() if state is None)
    total = len(states) + 1
    if cut_off(total - len(silent), total):
        return (
            f"only {total - len(silent)} of {total} nodes answer (silent: {_some(silent)}); the "
            "others may have another master",
            True,
        )
    return None


def candidate_problems(states: States, name: str, old_master: str) -> list[str]:
    """Why a vote does not let candidate `name` take over from `old_master`; empty: it does.

    `states` has all nodes, this one too.
    """
    heard = {node: state for node, state in states.items() if state is not None}
    silent = sorted(set(states) - set(heard))
    problems = []
    if 2 * len(heard) <= len(states):
        problems.append(
            f"only {len(heard)} of {len(states)} nodes answer, more than half are needed (silent: "
            f"{_some(silent)})"
        )
    votes = Counter(state.master for state in heard.values() if state.master)
    if votes:
        top, count = votes.most_common(1)[0]
        if top != old_master:
            problems.append(
                f"{count} of {len(heard)} nodes say that the master is {top}, but node {name} "
                f"takes {old_master} for it"
            )
    return problems


def staleness(states: States, name: str) -> list[str]:
    """What shows that candidate `name` lacks something that was acknowledged; empty: nothing."""
    own = states.get(name) or MasterState(master="", epoch=0)
    heard = {node: state for node, state in states.items() if state is not None}
    problems = []
    for node, state in sorted(heard.items()):
        if state.serial > own.serial:
            problems.append(
                f"node {node} has configuration {state.serial}, node {name} only {own.serial}"
            )
        elif state.position > own.position:
            problems.append(
                f"node {node} has a newer copy of the master's state (epoch "
                f"{state.position.epoch}, revision {state.position.revision}) than node {name} "
                f"({own.position.epoch}, {own.position.revision})"
            )
    record = newest(heard)
    if own.problem:
        problems.append(f"the copy on node {name} is not usable: {own.problem}")
    elif own.position == Position():
        problems.append(f"node {name} has no complete copy of the master's state")
    elif name not in record.names:
        known = _some(record.names) or "none"
        problems.append(f"the copy on node {name} was left behind; complete ones are on: {known}")
    return problems


def newest(states: States) -> Record:
    """The record of complete copies that counts."""
    return max((state.record for state in states.values() if state), default=Record())


def next_epoch(states: States) -> int:
    """The next master's term: above all that any node has obeyed."""
    return max((state.epoch for state in states.values() if state), default=0) + 1


def _some(names: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown
