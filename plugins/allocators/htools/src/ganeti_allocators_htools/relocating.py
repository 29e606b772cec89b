"""Requests to hail about what is there: relocation, evacuation of nodes, change of group.

Raises `Refused` for a request that cannot be fulfilled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .choosing import Placer, Refused, Rules, names_of
from .errors import LoadError
from .evacuation import instance_request
from .limits import Request
from .loaders.ialloc import items, section
from .model import NO_NODE, Cluster
from .mover import Mover
from .state import State
from .words import MIRROR, TEMPLATES, choice

EVAC_MODES = ("primary-only", "secondary-only", "all")


def find_instance(state: State, name: Any) -> int:
    number = state.static.cluster.instances.index.get(name)
    if number is None:
        raise LoadError(f"Wrong number of elems found with name {name}")
    return number


def _evacuated_nodes(state: State, insts: Sequence[int], mode: str) -> set[int]:
    nodes: set[int] = set()
    for inst in insts:
        if mode != "secondary-only":
            nodes.add(int(state.pnode[inst]))
        if mode != "primary-only":
            nodes.add(int(state.snode[inst]))
    return nodes


def _moved(mover: Mover, insts: Sequence[int], move: Any) -> tuple[str, list[list[Any]], State]:
    moved: list[list[Any]] = []
    failed: list[list[str]] = []
    jobs: list[list[dict[str, Any]]] = []
    for inst in insts:
        name = mover.state.static.cluster.instances.name[inst]
        try:
            jobs.append(move(inst))
        except Refused as err:
            failed.append([name, str(err)])
            continue
        moved.append([name, *mover.where(inst)])
    info = f"{len(failed)} instances failed to move and {len(moved)} were moved successfully"
    return info, [moved, failed, jobs], mover.state


def evacuate_nodes(
    request: Mapping[str, Any], state: State, rules: Rules
) -> tuple[str, Any, State]:
    what = "invalid request dict"
    insts = [find_instance(state, name) for name in section(request, "instances", list, what)]
    try:
        mode = choice(section(request, "evac_mode", str, what), EVAC_MODES, "EvacMode")
    except LoadError as err:
        raise LoadError(f"{what}: key 'evac_mode': {err}") from err
    if request.get("ignore_soft_errors"):
        rules = replace(rules, ignore_soft_errors=True)
    nodes = state.static.cluster.nodes
    closed = nodes.offline.copy()
    closed[[n for n in _evacuated_nodes(state, insts, mode) if n != NO_NODE]] = True
    mover = Mover(state, rules)

    def move(inst: int) -> list[dict[str, Any]]:
        group = int(nodes.group[mover.state.pnode[inst]])
        targets = np.flatnonzero((nodes.group == group) & ~closed)
        return mover.evacuate(inst, mode, targets, group)

    return _moved(mover, insts, move)


def relocate(request: Mapping[str, Any], state: State, rules: Rules) -> tuple[str, Any, State]:
    what = "invalid request dict"
    name = section(request, "name", str, what)
    inst = state.static.cluster.instances.index.get(name)
    if inst is None:
        raise LoadError(f"Unknown instance '{name}'")
    index = state.static.cluster.nodes.index
    given = []
    section(request, "relocate_from", list, what)
    for node in items(request, "relocate_from", str, what):
        if node not in index:
            raise LoadError(f"Wrong number of elems found with name {node}")
        given.append(index[node])
    count = section(request, "required_nodes", int, what)
    mirror = MIRROR[TEMPLATES[int(state.static.cluster.instances.template[inst])]]
    if mirror == "none":
        raise Refused("Can't relocate non-mirrored instances")
    if count != 1:
        raise Refused(f"Exchange {count} nodes mode is not implemented")
    current, role = (
        (int(state.snode[inst]), "secondary")
        if mirror == "internal"
        else (int(state.pnode[inst]), "primary")
    )
    if given != [current]:
        shown = ",".join(str(node) for node in given)
        raise Refused(
            f"Unsupported request: excluded nodes not equal to instance's {role}"
            f"({current} versus [{shown}])"
        )
    nodes = state.static.cluster.nodes
    group = int(nodes.group[state.pnode[inst]])
    mover = Mover(state, rules)
    closed = nodes.offline.copy()
    closed[[current, int(state.pnode[inst])]] = True
    targets = np.flatnonzero((nodes.group == group) & ~closed)
    target = mover.to_best("r" if mirror == "internal" else "fa", inst, targets, group)
    return "success", names_of(state, [target]), mover.state


def as_request(cluster: Cluster, inst: int) -> Request:
    """An existing instance as a request, its state and tags included."""
    insts = cluster.instances
    return replace(
        instance_request(cluster, inst),
        tags=insts.tags[inst],
        runs=bool(insts.uses_memory[inst]),
        online=bool(insts.online[inst]),
        uses_sec_mem=bool(insts.uses_sec_mem[inst]),
    )


def change_group(request: Mapping[str, Any], state: State, rules: Rules) -> tuple[str, Any, State]:
    what = "invalid request dict"
    cluster = state.static.cluster
    insts = [find_instance(state, name) for name in section(request, "instances", list, what)]
    targets = []
    for uuid in section(request, "target_groups", list, what):
        if uuid not in cluster.group_index:
            raise LoadError(f"Wrong number of elems found with name {uuid}")
        targets.append(cluster.group_index[uuid])
    sources = {int(cluster.nodes.group[state.pnode[inst]]) for inst in insts}
    allowed = set(targets or range(len(cluster.groups))) - sources
    mover = Mover(state, rules)

    def move(inst: int) -> list[dict[str, Any]]:
        if not allowed:
            raise Refused("no groups for evacuation: every allowed group is one of the sources")
        placer = Placer(mover.state, as_request(cluster, inst), rules)
        found = placer.best_group(None, allowed)
        nodes = cluster.nodes
        where = np.flatnonzero((nodes.group == found.group) & ~nodes.offline)
        return mover.evacuate(inst, "all", where, found.group)

    return _moved(mover, insts, move)
