"""hinfo: what the cluster is like now."""

from __future__ import annotations

import sys

import numpy as np

from ganeti_allocators_htools.model import NO_NODE, Cluster
from ganeti_allocators_htools.numbers import fixed
from ganeti_allocators_htools.options import Options
from ganeti_allocators_htools.output import (
    instance_list,
    metrics_table,
    node_list,
    policy_text,
    table,
)
from ganeti_allocators_htools.prepare import load, make_state, set_offline
from ganeti_allocators_htools.score import metric_values, score, weighted
from ganeti_allocators_htools.state import State

_GROUP_TITLES = ["Group", "Nodes", "Instances", "Bad_Nodes", "Bad_Instances", "N+1", "Score"]


def split_instances(cluster: Cluster) -> list[int]:
    """Instances whose nodes are in different groups."""
    insts, group = cluster.instances, cluster.nodes.group
    second = insts.snode != NO_NODE
    split = second & (group[insts.pnode] != group[np.where(second, insts.snode, insts.pnode)])
    return [int(number) for number in np.flatnonzero(split)]


def bad_items(state: State, members: np.ndarray | None = None) -> tuple[int, int]:
    """How many online nodes fail N+1, and how many instances those hold."""
    bad = state.fails_n1 & ~state.static.offline
    if members is not None:
        bad = bad & members
    nodes = np.flatnonzero(bad).tolist()
    instances = {inst for node in nodes for inst in (*state.plist[node], *state.slist[node])}
    return len(nodes), len([inst for inst in instances if state.static.real[inst]])


def _group_table(state: State) -> str:
    cluster = state.static.cluster
    rows = [_GROUP_TITLES]
    for number, group in enumerate(cluster.groups):
        members = cluster.nodes.group == number
        nodes, insts = bad_items(state, members)
        rows.append(
            [
                group.name,
                str(int(members.sum())),
                str(int(members[state.pnode].sum())),
                str(nodes),
                str(insts),
                str(nodes == 0),
                fixed(score(state, members), 8),
            ]
        )
    return table(rows, [False, True, True, True, True, False, True], "   ")


def run(options: Options) -> int:
    loaded = load(options)
    cluster = set_offline(loaded.cluster, options)
    state = make_state(cluster, loaded.rules, options)
    out = sys.stdout
    out.write(f"Loaded cluster tags: {','.join(cluster.tags)}\n")
    if options.verbose > 2:
        out.write(f"Loaded cluster ipolicy: {policy_text(cluster.policy)}\n")
    if options.verbose > 1 and not len(cluster.instances):
        out.write("Cluster is empty.\n")
    counts = [
        (len(cluster.nodes), "node"),
        (len(cluster.instances), "instance"),
        (len(cluster.groups), "node group"),
    ]
    texts = [f"{count} {what}{'s' * (count != 1)}" for count, what in counts]
    out.write(f"Loaded {', '.join(texts)}\n")
    if loaded.suffix and options.verbose > 2:
        out.write(f"Note: Stripping common suffix of '{loaded.suffix}' from names\n")
    split = split_instances(cluster)
    if split:
        out.write("Found instances belonging to multiple node groups:\n")
        for number in split:
            sys.stderr.write(f"  {cluster.instances.name[number]}\n")
    elif options.verbose > 1:
        out.write("No split instances found\n")
    if options.verbose > 1:
        out.write(f"Node group information:\n{_group_table(state)}\n")
    happy = "happy" if bad_items(state)[0] == 0 else "unhappy"
    out.write(f"Cluster is N+1 {happy}\n")
    if options.print_instances:
        sys.stderr.write(f"\nInstances instance map:\n{instance_list(state)}\n")
    if options.print_nodes is not None:
        sys.stderr.write(f"\nCluster status:\n{node_list(state, options.print_nodes)}\n\n")
    values = metric_values(state)
    out.write(f"Cluster coefficients:\n{metrics_table(values)}\n")
    out.write(f"Cluster score: {fixed(weighted(values), 8)}\n")
    return 0
