"""Empty clusters made up from a description, one group of equal nodes each."""

from __future__ import annotations

from collections.abc import Sequence

from ganeti_allocators_htools.errors import LoadError, UsageError
from ganeti_allocators_htools.model import Cluster, Group, Instances, Nodes
from ganeti_allocators_htools.numbers import parse_int, parse_unit
from ganeti_allocators_htools.words import ALLOC_POLICIES

_SHORT = {"p": "preferred", "a": "last_resort", "u": "unallocable"}


def _size(text: str, spec: str) -> int:
    try:
        return parse_unit(text)
    except UsageError as err:
        raise LoadError(f"Invalid cluster specification '{spec}': {err}") from err


def _parse(spec: str) -> tuple[str, int, int, int, int, int]:
    parts = spec.split(",")
    if len(parts) not in (5, 6):
        raise LoadError(f"Invalid cluster specification, '{spec}'")
    policy = _SHORT.get(parts[0], parts[0])
    if policy not in ALLOC_POLICIES:
        raise LoadError(f'Invalid string value for type AllocPolicy: "{parts[0]}"')
    count = parse_int(parts[1], "numnodes")
    if count < 0:
        raise LoadError(f"Invalid cluster specification, '{spec}': a negative number of nodes")
    cpus = parse_int(parts[4], "cpus")
    spindles = parse_int(parts[5], "spindles") if len(parts) == 6 else 1
    return policy, count, _size(parts[2], spec), _size(parts[3], spec), cpus, spindles


def build(specs: Sequence[str]) -> Cluster:
    """The cluster of ``policy,nodes,disk,memory,cpus[,spindles]`` texts; raises `LoadError`."""
    groups, rows = [], []  # ncpu keeps its default: a simulated node uses one CPU itself
    for number, spec in enumerate(specs, 1):
        policy, count, disk, memory, cpus, spindles = _parse(spec)
        groups.append(Group(f"group-{number:02d}", f"fake-uuid-{number:02d}", policy))
        for node in range(1, count + 1):
            name = f"node-{number:02d}-{node:03d}"
            sizes = {"tmem": memory, "nmem": 0, "fmem": memory, "tdsk": disk, "fdsk": disk}
            rows.append(
                {"name": name, **sizes, "tcpu": cpus, "group": number - 1, "spindles": spindles}
            )
    return Cluster(tuple(groups), Nodes.of(rows), Instances.of([]))
