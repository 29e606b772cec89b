"""What hspace prints: the cluster's totals and what was placed, for people or for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from .growth import Growth
from .limits import Request
from .numbers import fixed, show_float
from .options import Options
from .score import score
from .state import State


@dataclass(frozen=True)
class Totals:
    """Sums over all nodes of a state; MiB and counts."""

    tmem: int
    tdsk: int
    tcpu: int
    vcpus: int
    tspn: int
    free_mem: int
    avail_mem: int
    inst_mem: int
    own_mem: int
    extra_mem: int
    free_dsk: int
    avail_dsk: int
    free_spn: int
    cpus: int
    normal_cpus: float
    max_mem: int
    max_dsk: int
    nodes: int
    instances: int
    score: float

    @classmethod
    def of(cls, state: State) -> Totals:
        static = state.static
        nodes = static.cluster.nodes
        on = np.arange(len(nodes))
        own = nodes.nmem[on].sum()
        avail = np.maximum(0, state.umem - state.rmem)[on]
        disk = np.maximum(0, state.fdsk - static.lo_dsk)[on]
        ratio = static.hi_cpu[on]
        limits = np.floor(static.hi_cpu * nodes.tcpu)[on]
        with np.errstate(divide="ignore", invalid="ignore"):
            normal = np.where(ratio > 0, state.ucpu[on] / ratio, 0.0)
        return cls(
            tmem=int(nodes.tmem[on].sum()),
            tdsk=int(nodes.tdsk[on].sum()),
            tcpu=int(nodes.tcpu[on].sum()),
            vcpus=int(limits.sum()),
            tspn=int(nodes.spindles[on].sum()),
            free_mem=int(state.umem[on].sum()),
            avail_mem=int(avail.sum()),
            inst_mem=int(state.imem[on].sum()),
            own_mem=int(own),
            extra_mem=int(static.xmem[on].sum()),
            free_dsk=int(state.fdsk[on].sum()),
            avail_dsk=int(disk.sum()),
            free_spn=int(state.fsp[on].sum()),
            cpus=int(state.ucpu[on].sum()),
            normal_cpus=float(sum(normal.tolist())),
            max_mem=int(avail.max(initial=0)),
            max_dsk=int(disk.max(initial=0)),
            nodes=len(on),
            instances=int(state.npri.sum()),
            score=score(state),
        )


def _ratio(part: float, whole: float) -> float:
    if whole:
        return part / whole
    return float("nan") if not part else float("inf")


def stats_keys(totals: Totals, prefix: str) -> list[tuple[str, str]]:
    """The keys of one state, without the common prefix of all."""
    dsk = totals.tdsk - totals.free_dsk
    spn = totals.tspn - totals.free_spn
    values = [
        ("SCORE", fixed(totals.score, 8)),
        ("INST_CNT", str(totals.instances)),
        ("MEM_FREE", str(totals.free_mem)),
        ("MEM_AVAIL", str(totals.avail_mem)),
        ("MEM_RESVD", str(totals.free_mem - totals.avail_mem)),
        ("MEM_INST", str(totals.inst_mem)),
        ("MEM_OVERHEAD", str(totals.own_mem + totals.extra_mem)),
        ("MEM_EFF", fixed(_ratio(totals.inst_mem, totals.tmem), 8)),
        ("DSK_FREE", str(totals.free_dsk)),
        ("DSK_AVAIL", str(totals.avail_dsk)),
        ("DSK_RESVD", str(totals.free_dsk - totals.avail_dsk)),
        ("DSK_INST", str(dsk)),
        ("DSK_EFF", fixed(_ratio(dsk, totals.tdsk), 8)),
        ("SPN_FREE", str(totals.free_spn)),
        ("SPN_INST", str(spn)),
        ("SPN_EFF", fixed(_ratio(spn, totals.tspn), 8)),
        ("CPU_INST", str(totals.cpus)),
        ("CPU_EFF", fixed(_ratio(totals.cpus, totals.vcpus), 8)),
        ("MNODE_MEM_AVAIL", str(totals.max_mem)),
        ("MNODE_DSK_AVAIL", str(totals.max_dsk)),
    ]
    return [(f"{prefix}_{key}", value) for key, value in values]


def cluster_keys(totals: Totals) -> list[tuple[str, str]]:
    return [
        ("CLUSTER_MEM", str(totals.tmem)),
        ("CLUSTER_DSK", str(totals.tdsk)),
        ("CLUSTER_CPU", str(totals.tcpu)),
        ("CLUSTER_VCPU", str(totals.vcpus)),
        ("CLUSTER_SPN", str(totals.tspn)),
        ("CLUSTER_NODES", str(totals.nodes)),
    ]


def spec_keys(request: Request, prefix: str) -> list[tuple[str, str]]:
    return [
        (f"{prefix}_MEM", str(request.mem)),
        (f"{prefix}_DSK", str(request.dsk)),
        (f"{prefix}_CPU", str(request.vcpus)),
        (f"{prefix}_SPN", str(request.spindles)),
        (f"{prefix}_RQN", "2" if request.template == "drbd" else "1"),
        (f"{prefix}_DISK_TEMPLATE", request.template),
    ]


def resource_keys(start: Totals, end: Totals) -> list[tuple[str, str]]:
    """What is used, what the tiered allocation took, and what nobody can use."""

    def amounts(totals: Totals) -> tuple[int, float, int, int, int]:
        return (
            totals.cpus,
            totals.normal_cpus,
            totals.inst_mem,
            totals.tdsk - totals.free_dsk,
            totals.tspn - totals.free_spn,
        )

    first, last = amounts(start), amounts(end)
    whole = (end.vcpus, float(end.tcpu), end.tmem, end.tdsk, end.tspn)
    keys = []
    for label, values in (
        ("USED", first),
        ("POOL", tuple(b - a for a, b in zip(first, last, strict=True))),
        ("UNAV", tuple(b - a for a, b in zip(last, whole, strict=True))),
    ):
        for name, value in zip(("CPU", "NPU", "MEM", "DSK", "SPN"), values, strict=True):
            shown = show_float(value) if isinstance(value, float) else str(value)
            keys.append((f"KM_{label}_{name}", shown))
    return keys


def _quoted(value: str) -> str:
    safe = all(char.isascii() and (char.isalnum() or char in "._+/:") for char in value)
    return value if safe else "'" + value.replace("'", "'\\''") + "'"


def _write_keys(keys: Sequence[tuple[str, str]]) -> None:
    sys.stdout.writelines(f"HTS_{name}={_quoted(value)}\n" for name, value in keys)


def tier_counts(growth: Growth) -> list[tuple[Request, int]]:
    """Sizes in the order they were tried and how many of each were placed."""
    sizes = [replace(request, name="") for request, _ in growth.placed]
    return [(size, len(list(items))) for size, items in groupby(sizes)]


def _reasons(growth: Growth) -> list[tuple[str, int]]:
    return growth.outcome.counts()[: 1 if growth.skipped else None]


class Report:
    """Prints the results, for people or for programs."""

    def __init__(self, options: Options, spindles: bool) -> None:
        self.machine = options.machine_readable
        self.spindles = spindles

    def _size(self, request: Request) -> str:
        shown = f"MEM {request.mem}, DSK {request.dsk}, CPU {request.vcpus}"
        return shown + (f", SPN {request.spindles}" if self.spindles else "")

    def start(self, totals: Totals) -> None:
        if self.machine:
            _write_keys(cluster_keys(totals))
            _write_keys(stats_keys(totals, "INI"))
            return
        spindles = f", SPN {totals.tspn}" if self.spindles else ""
        sys.stdout.write(
            f"The cluster has {totals.nodes} nodes and the following resources:\n"
            f"  MEM {totals.tmem}, DSK {totals.tdsk}, CPU {totals.tcpu}, VCPU {totals.vcpus}"
            f"{spindles}.\n"
        )
        count = f"are {totals.instances}" if totals.instances else "are no"
        sys.stdout.write(f"There {count} initial instances on the cluster.\n")

    def size(self, request: Request, title: str, prefix: str) -> None:
        if self.machine:
            _write_keys(spec_keys(request, prefix))
        else:
            sys.stdout.write(
                f"{title} instance spec is:\n  {self._size(request)},"
                f" using disk template '{request.template}'.\n"
            )

    def tiered(self, growth: Growth, start: Totals, end: Totals) -> None:
        counts = tier_counts(growth)
        if self.machine:
            _write_keys(stats_keys(end, "TRL"))
            shown = [
                f"{size.mem},{size.dsk},{size.vcpus},{size.spindles}={count}"
                for size, count in counts
            ]
            _write_keys([("TSPEC", " ".join(shown)), *resource_keys(start, end)])
            return
        sys.stdout.write("Tiered allocation results:\n")
        if not counts:
            sys.stdout.write("  - no instances allocated\n")
        for size, count in counts:
            sys.stdout.write(f"  - {count:3d} instances of spec {self._size(size)}\n")
        self._finish(growth, start, end)

    def standard(self, growth: Growth, start: Totals, end: Totals) -> None:
        if self.machine:
            _write_keys(stats_keys(end, "FIN"))
            reasons = _reasons(growth)
            _write_keys(
                [
                    ("ALLOC_USAGE", fixed(_ratio(start.instances, end.instances), 8)),
                    ("ALLOC_INSTANCES", str(len(growth.placed))),
                    ("ALLOC_FAIL_REASON", reasons[0][0].upper()),
                    *((f"ALLOC_{name.upper()}_CNT", str(count)) for name, count in reasons),
                ]
            )
            return
        sys.stdout.write("Normal (fixed-size) allocation results:\n")
        sys.stdout.write(f"  - {len(growth.placed):3d} instances allocated\n")
        self._finish(growth, start, end)

    def _finish(self, growth: Growth, start: Totals, end: Totals) -> None:
        rows = [
            ("memory", _ratio(end.inst_mem, end.tmem)),
            ("disk", _ratio(end.tdsk - end.free_dsk, end.tdsk)),
            ("vcpu", _ratio(end.cpus, end.vcpus)),
        ]
        if self.spindles:
            rows.append(("spindles", _ratio(end.tspn - end.free_spn, end.tspn)))
        width = max(len(name) for name, _ in rows)
        sys.stdout.write(
            f"  - most likely failure reason: {_reasons(growth)[0][0]}\n"
            f"  - initial cluster score: {fixed(start.score, 8)}\n"
            f"  -   final cluster score: {fixed(end.score, 8)}\n"
        )
        for name, value in rows:
            shown = fixed(value * 100, 2)
            sys.stdout.write(f"  - {name:>{width}} usage efficiency: {shown:>5}%\n")

    def end(self) -> None:
        if self.machine:
            sys.stdout.write("HTS_OK=1\n")
