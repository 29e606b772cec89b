"""hroller: which nodes to reboot together, one set after the other."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from ganeti_allocators_htools import colouring
from ganeti_allocators_htools.errors import UsageError, shown_list
from ganeti_allocators_htools.model import NO_NODE, Cluster
from ganeti_allocators_htools.options import Options
from ganeti_allocators_htools.prepare import load, make_state, set_offline
from ganeti_allocators_htools.rolling import NoRoom, Places, Planner
from ganeti_allocators_htools.state import State

from .hbal import save, saved_text

Group = tuple[list[int], Places]


def find_master(cluster: Cluster, options: Options) -> int | None:
    """The master's number; raises `UsageError` unless there is exactly one or ``--force``."""
    masters = np.flatnonzero(cluster.nodes.master).tolist()
    if len(masters) > 1:
        names = shown_list([cluster.nodes.name[number] for number in masters])
        raise UsageError(f"Error: Found more than one master node: {names}")
    if masters:
        return int(masters[0])
    text = "No master node found (maybe not supported by backend)."
    if not options.force:
        raise UsageError(f"Error: {text}")
    sys.stderr.write(f"Warning: {text}\n")
    return None


def selected_nodes(cluster: Cluster, options: Options) -> list[int]:
    """Online nodes of the wanted group, tags and redundancy; raises `UsageError`."""
    nodes, insts = cluster.nodes, cluster.instances
    chosen = ~nodes.offline
    if options.group is not None:
        number = cluster.group_index.get(options.group)
        if number is None:
            raise UsageError("Error: Cannot find target group.")
        chosen = chosen & (nodes.group == number)
    if options.node_tags is not None:
        wanted = set(options.node_tags)
        chosen = chosen & np.array([bool(wanted & set(tags)) for tags in nodes.tags], dtype=bool)
    if options.skip_non_redundant:
        single = np.zeros(len(nodes), dtype=bool)
        single[insts.pnode[(insts.snode == NO_NODE) & ~insts.forthcoming]] = True
        chosen = chosen & ~single
    return [int(number) for number in np.flatnonzero(chosen)]


def node_graph(cluster: Cluster, nodes: Sequence[int], options: Options) -> list[list[int]]:
    """Adjacency over all numbers between the smallest and largest of ``nodes``."""
    if not nodes:
        raise UsageError("Error: Cannot create node graph")
    inside, first = set(nodes), nodes[0]
    insts = cluster.instances
    rows = zip(insts.pnode.tolist(), insts.snode.tolist(), insts.forthcoming.tolist(), strict=True)
    mirrored = [
        ((primary - first, secondary - first), forthcoming)
        for primary, secondary, forthcoming in rows
        if primary in inside and secondary != NO_NODE
    ]
    return colouring.build_graph(
        nodes[-1] - first + 1,
        [pair for pair, _ in mirrored if pair[1] + first in inside],
        []
        if options.offline_maintenance
        else [pair for pair, forthcoming in mirrored if not forthcoming],
    )


def _shown_graph(adjacency: Sequence[Sequence[int]], first: int) -> str:
    rows = (
        f"({vertex + first},[{','.join(str(other + first) for other in others)}])"
        for vertex, others in enumerate(adjacency)
    )
    return f"array ({first},{first + len(adjacency) - 1}) [{','.join(rows)}]"


def plan(state: State, options: Options, nodes: Sequence[int], master: int | None) -> list[Group]:
    """Reboot groups in order: large ones first, the master's last and the master last in it."""
    cluster = state.static.cluster
    adjacency = node_graph(cluster, nodes, options)
    results = colouring.colour_all(adjacency)
    if options.verbose > 2:
        sys.stdout.write(f"Node Graph: {_shown_graph(adjacency, nodes[0])}\n")
    planner = Planner(state, ignore_non_redundant=options.ignore_non_redundant)
    wanted = set(nodes)
    try:
        groups = [
            group
            for members in colouring.best(results)
            for group in planner.split([vertex + nodes[0] for vertex in members])
        ]
        if options.full_evacuation:
            groups = [part for group in groups for part in planner.split_fully(*group)]
    except NoRoom as err:
        raise UsageError(f"Error: {err}") from err
    groups = [([n for n in group if n in wanted], places) for group, places in groups]
    if options.verbose > 1:
        sys.stdout.write(f"{colouring.summary(results)}\n")
    groups.sort(key=lambda item: -len(item[0]))
    if master is not None:
        groups.sort(key=lambda item: master in item[0])
        for group, _ in groups:
            group.sort(key=lambda node: node == master)
    return groups


def _moves(cluster: Cluster, state: State, places: Places) -> list[str]:
    """A line per instance that is elsewhere while a group is down."""
    lines = []
    nodes = cluster.nodes.alias
    for inst, name in enumerate(cluster.instances.alias):
        primary, secondary = places.pnode[inst], places.snode[inst]
        if (primary, secondary) == (int(state.pnode[inst]), int(state.snode[inst])):
            continue
        target = nodes[primary]
        if secondary != NO_NODE:
            target += f" {nodes[secondary]}"
        lines.append(f"  {name} {target}\n")
    return lines


def run(options: Options) -> int:
    loaded = load(options)
    cluster = set_offline(loaded.cluster, options)
    state = make_state(cluster, loaded.rules, options)
    master = find_master(cluster, options)
    save(saved_text(state), options, "original", "before hroller run")
    groups = plan(state, options, selected_nodes(cluster, options), master)
    out = sys.stdout
    if options.headers:
        out.write("'First Reboot Group'\n" if options.one_step_only else "'Node Reboot Groups'\n")
    separator = "\n" if options.one_step_only else ","
    for group, places in groups[:1] if options.one_step_only else groups:
        out.write(separator.join(cluster.nodes.alias[node] for node in group) + "\n")
        if options.print_moves:
            out.writelines(_moves(cluster, state, places))
    return 0
