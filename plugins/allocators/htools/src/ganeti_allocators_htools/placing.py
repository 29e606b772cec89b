"""Putting instances that are not in the input on nodes of a state.

`with_instances` gives a state that knows further instances, which are nowhere yet; `place` gives
one of them its nodes. Tables are extended, never changed: the old state stays valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .building import build_static
from .limits import Request
from .model import NO_NODE, Instances
from .state import ROW, State, Static, location_scores
from .words import STATUSES, TEMPLATES

_PER_INSTANCE = (
    "mem", "counted", "dsk", "vcpus", "sec_mem", "spindle_use", "spindles", "real",
)  # fmt: skip


def instances_of(requests: Sequence[Request], nodes: Sequence[tuple[int, ...]]) -> Instances:
    """The requests as a table of instances on these nodes (primary first)."""
    return Instances(
        name=tuple(request.name for request in requests),
        mem=np.array([request.mem for request in requests], dtype=np.int64),
        dsk=np.array([request.dsk for request in requests], dtype=np.int64),
        vcpus=np.array([request.vcpus for request in requests], dtype=np.int64),
        pnode=np.array([where[0] for where in nodes], dtype=np.int64),
        snode=np.array(
            [where[1] if len(where) > 1 else NO_NODE for where in nodes], dtype=np.int64
        ),
        status=np.full(len(requests), STATUSES.index("running"), dtype=np.uint8),
        template=np.array(
            [TEMPLATES.index(request.template) for request in requests], dtype=np.uint8
        ),
        spindle_use=np.array([request.spindle_use for request in requests], dtype=np.int64),
        spindles=np.array(
            [-1 if None in request.disk_spindles else request.spindles for request in requests],
            dtype=np.int64,
        ),
        nics=np.array([request.nics for request in requests], dtype=np.int64),
        util=np.array([request.util for request in requests], dtype=float).reshape(-1, 4),
        disks=tuple(request.disks for request in requests),
        disk_spindles=tuple(request.disk_spindles for request in requests),
        tags=tuple(request.tags for request in requests),
    )


def joined(first: Instances, second: Instances) -> Instances:
    """One table of both."""
    columns: dict[str, Any] = {}
    for name in first.__dataclass_fields__:
        one, two = getattr(first, name), getattr(second, name)
        columns[name] = one + two if isinstance(one, tuple) else np.concatenate((one, two))
    return Instances(**columns)


def with_instances(state: State, requests: Sequence[Request]) -> State:
    """A state that also has these instances, numbered from the old count on, all unplaced."""
    old = state.static
    cluster = old.cluster
    table = instances_of(requests, [(0,)] * len(requests))
    fresh = build_static(replace(cluster, instances=table), old.rules)
    names = list(dict.fromkeys(old.exclusion_tags + fresh.exclusion_tags))
    number = {name: index for index, name in enumerate(names)}
    exclusion = tuple(
        tuple(number[fresh.exclusion_tags[tag]] for tag in tags) for tags in fresh.exclusion
    )
    grown: dict[str, Any] = {
        name: np.concatenate((getattr(old, name), getattr(fresh, name))) for name in _PER_INSTANCE
    }
    static = replace(
        old,
        cluster=replace(cluster, instances=joined(cluster.instances, table)),
        exclusion=old.exclusion + exclusion,
        exclusion_tags=tuple(names),
        desired=old.desired + fresh.desired,
        as_primary=np.concatenate((old.as_primary, fresh.as_primary), axis=1),
        as_secondary=np.concatenate((old.as_secondary, fresh.as_secondary), axis=1),
        **grown,
    )
    return _on(state, static, len(requests))


def _on(state: State, static: Static, added: int) -> State:
    copy = state.copy()
    nowhere = np.full(added, NO_NODE)
    missing = len(static.exclusion_tags) - copy.ptags.shape[1]
    return State(
        static,
        copy.q,
        copy.peers,
        np.pad(copy.ptags, ((0, 0), (0, missing))),
        np.concatenate((copy.pnode, nowhere)),
        np.concatenate((copy.snode, nowhere)),
        copy.plist,
        copy.slist,
        copy.fails_n1,
    )


def place(state: State, inst: int, nodes: tuple[int, ...]) -> None:
    """Give an unplaced instance its primary and, for two nodes, its secondary."""
    static = state.static
    primary = nodes[0]
    column = state.q[:, primary] + static.as_primary[:, inst] * static.usable[:, primary]
    state.pnode[inst] = primary
    state.plist[primary].insert(0, inst)
    for tag in static.exclusion[inst]:
        state.ptags[primary, tag] += 1
    if len(nodes) > 1:
        secondary = nodes[1]
        other = state.q[:, secondary] + static.as_secondary[:, inst] * static.usable[:, secondary]
        state.snode[inst] = secondary
        state.slist[secondary].insert(0, inst)
        state.peers[secondary, primary] += static.sec_mem[inst]
        other[ROW["rmem"]] = max(other[ROW["rmem"]], state.peers[secondary, primary])
        state.replace_column(secondary, other)
    if static.located:
        where = np.array([inst])
        column[ROW["lscore"]] += location_scores(
            static, where, state.pnode[where], state.snode[where]
        )[0]
    state.replace_column(primary, column)
