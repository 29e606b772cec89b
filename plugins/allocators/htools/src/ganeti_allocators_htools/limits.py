"""May this node take that instance? Every rule, for all nodes at once.

`Request` is the size of an instance that is looking for a place. The functions return, per node,
the new columns of ``State.q`` and a code: 0 for yes, else 1 + the index in `FAILURES` of the first
rule broken, in the order in which upstream (release 3.0) tests them. With ``force`` the soft rules
(CPU ratio, spare disk, spindles, exclusion tags, N+1) are not tested.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .model import LOCAL_TEMPLATES, Bools, Cluster, Codes, Floats, IPolicy, ISpec
from .state import LOADS, ROW, State
from .tags import matching

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


def exclusion_numbers(state: State, tags: Iterable[str]) -> tuple[int, ...]:
    """Numbers of the exclusion tags among ``tags``; tags nobody has yet are left out."""
    names = {name: number for number, name in enumerate(state.static.exclusion_tags)}
    chosen = matching(tags, state.static.rules.exclusion)
    return tuple(names[tag] for tag in chosen if tag in names)


def _size_failure(request: Request, low: ISpec, high: ISpec, exclusive: bool) -> str | None:
    def outside(value: int, lower: int, upper: int) -> bool:
        return not lower <= value <= upper

    if outside(request.mem, low.mem, high.mem):
        return "FailMem"
    if any(outside(size, low.disk, high.disk) for size in request.disks):
        return "FailDisk"
    if outside(request.vcpus, low.cpu, high.cpu):
        return "FailCPU"
    if exclusive:
        if None not in request.disk_spindles and outside(
            request.spindles, low.spindle_use, high.spindle_use
        ):
            return "FailSpindles"
    elif outside(request.spindle_use, low.spindle_use, high.spindle_use):
        return "FailSpindles"
    if request.template != "diskless" and outside(
        len(request.disks), low.disk_count, high.disk_count
    ):
        return "FailDiskCount"
    return None


def policy_failure(request: Request, policy: IPolicy, exclusive: bool) -> int:
    """0 when the policy allows this size and template, else the failure's code."""
    failures = [_size_failure(request, bound.min, bound.max, exclusive) for bound in policy.minmax]
    if all(failures):
        return CODE[str(failures[0])]
    return 0 if request.template in policy.templates else CODE["FailDisk"]


def policy_codes(request: Request, cluster: Cluster) -> Codes:
    """`policy_failure` for each node."""
    nodes = cluster.nodes
    table: dict[tuple[int, bool], int] = {}
    codes = np.zeros(len(nodes), dtype=np.uint8)
    for number, key in enumerate(zip(nodes.group.tolist(), nodes.exclusive.tolist(), strict=True)):
        if key not in table:
            table[key] = policy_failure(request, cluster.groups[key[0]].policy, key[1])
        codes[number] = table[key]
    return codes


def _first(conditions: Rules, count: int) -> Codes:
    codes = np.zeros(count, dtype=np.uint8)
    for mask, name in reversed(conditions):
        codes[mask] = CODE[name]
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
    if not request.local:
        return
    q[ROW[f"fdsk{suffix}"]] -= request.dsk
    q[ROW[f"fsp{suffix}"]] -= np.where(exclusive, request.spindles, 0)
    q[ROW[f"isp{suffix}"]] += np.where(exclusive, 0, request.spindle_use)


def _disk_rules(state: State, q: Floats, force: bool, suffix: str = "") -> Rules:
    static = state.static
    fdsk = q[ROW[f"fdsk{suffix}"]]
    short = static.cluster.nodes.exclusive & (q[ROW[f"fsp{suffix}"]] < 0)
    rules: Rules = [(fdsk <= 0, "FailDisk"), (short, "FailSpindles")]
    if not force:
        rules += [
            (fdsk < static.lo_dsk, "FailDisk"),
            (q[ROW[f"isp{suffix}"]] > static.hi_spindles, "FailDisk"),
        ]
    return rules


def primary_codes(state: State, request: Request, q: Floats, *, force: bool = False) -> Codes:
    """Why each node cannot be the primary; ``q`` is from `as_primary`."""
    static = state.static
    umem = q[ROW["umem"]]
    rules: Rules = [(umem <= 0, "FailMem")]
    if request.local:
        rules += _disk_rules(state, q, force)
    if not force:
        failing = (umem <= state.rmem) | (q[ROW["fdsk"]] <= 0)
        limit = np.floor(static.hi_cpu * static.cluster.nodes.tcpu)
        rules += [
            (failing & ~state.fails_n1, "FailMem"),
            ((limit >= 0) & (q[ROW["ucpu"]] > limit), "FailCPU"),
        ]
        if request.exclusion:
            taken = np.any(state.ptags[:, list(request.exclusion)] > 0, axis=1)
            rules.append((taken, "FailTags"))
    rules.append((q[ROW["umem_f"]] <= 0, "FailMem"))
    if request.local:
        rules += _disk_rules(state, q, force, "_f")
    if not force:
        rules.append(((limit >= 0) & (q[ROW["ucpu_f"]] > limit), "FailCPU"))
    return _first(rules, len(umem))


def secondary_codes(
    state: State, request: Request, q: Floats, rmem: Floats, *, force: bool = False
) -> Codes:
    """Why each node cannot be the secondary; ``rmem`` is what it would have to reserve."""
    rules = _disk_rules(state, q, force)
    if not force:
        needed = request.mem if request.uses_sec_mem else 0
        failing = (state.umem <= rmem) | (q[ROW["fdsk"]] <= 0)
        rules += [
            (state.umem <= needed, "FailMem"),
            (failing & ~state.fails_n1, "FailMem"),
            (state.umem_f <= needed, "FailMem"),
        ]
    rules += _disk_rules(state, q, force, "_f")
    return _first(rules, len(rmem))
