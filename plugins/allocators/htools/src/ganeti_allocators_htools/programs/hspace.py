"""hspace: how many more instances the cluster can hold."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from ganeti_allocators_htools.allocation import Outcome
from ganeti_allocators_htools.capacity import Site
from ganeti_allocators_htools.errors import UsageError
from ganeti_allocators_htools.growth import Field, Grower, Growth
from ganeti_allocators_htools.limits import Request
from ganeti_allocators_htools.loaders import text
from ganeti_allocators_htools.model import Cluster, ISpec
from ganeti_allocators_htools.numbers import fixed, show_float
from ganeti_allocators_htools.options import Options
from ganeti_allocators_htools.output import node_list, table
from ganeti_allocators_htools.placing import instances_of, joined
from ganeti_allocators_htools.prepare import load, make_state, set_offline
from ganeti_allocators_htools.score import score
from ganeti_allocators_htools.state import State

from .hbal import show_state, write_file


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
    def of(cls, state: State, added: int = 0) -> Totals:
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
    spindles = _shown_spindles(request)
    return [
        (f"{prefix}_MEM", str(request.mem)),
        (f"{prefix}_DSK", str(request.dsk)),
        (f"{prefix}_CPU", str(request.vcpus)),
        (f"{prefix}_SPN", str(spindles)),
        (f"{prefix}_RQN", "2" if request.template == "drbd" else "1"),
        (f"{prefix}_DISK_TEMPLATE", request.template),
    ]


def _shown_spindles(request: Request) -> int:
    return request.spindles


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
        return shown + (f", SPN {_shown_spindles(request)}" if self.spindles else "")

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
                f"{size.mem},{size.dsk},{size.vcpus},{_shown_spindles(size)}={count}"
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


def request_of(
    options: Options,
    cluster: Cluster,
    size: tuple[int, int, int, int | None] | None,
    spec: ISpec,
    template: str,
) -> Request:
    """The instance to allocate: the command line's size, else the policy's ``spec``."""
    use = cluster.policy.std.spindle_use if options.spindle_use is None else options.spindle_use
    if size is None:
        disk, mem, cpus, spindles = spec.disk, spec.mem, spec.cpu, spec.spindle_use
    else:
        disk, mem, cpus, given = size
        spindles = use if given is None else given
    return Request(
        name="new",
        mem=mem,
        dsk=disk,
        vcpus=cpus,
        template=template,
        disks=(disk,),
        disk_spindles=(spindles,),
        spindle_use=use,
    )


def field_of(state: State, options: Options, template: str) -> Field | None:
    """Online nodes of groups that take instances; None if N+1 forbids to try at all.

    With independent groups those with any node that fails N+1, be it the local or the global rule
    (even if that one is not checked), are left out and not looked at again; with accepted errors
    only the failure of offline nodes is (upstream 3.0). Raises `UsageError` when there are not
    enough nodes at all.
    """
    cluster = state.static.cluster
    group, offline = cluster.nodes.group, cluster.nodes.offline
    usable = np.array([g.alloc_policy != "unallocable" for g in cluster.groups], dtype=bool)
    watched = ~offline if options.accept_existing_errors else np.ones_like(offline)
    bad = state.fails_n1 & ~offline
    if options.independent_groups:
        usable[group[bad]] = False
        usable[group[Site.of(state).failing()]] = False
        watched &= usable[group]
    stuck = not (options.independent_groups and usable.any())
    if bad.any() and stuck and not options.accept_existing_errors:
        return None
    nodes = np.flatnonzero(usable[group] & ~offline)
    needed = 2 if template == "drbd" else 1
    if np.bincount(group[nodes], minlength=1).max(initial=0) < needed:
        text = "Not enough online nodes" if needed > 1 else "No online nodes"
        raise UsageError(f"Error: failure during allocation: {text}")
    return Field(nodes, watched)


def saved(growth: Growth) -> str:
    """A data file with the cluster as it was left."""
    state = growth.state
    cluster = state.static.cluster
    count = len(cluster.instances) - sum(1 for _ in cluster.instances.name if _ == "new")
    before = cluster.instances.take(np.arange(count))
    fresh = instances_of(
        [request for request, _ in growth.placed], [where for _, where in growth.placed]
    )
    whole = replace(cluster, instances=joined(before, fresh))
    return text.format_cluster(whole, fdsk=state.fdsk, fspindles=state.fsp)


def _show_map(growth: Growth, state: State, title: str, options: Options) -> None:
    if options.verbose > 1:
        names = state.static.cluster.nodes.alias
        spindles = bool(state.static.cluster.nodes.exclusive.any())
        rows = [
            [
                request.name,
                names[where[0]],
                names[where[1]] if len(where) > 1 else "",
                str(request.mem),
                str(request.dsk),
                str(request.vcpus),
                str(_shown_spindles(request)) if spindles else "",
            ]
            for request, where in growth.placed
        ]
        sys.stderr.write(f"{title} allocation map\n")
        if rows:
            right = [False, False, False, True, True, True, True]
            sys.stderr.write(table(rows, right, " ") + "\n")
        sys.stderr.write("\n")
    if options.print_nodes is not None:
        sys.stderr.write(
            f"{title} allocation status:\n{node_list(growth.state, options.print_nodes)}\n\n"
        )


def run(options: Options) -> int:
    loaded = load(options)
    cluster = set_offline(loaded.cluster, options)
    state = make_state(cluster, loaded.rules, options)
    policy = cluster.policy
    template = options.disk_template or (policy.templates[0] if policy.templates else "")
    if not template:
        raise UsageError("Error: no allowed disk template")
    show_state(state, replace_instances_off(options), "Initial")
    start = Totals.of(state)
    report = Report(options, bool(cluster.nodes.exclusive.any()))
    report.start(start)
    field = field_of(state, options, template)

    def grown(request: Request, tiered: bool) -> Growth:
        if field is None:
            return Growth(state, (), Outcome(failures=Counter(FailN1=1)), skipped=True)
        grower = Grower(field, checked=options.capacity_checks, limit=options.max_length)
        return grower.tiered(state, request) if tiered else grower.standard(state, request)

    for tiered, title, label, prefix in (
        (True, "Tiered", "Tiered (initial size)", "TSPEC_INI"),
        (False, "Standard", "Standard (fixed-size)", "SPEC"),
    ):
        size = options.tiered_alloc if tiered else options.standard_alloc
        spec = policy.minmax[0].max if tiered else policy.std
        request = request_of(options, cluster, size, spec, template)
        report.size(request, label, prefix)
        growth = grown(request, tiered)
        end = Totals.of(growth.state)
        (report.tiered if tiered else report.standard)(growth, start, end)
        _show_map(growth, state, title, options)
        if options.save is not None:
            path = f"{options.save}.{title.lower()}"
            write_file(path, saved(growth))
            sys.stderr.write(
                f"The cluster state after {title.lower()} allocation has been written to file"
                f" '{path}'\n"
            )
    report.end()
    return 0


def replace_instances_off(options: Options) -> Options:
    """hspace has no instance list."""
    return replace(options, print_instances=False)
