"""May this node take that instance? Every rule, for all nodes at once.

`Request` is the size of an instance that is looking for a place. The functions return, per node,
the new columns of ``State.q`` and a code: 0 for yes, else 1 + the index in `FAILURES` of the first
rule broken, in the order in which upstream (release 3.0) tests them. With ``force`` the soft rules
(CPU ratio, spare disk, spindles, exclusion tags, N+1) are not tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from .model import Bools, Cluster, Codes, Floats, IPolicy, ISpec
from .state import LOADS, ROW, State
from .tags import matching
from .words import LOCAL_TEMPLATES

FAILURES = (
    "FailMem",
    "FailDisk",
    "FailCPU",
    "FailN1",
    "FailTags",
    "FailMig",
    "FailDiskCount",
    "FailSpindles",
    "FailInternal",
)
CODE = {name: number + 1 for number, name in enumerate(FAILURES)}
Rules = list[tuple[Any, str]]
"""Masks over nodes and the failure each stands for."""


@dataclass(frozen=True)
class Request:
    """An instance to be placed; sizes in MiB. ``counted`` is memory it takes while it runs."""

    name: str
    mem: int
    dsk: int
    vcpus: int
    template: str
    disks: tuple[int, ...] = ()
    disk_spindles: tuple[int | None, ...] = ()
    spindle_use: int = 1
    nics: int = 0
    networks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    util: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    runs: bool = True
    online: bool = True
    uses_sec_mem: bool = True
    exclusion: tuple[int, ...] = field(default=(), compare=False)
    """Exclusion tags by number in ``Static.exclusion_tags``."""

    @property
    def local(self) -> bool:
        return self.template in LOCAL_TEMPLATES

    @property
    def local_dsk(self) -> int:
        return self.dsk if self.local else 0

    @property
    def spindles(self) -> int:
        return sum(count or 0 for count in self.disk_spindles)

    @cached_property
    def sizes(self) -> Sizes:
        """The request's own size."""
        return Sizes.of([self])


def exclusion_numbers(state: State, tags: Iterable[str]) -> tuple[int, ...]:
    """Numbers of the exclusion tags among ``tags``; tags nobody has yet are left out."""
    names = {name: number for number, name in enumerate(state.static.exclusion_tags)}
    chosen = matching(tags, state.static.rules.exclusion)
    return tuple(names[tag] for tag in chosen if tag in names)


@dataclass(frozen=True)
class Sizes:
    """Several requests that differ in size only, as columns (S, 1)."""

    request: Request
    mem: Floats
    dsk: Floats
    vcpus: Floats
    spindles: Floats
    largest: Floats
    smallest: Floats
    """Of the disks."""
    judged: dict[tuple[int, int], tuple[Cluster, Codes]] = field(default_factory=dict)
    """What `policy_codes` found; sizes are tried over and over on the same nodes."""

    @classmethod
    def of(cls, requests: Sequence[Request]) -> Sizes:
        def column(values: Iterable[float]) -> Floats:
            return np.array(list(values), dtype=float)[:, None]

        return cls(
            requests[0],
            column(request.mem for request in requests),
            column(request.dsk for request in requests),
            column(request.vcpus for request in requests),
            column(request.spindles for request in requests),
            column(max(request.disks, default=-np.inf) for request in requests),
            column(min(request.disks, default=np.inf) for request in requests),
        )


def _size_codes(sizes: Sizes, low: ISpec, high: ISpec, exclusive: bool) -> Codes:
    """Per size the code of the first bound it breaks, 0 for none."""
    request = sizes.request
    spindles: Any = np.full_like(sizes.mem, request.spindle_use)
    if exclusive:
        unknown = None in request.disk_spindles
        spindles = np.full_like(sizes.mem, low.spindle_use) if unknown else sizes.spindles
    count = np.full_like(sizes.mem, len(request.disks))
    if request.template == "diskless":
        count[:] = low.disk_count
    # every lower bound is looked at before any upper one
    rules: Rules = [
        (sizes.mem < low.mem, "FailMem"),
        (sizes.smallest < low.disk, "FailDisk"),
        (sizes.vcpus < low.cpu, "FailCPU"),
        (spindles < low.spindle_use, "FailSpindles"),
        (count < low.disk_count, "FailDiskCount"),
        (sizes.mem > high.mem, "FailMem"),
        (sizes.largest > high.disk, "FailDisk"),
        (sizes.vcpus > high.cpu, "FailCPU"),
        (spindles > high.spindle_use, "FailSpindles"),
        (count > high.disk_count, "FailDiskCount"),
    ]
    return _first(rules, sizes.mem.shape)


def size_policy_codes(sizes: Sizes, policy: IPolicy, exclusive: bool) -> Codes:
    """Per size 0 when the policy allows it, else the failure's code, as a column."""
    codes = [_size_codes(sizes, bound.min, bound.max, exclusive) for bound in policy.minmax]
    refused = np.all(np.array(codes) > 0, axis=0)
    forbidden = 0 if sizes.request.template in policy.templates else CODE["FailDisk"]
    return np.where(refused, codes[0], forbidden).astype(np.uint8)


@lru_cache(maxsize=1024)  # many guests are alike, and each is judged for every node
def policy_failure(request: Request, policy: IPolicy, exclusive: bool) -> int:
    """0 when the policy allows this size and template, else the failure's code."""
    return int(size_policy_codes(request.sizes, policy, exclusive)[0, 0])


