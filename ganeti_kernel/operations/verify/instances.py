"""Instances and disks: where they should be, what runs, what is there. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ganeti_kernel.objects import ConfigView, Disk, Instance, Node
from ganeti_kernel.operations.ipolicy import policy_of, spec_of, violations
from ganeti_kernel.operations.verify.report import Finding
from ganeti_kernel.rpc.results import DiskState
from ganeti_kernel.specs.disk_template import Volume

MIB = 1 << 20

HasFeature = Callable[[str, str], bool]
"""(disk template, feature) -> whether the template announces it."""


def check_placement(view: ConfigView, inst: Instance, has_feature: HasFeature) -> Iterator[Finding]:
    """Whether an instance may be where the configuration puts it, whatever runs now."""

    def found(code: str, text: str, *, warning: bool = False) -> Finding:
        return Finding(code, inst.name, text, warning)

    primary = view.nodes[inst.primary_node]
    others = [view.nodes[uuid] for uuid in view.secondary_nodes(inst) if uuid in view.nodes]
    if primary.offline and inst.admin_state == "up":
        yield found("EINSTANCEBADNODE", f"instance lives on offline node {primary.name}")
    for node in others:
        if node.offline:
            text = f"instance has offline secondary node {node.name}"
            yield found("EINSTANCEBADNODE", text)
    for node in (primary, *others):
        if not node.vm_capable:
            text = f"instance lives on non-vm_capable node {node.name}"
            yield found("EINSTANCEBADNODE", text)
    if len(others) > 1:
        names = ", ".join(node.name for node in others)
        yield found("EINSTANCELAYOUT", f"instance has multiple secondary nodes: {names}")
    groups = {node.group for node in (primary, *others)}
    if len(groups) > 1:
        names = ", ".join(
            sorted(view.nodegroups[uuid].name for uuid in groups if uuid in view.nodegroups)
        )
        text = f"instance has primary and secondary nodes in different groups: {names}"
        yield found("EINSTANCESPLITGROUPS", text, warning=True)
    for problem in _policy(view, inst, primary, has_feature):
        yield found("EINSTANCEPOLICY", problem, warning=True)
    template = view.disk_template(inst)
    exclusive = [
        node.name for node in (primary, *others) if view.fill_nd(node)["exclusive_storage"]
    ]
    if exclusive and inst.disks and not has_feature(template, "exclusive-storage"):
        text = f"disk template {template} is not supported on node(s) {', '.join(exclusive)}"
        text += ", whose storage is exclusive"
        yield found("EINSTANCEUNSUITABLENODE", text)


def _policy(view: ConfigView, inst: Instance, primary: Node, has_feature: HasFeature) -> list[str]:
    be = view.fill_be(inst)
    disks = [disk.size for disk in view.instance_disks(inst)]
    template = view.disk_template(inst)
    spec = spec_of(be["maxmem"], be["vcpus"], disks, len(inst.nics), be["spindle_use"])
    policy = policy_of(view, view.node_group(primary))
    return violations(policy, template, spec, no_disks=has_feature(template, "no-disks"))


def check_running(view: ConfigView, running: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Compare what runs (node UUID -> instance names) with what should."""
    where: dict[str, list[str]] = {}
    for uuid, names in running.items():
        for name in names:
            where.setdefault(name, []).append(uuid)
    for uuid in running:
        for inst in view.primary_instances.get(uuid, ()):
            nodes = where.pop(inst.name, [])
            if inst.admin_state == "up" and uuid not in nodes:
                text = f"instance not running on its primary node {view.nodes[uuid].name}"
                yield Finding("EINSTANCEDOWN", inst.name, text)
            for other in nodes:
                if other != uuid:
                    text = f"instance should not run on node {view.nodes[other].name}"
                    yield Finding("EINSTANCEWRONGNODE", inst.name, text)
                elif inst.admin_state != "up":
                    text = f"instance runs although it is marked {inst.admin_state}"
                    yield Finding("EINSTANCEWRONGNODE", inst.name, text, warning=True)
    for name, nodes in sorted(where.items()):
        for uuid in nodes:
            known = view.find_instance(name)
            if known is None:
                text = f"node is running unknown instance {name}"
                yield Finding("ENODEORPHANINSTANCE", view.nodes[uuid].name, text)
            else:
                text = f"instance should not run on node {view.nodes[uuid].name}"
                yield Finding("EINSTANCEWRONGNODE", known.name, text)


