"""hspace: how many more instances the cluster can hold."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace

import numpy as np

from ganeti_allocators_htools.allocation import Outcome
from ganeti_allocators_htools.capacity import Site
from ganeti_allocators_htools.errors import UsageError
from ganeti_allocators_htools.growth import Field, Grower, Growth
from ganeti_allocators_htools.limits import Request
from ganeti_allocators_htools.loaders import text
from ganeti_allocators_htools.model import Cluster, ISpec
from ganeti_allocators_htools.options import Options
from ganeti_allocators_htools.output import node_list, table
from ganeti_allocators_htools.placing import instances_of, joined
from ganeti_allocators_htools.prepare import load, make_state, set_offline
from ganeti_allocators_htools.space_report import Report, Totals
from ganeti_allocators_htools.state import State

from .hbal import show_state, write_file


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
                str(request.spindles) if spindles else "",
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
