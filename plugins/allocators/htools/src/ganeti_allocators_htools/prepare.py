"""From loaded data to what a program works on: names shortened, options applied, checks made.

`load` reads the one source the options name; `prepare` is the pure part.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .building import build_state, build_static, whole
from .errors import HtoolsError, LoadError, UsageError, open_error, shown_list
from .loaders import text
from .model import NO_NODE, Cluster
from .numbers import parse_float
from .options import Options
from .state import State, Static
from .tags import TagRules

#: More missing memory (MiB) or disk (MiB) than this on a node is reported.
MISSING_MEM, MISSING_DISK = 512, 1024


@dataclass(frozen=True)
class Loaded:
    """A cluster ready for use."""

    cluster: Cluster
    rules: TagRules
    warnings: tuple[str, ...]
    suffix: str  # common domain removed from printed names


def common_suffix(names: Sequence[str]) -> str:
    """The longest domain (with its dot) all ``names`` end with, "" if none."""
    if not names:
        return ""
    first = names[0]
    position = first.find(".")
    while position >= 0:
        suffix = first[position:]
        if all(name.endswith(suffix) for name in names):
            return suffix
        position = first.find(".", position + 1)
    return ""


def matches(name: str, wanted: str) -> bool:
    """Whether ``wanted`` names ``name``: in full or up to one of its dots."""
    return name == wanted or name.startswith(f"{wanted}.")


def parse_utilisation(content: str) -> dict[str, tuple[float, ...]]:
    """Dynamic utilisation: lines of name and four numbers (CPU, memory, disk, network)."""
    result = {}
    for line in content.splitlines():
        words = line.split()
        if len(words) != 5:
            raise LoadError(f"can't parse utilisation data: Cannot parse line {line}")
        try:
            result[words[0]] = tuple(parse_float(word, words[0]) for word in words[1:])
        except LoadError as err:
            raise LoadError(f"can't parse utilisation data: {err}") from err
    return result


def _chosen(cluster: Cluster, wanted: Sequence[str]) -> set[int]:
    """Numbers of the named instances; raises `LoadError` naming unknown ones."""
    found, unknown = set(), []
    for name in wanted:
        hits = [n for n, full in enumerate(cluster.instances.name) if matches(full, name)]
        exact = [n for n in hits if cluster.instances.name[n] == name]
        if exact or len(hits) == 1:
            found.add((exact or hits)[-1])
        else:
            unknown.append(name)
    if unknown:
        raise LoadError(f"Unknown instance(s): {shown_list(unknown)}")
    return found


def prepare(
    cluster: Cluster,
    options: Options | None = None,
    utilisation: dict[str, tuple[float, ...]] | None = None,
) -> Loaded:
    """Apply the options to loaded data; raises `LoadError`."""
    options = options or Options()
    insts = cluster.instances
    changes: dict[str, object] = {}
    selected, excluded = options.select_instances, options.exclude_instances
    if selected or excluded:
        movable = np.ones(len(insts), dtype=bool)
        if selected:
            movable[:] = False
            movable[list(_chosen(cluster, selected))] = True
        if excluded:
            movable[list(_chosen(cluster, excluded))] = False
        changes["movable"] = movable
    if options.ignore_dynu:
        changes["util"] = np.zeros((len(insts), 4))
    elif utilisation:
        util = insts.util.copy()
        for name, values in utilisation.items():
            if name in insts.index:
                util[insts.index[name]] = values
        changes["util"] = util
    suffix = common_suffix(cluster.nodes.name + insts.name)
    if suffix:
        cut = len(suffix)
        changes["alias"] = tuple(name[:-cut] for name in insts.name)
        nodes = replace(cluster.nodes, alias=tuple(name[:-cut] for name in cluster.nodes.name))
        cluster = replace(cluster, nodes=nodes)
    if changes:
        cluster = replace(cluster, instances=replace(insts, **changes))  # type: ignore[arg-type]
    rules = TagRules.of(cluster.tags, options.exclusion_tags)
    return Loaded(cluster, rules, tuple(inconsistencies(cluster)), suffix)


def inconsistencies(cluster: Cluster) -> list[str]:
    """Nodes whose report does not add up, last node first."""
    nodes, insts = cluster.nodes, cluster.instances
    real = ~insts.forthcoming
    count = len(nodes)
    memory = np.bincount(
        insts.pnode[real], weights=(insts.mem * insts.uses_memory)[real], minlength=count
    )
    disk = np.bincount(insts.pnode[real], weights=insts.dsk[real], minlength=count)
    second = real & (insts.snode != NO_NODE)
    disk += np.bincount(insts.snode[second], weights=insts.dsk[second], minlength=count)
    missing_mem = whole(nodes.tmem) - nodes.nmem - memory - nodes.fmem
    missing_disk = whole(nodes.tdsk) - nodes.fdsk - disk
    bad = np.flatnonzero((missing_mem > MISSING_MEM) | (missing_disk > MISSING_DISK))
    return [
        f"node {nodes.name[number]} is missing {int(missing_mem[number])} MB ram and"
        f" {int(missing_disk[number] // 1024)} GB disk"
        for number in bad[::-1].tolist()
    ]


def read_source(options: Options) -> Cluster:
    """The cluster from the one source the options name."""
    sources = [options.master, options.luxi, options.text_data, options.ialloc_src]
    if sum(source is not None for source in sources) + bool(options.simulate) > 1:
        raise UsageError(
            "Error: Only one of the rapi, luxi, and data files options should be given."
        )
    if options.text_data is not None:
        return text.read(options.text_data)
    if options.luxi is not None:
        from .loaders import luxi

        return luxi.read(options.luxi, options.static_kvm_node_memory)
    if options.master is not None:
        from .loaders import rapi

        return rapi.read(options.master, options.static_kvm_node_memory)
    if options.ialloc_src is not None:
        from .loaders import ialloc

        return ialloc.read(options.ialloc_src, options.static_kvm_node_memory)
    if options.simulate:
        from .loaders import simulate

        return simulate.build(options.simulate)
    raise LoadError("No backend selected! Exiting.")


def load(options: Options) -> Loaded:
    """Read and prepare the cluster, warnings about it on standard error.

    Raises `UsageError` with the whole message when it cannot be done.
    """
    utilisation = None
    if options.dynu_file is not None:
        try:
            with open(options.dynu_file, encoding="utf-8", errors="surrogateescape") as stream:
                content = stream.read()
        except OSError as err:
            raise HtoolsError(open_error(options.dynu_file, err)) from err
        try:
            utilisation = parse_utilisation(content)
        except LoadError as err:
            raise UsageError(f"Error: {err}") from err
    try:
        cluster = read_source(options)
        if options.mond and not options.ignore_dynu:
            from .loaders import mond

            cluster = mond.apply(cluster, options)
        loaded = prepare(cluster, options, utilisation)
    except LoadError as err:
        raise UsageError(f"Error: failed to load data, aborting: {err}") from err
    if loaded.warnings and options.verbose > 0:
        lines = "".join(f"  - {line}\n" for line in loaded.warnings)
        sys.stderr.write(f"Warning: cluster has inconsistent data:\n{lines}\n")
    return loaded


def set_offline(cluster: Cluster, options: Options) -> Cluster:
    """The cluster with the nodes of ``-O`` offline; raises `UsageError` for unknown names."""
    offline = cluster.nodes.offline.copy()
    unknown = []
    for wanted in options.offline:
        hits = [n for n, name in enumerate(cluster.nodes.name) if matches(name, wanted)]
        exact = [n for n in hits if cluster.nodes.name[n] == wanted]
        if exact or len(hits) == 1:
            offline[(exact or hits)[-1]] = True
        else:
            unknown.append(wanted)
    if unknown:
        names = ",".join(unknown)
        raise UsageError(f"Error: wrong node name(s) set as offline: {names}\n")
    if not options.offline:
        return cluster
    return replace(cluster, nodes=replace(cluster.nodes, offline=offline))


def select_group(cluster: Cluster, group: int) -> Cluster:
    """The part of the cluster that is one group: its nodes, and instances with a primary there.

    A secondary in another group is dropped.
    """
    keep_nodes = np.flatnonzero(cluster.nodes.group == group)
    if len(keep_nodes) == len(cluster.nodes):
        return cluster
    number = np.full(len(cluster.nodes) + 1, NO_NODE)
    number[keep_nodes] = np.arange(len(keep_nodes))
    keep = np.flatnonzero(number[cluster.instances.pnode] != NO_NODE)
    instances = cluster.instances.take(keep)
    instances = replace(instances, pnode=number[instances.pnode], snode=number[instances.snode])
    return replace(cluster, nodes=cluster.nodes.take(keep_nodes), instances=instances)


def make_state(cluster: Cluster, rules: TagRules, options: Options) -> State:
    """The state of a prepared cluster with the options' limits."""
    static: Static = build_static(cluster, rules, options.max_cpu, options.min_disk)
    return build_state(static)