def settled(
    findings: Iterable[Finding], instances: Collection[str], nodes: Collection[str]
) -> Iterator[Finding]:
    """Findings without those that only show that a job is at work there.

    `instances` and `nodes` are names: jobs are changing these instances, or make and remove
    something on these nodes.
    """
    passing = {
        "EINSTANCEDOWN": instances,
        "EINSTANCEWRONGNODE": instances,
        "ENODEORPHANINSTANCE": nodes,
        "ENODEORPHANLV": nodes,
    }
    return (item for item in findings if item.item not in passing.get(item.code, ()))


def check_disks(
    inst: Instance, node: Node, disks: Sequence[Disk], states: Sequence[DiskState]
) -> Iterator[Finding]:
    """Compare an instance's disks with what a node says of them, in the same order."""
    for index, (disk, state) in enumerate(zip(disks, states, strict=True)):
        what = f"disk/{index} ({disk.dev_type})"
        if not state.exists:
            text = f"{what} is missing on node {node.name}: {disk.logical_id}"
            yield Finding("EINSTANCEMISSINGDISK", inst.name, text)
        elif state.problem:
            text = f"couldn't retrieve status for {what} on {node.name}: {state.problem}"
            yield Finding("EINSTANCEFAULTYDISK", inst.name, text)
        elif state.degraded:
            yield Finding("EINSTANCEFAULTYDISK", inst.name, f"{what} on {node.name} is degraded")
        elif state.size is not None and state.size // MIB != disk.size:
            text = (
                f"{what} on {node.name} has {state.size / MIB:.10g} MiB instead of {disk.size} MiB;"
                " gnt-cluster repair-disk-sizes corrects the record"
            )
            yield Finding("EINSTANCEFAULTYDISK", inst.name, text)


def check_volumes(view: ConfigView, volumes: Mapping[str, Sequence[Volume]]) -> Iterator[Finding]:
    """Volumes (by node name) that belong to no disk of the configuration and are not reserved."""
    known = {_key(disk.logical_id) for disk in _all_disks(view.disks.values())}
    reserved = [re.compile(pattern) for pattern in view.cluster.reserved_lvs]
    for name, found in sorted(volumes.items()):
        for volume in found:
            label = f"{volume.pool}/{volume.name}"
            if any(_key(ident) in known for ident in volume.logical_ids):
                continue
            if not any(pattern.match(label) for pattern in reserved):
                yield Finding("ENODEORPHANLV", name, f"volume {label} is unknown")


def _key(logical_id: Sequence[Any]) -> str:
    return repr(list(logical_id))


def _all_disks(disks: Iterable[Disk]) -> Iterator[Disk]:
    for disk in disks:
        yield disk
        yield from _all_disks(disk.children)


# -- memory --------------------------------------------------------------------------------------


def check_memory(
    view: ConfigView, nodes: Sequence[Node], free: Mapping[str, int]
) -> Iterator[Finding]:
    """N+1: a node must be able to start its secondaries when any one of their primaries fails.

    `free`: node UUID -> MiB. Source of the rule (minimal memory of the auto-balanced instances of
    each primary): upstream 3.0's documentation of N+1 redundancy.
    """
    for node in nodes:
        if node.uuid not in free:
            continue
        needed: dict[str, int] = {}
        for inst in view.secondary_instances.get(node.uuid, ()):
            filled = view.fill_be(inst)
            if filled["auto_balance"]:
                total = needed.get(inst.primary_node, 0) + int(filled["minmem"])
                needed[inst.primary_node] = total
        for primary, memory in needed.items():
            if memory > free[node.uuid]:
                name = view.nodes[primary].name if primary in view.nodes else primary
                text = (
                    "not enough memory to accomodate instance failovers should node "
                    f"{name} fail ({memory}MiB needed, {free[node.uuid]}MiB available)"
                )
                yield Finding("ENODEN1", node.name, text)


def count_notes(view: ConfigView, nodes: Sequence[Node], has_feature: HasFeature) -> Iterator[str]:
    """What is worth knowing though it is no fault (upstream 3.0's notes)."""
    instances = [inst for node in nodes for inst in view.primary_instances.get(node.uuid, ())]
    safe = [
        any(has_feature(view.disk_template(inst), name) for name in ("shared", "mirrored"))
        for inst in instances
    ]
    balanced = [bool(view.fill_be(inst)["auto_balance"]) for inst in instances]
    for number, text in (
        (safe.count(False), "non-redundant instance(s) found."),
        (
            sum(not on and ok for on, ok in zip(balanced, safe, strict=True)),
            "non-auto-balanced instance(s) found.",
        ),
        (sum(node.offline for node in nodes), "offline node(s) found."),
        (sum(node.drained for node in nodes), "drained node(s) found."),
    ):
        if number:
            yield f"{number} {text}"