def policy_codes(sizes: Sizes, cluster: Cluster) -> Codes:
    """`size_policy_codes` for each size and node."""
    nodes, groups = cluster.nodes, cluster.groups
    same = (id(nodes), id(groups))
    if same in sizes.judged:
        return sizes.judged[same][1]
    table: dict[tuple[int, bool], Codes] = {}
    columns = []
    for key in zip(nodes.group.tolist(), nodes.exclusive.tolist(), strict=True):
        if key not in table:
            table[key] = size_policy_codes(sizes, groups[key[0]].policy, key[1])
        columns.append(table[key])
    codes = np.concatenate(columns, axis=1)
    sizes.judged[same] = cluster, codes  # the cluster: its tables' ids stay theirs
    return codes


def _first(conditions: Rules, shape: tuple[int, ...]) -> Codes:
    codes = np.zeros(shape, dtype=np.uint8)
    for mask, name in reversed(conditions):
        np.copyto(codes, CODE[name], where=mask)
    return codes


def as_primary(state: State, request: Request) -> Floats:
    """The columns of ``q`` with the request added as primary to every node."""
    q = state.q.copy()
    exclusive = state.static.cluster.nodes.exclusive
    vcpus = request.vcpus if request.online else 0
    counted = request.mem if request.runs else 0
    for suffix, mem in (("", counted), ("_f", request.mem)):
        q[ROW[f"umem{suffix}"]] -= mem
        q[ROW[f"ucpu{suffix}"]] += vcpus
        _take_disk(q, request, exclusive, suffix)
    q[ROW["imem"]] += counted
    q[LOADS] += np.array(request.util)[:, None]
    q[ROW["npri"]] += 1
    return q


def as_secondary(state: State, request: Request) -> Floats:
    """The columns with the request added as secondary to every node, but for ``rmem``."""
    q = state.q.copy()
    for suffix in ("", "_f"):
        _take_disk(q, request, state.static.cluster.nodes.exclusive, suffix)
    q[ROW["dload"]] += request.util[2]
    q[ROW["nsec"]] += 1
    return q


def _take_disk(q: Floats, request: Request, exclusive: Bools, suffix: str) -> None:
    # as upstream has it, spindles are taken by shared storage too, yet never found wanting
    q[ROW[f"fsp{suffix}"]] -= np.where(exclusive, request.spindles, 0)
    if not request.local:
        return
    q[ROW[f"fdsk{suffix}"]] -= request.dsk
    q[ROW[f"isp{suffix}"]] += np.where(exclusive, 0, request.spindle_use)


def _disk_rules(
    state: State, dsk: Any, spindles: Any, use: float, force: bool, suffix: str = ""
) -> Rules:
    """Rules for taking this much disk from every node."""
    static = state.static
    exclusive = static.cluster.nodes.exclusive
    fdsk = state.q[ROW[f"fdsk{suffix}"]] - dsk
    short = exclusive & (state.q[ROW[f"fsp{suffix}"]] < spindles)
    rules: Rules = [(fdsk <= 0, "FailDisk"), (short, "FailSpindles")]
    if not force:
        crowded = ~exclusive & (state.q[ROW[f"isp{suffix}"]] + use > static.hi_spindles)
        rules += [(fdsk < static.lo_dsk, "FailDisk"), (crowded, "FailDisk")]
    return rules


def primary_codes(state: State, sizes: Sizes, *, force: bool = False) -> Codes:
    """Per size and node why the node cannot be the primary, its group's policy included."""
    static, request = state.static, sizes.request
    nodes = static.cluster.nodes
    counted = sizes.mem if request.runs else np.zeros_like(sizes.mem)
    vcpus = sizes.vcpus if request.online else np.zeros_like(sizes.mem)
    disk = (sizes.dsk, sizes.spindles, request.spindle_use, force)
    rules: Rules = [(state.umem <= counted, "FailMem")]
    if request.local:
        rules += _disk_rules(state, *disk)
    limit = np.floor(static.hi_cpu * nodes.tcpu)
    limit = np.where(limit < 0, np.inf, limit)
    if not force:
        failing = state.umem - counted <= state.rmem
        if request.local:  # upstream does not look at the disks of a node for others
            failing = failing | (state.fdsk - sizes.dsk <= 0)
        rules += [
            (failing & ~state.fails_n1, "FailMem"),
            (state.ucpu + vcpus > limit, "FailCPU"),
        ]
        if request.exclusion:
            taken: Bools = np.any(state.ptags[:, list(request.exclusion)] > 0, axis=1)
            rules.append((taken, "FailTags"))
    rules.append((state.umem_f <= sizes.mem, "FailMem"))
    if request.local:
        rules += _disk_rules(state, *disk, "_f")
    if not force:
        rules.append((state.ucpu_f + vcpus > limit, "FailCPU"))
    codes = _first(rules, (len(sizes.mem), len(nodes)))
    policy = policy_codes(sizes, static.cluster)
    np.copyto(codes, policy, where=policy > 0)
    return codes


def secondary_codes(state: State, request: Request, rmem: Floats, *, force: bool = False) -> Codes:
    """Why each node cannot be the secondary; ``rmem`` is what it would have to reserve, with the
    nodes on its last axis."""
    disk = (request.dsk, request.spindles, request.spindle_use, force)
    rules = _disk_rules(state, *disk)
    if not force:
        needed = request.mem if request.uses_sec_mem else 0
        failing = (state.umem <= rmem) | (state.fdsk - request.dsk <= 0)
        rules += [
            (state.umem <= needed, "FailMem"),
            (failing & ~state.fails_n1, "FailMem"),
            (state.umem_f <= needed, "FailMem"),
        ]
    rules += _disk_rules(state, *disk, "_f")
    return _first(rules, rmem.shape)
