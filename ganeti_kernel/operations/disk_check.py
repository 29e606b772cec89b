"""Looking after disks: which are missing or degraded, and whether recorded sizes are right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ganeti_kernel.config.changes import Draft
from ganeti_kernel.errors import GenericError, PluginError
from ganeti_kernel.jobs.opcodes import (
    OpClusterRepairDiskSizes,
    OpClusterVerifyDisks,
    OpGroupVerifyDisks,
)
from ganeti_kernel.jobs.operation import (
    JobContext,
    Lock,
    Operation,
    Step,
    StepPlan,
    operation,
    step,
)
from ganeti_kernel.objects import ConfigView, Disk, Instance, NodeGroup
from ganeti_kernel.operations import facts, finding
from ganeti_kernel.operations.guests import build_disk
from ganeti_kernel.operations.submitting import SubmitJobs
from ganeti_kernel.specs.disk_template import SYNC_FAULTY, SyncStatus

MIB: Final = 1 << 20


@dataclass
class DiskFindings:
    """What a look at a group's disks brought (the result of OP_GROUP_VERIFY_DISKS).

    `nodes`: node name -> why it could not be asked. `activate`: instances whose disks are degraded.
    `missing`: instance -> [node name, volume] of what is not there.
    """

    nodes: dict[str, str] = field(default_factory=dict)
    activate: list[str] = field(default_factory=list)
    missing: dict[str, list[list[str]]] = field(default_factory=dict)

    def result(self) -> list[Any]:
        return [self.nodes, sorted(self.activate), dict(sorted(self.missing.items()))]


def watched(view: ConfigView, group: NodeGroup) -> list[Instance]:
    """Instances of a group whose disks should be active, by name."""
    members = {node.uuid for node in view.group_members.get(group.uuid, ())}
    return sorted(
        (
            inst
            for inst in view.instances.values()
            if inst.primary_node in members and inst.disks_active and not inst.forthcoming
        ),
        key=lambda inst: inst.name,
    )


def volume(disk: Disk) -> str:
    """How a disk is called in a message: a path, or the parts of its logical id."""
    parts = [str(part) for part in disk.logical_id[:2]]
    return parts[-1] if parts and parts[-1].startswith("/") else "/".join(parts)


def needs_activation(status: SyncStatus, *, strict: bool) -> bool:
    """Whether a mirrored disk wants its other side back; not strict: only when it is broken."""
    return status.state == SYNC_FAULTY or (strict and status.degraded)


def _mirrored(templates: Iterable[str]) -> frozenset[str]:
    """Those templates that keep a copy; one that cannot be used is none."""
    out = set()
    for name in set(templates):
        try:
            if "mirrored" in facts.registry().describe("disk_template", name).features:
                out.add(name)
        except PluginError:
            continue  # the node says what is wrong with it
    return frozenset(out)


@step
class LookAtDisks(Step):
    """Ask the nodes of a group. Arguments: group (UUID), strict."""

    NAME = "disks.look"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        view = context.view
        out = DiskFindings()
        group = view.nodegroups.get(args["group"])
        if group is None:
            return out.result()
        mirrored = _mirrored(disk.dev_type for disk in view.disks.values())
        for inst in watched(view, group):
            node = view.nodes[inst.primary_node]
            if node.offline or node.name in out.nodes:
                continue
            try:
                for index, disk in enumerate(view.instance_disks(inst)):
                    asked = build_disk(view, inst.name, disk, index, group)
                    if not context.nodes.call(node, "disk_exists", disk=asked):
                        out.missing.setdefault(inst.name, []).append([node.name, volume(disk)])
                    elif disk.dev_type in mirrored and inst.name not in out.activate:
                        status = context.nodes.call(node, "disk_sync", disk=asked)
                        if needs_activation(status, strict=args["strict"]):
                            out.activate.append(inst.name)
            except GenericError as error:
                out.nodes[node.name] = str(error)
        return out.result()


@operation
class GroupVerifyDisks(Operation[OpGroupVerifyDisks]):
    """Find disks of a node group that are missing or degraded; changes nothing."""

    OPCODE = OpGroupVerifyDisks
    RETURNS_OUTCOME = True

    def locks(self) -> Sequence[Lock]:
        view = self.context.view
        group = finding.group(view, self.op.group_name)
        # What is being made or removed just now is not missing.
        return [
            Lock("nodegroup", group.uuid),
            *(Lock("instance", inst.name) for inst in watched(view, group)),
        ]

    def plan(self) -> Sequence[StepPlan]:
        group = finding.group(self.context.view, self.op.group_name)
        args = {"group": group.uuid, "strict": self.op.is_strict}
        return [StepPlan(name=LookAtDisks.NAME, args=args)]


@operation
class ClusterVerifyDisks(Operation[OpClusterVerifyDisks]):
    """Submit a job for each node group that looks at its disks."""

    OPCODE = OpClusterVerifyDisks
    RETURNS_OUTCOME = True

    def plan(self) -> Sequence[StepPlan]:
        view = self.context.view
        if self.op.group_name is not None:
            names = [finding.group(view, self.op.group_name).name]
        else:
            names = sorted(group.name for group in view.nodegroups.values())
        jobs = [
            [
                {
                    "OP_ID": "OP_GROUP_VERIFY_DISKS",
                    "group_name": name,
                    "is_strict": self.op.is_strict,
                    "priority": self.op.priority,
                }
            ]
            for name in names
        ]
        return [StepPlan(name=SubmitJobs.NAME, args={"jobs": jobs})]


# -- recorded sizes ------------------------------------------------------------------------------


def wrong_sizes(
    disks: Sequence[Disk], actual: Mapping[str, int]
) -> Iterator[tuple[Disk, int, int]]:
    """Disks whose recorded size differs: (disk, index, real size in MiB). Pure.

    `actual`: disk UUID -> bytes. A part of a MiB at the end does not count.
    """
    for index, disk in enumerate(disks):
        size = actual.get(disk.uuid)
        if size is not None and size // MIB != disk.size:
            yield disk, index, size // MIB


@step
class RepairSizes(Step):
    """Compare instances' disks with what is recorded, and record what is. Arguments: instances.

    Returns [instance, index, "size", MiB] of each that was wrong.
    """

    NAME = "disks.repair-sizes"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        changed: list[list[Any]] = []
        for name in args["instances"]:
            inst = context.view.find_instance(name)
            if inst is not None:
                changed += self._repair(context, inst)
        return changed

    def _repair(self, context: JobContext, inst: Instance) -> list[list[Any]]:
        view = context.view
        node = view.nodes[inst.primary_node]
        group = view.node_group(node)
        disks = view.instance_disks(inst)
        actual: dict[str, int] = {}
        for index, disk in enumerate(disks):
            asked = build_disk(view, inst.name, disk, index, group)
            try:
                actual[disk.uuid] = context.nodes.call(node, "disk_size", disk=asked)
            except GenericError as error:
                context.warn(f"disk {index} of instance {inst.name} is left out: {error}")
        out: list[list[Any]] = []
        for disk, index, size in wrong_sizes(disks, actual):
            context.log(
                f" - INFO: Disk {index} of instance {inst.name} has mismatched size, correcting: "
                f"recorded {disk.size}, actual {size}"
            )
            _set_size(context, disk.uuid, size)
            out.append([inst.name, index, "size", size])
        return out


def _set_size(context: JobContext, uuid: str, size: int) -> None:
    def change(draft: Draft) -> None:
        disk = draft.view.disks.get(uuid)
        if disk is not None:
            draft.replace(disk, size=size)

    context.update(change)


@operation
class ClusterRepairDiskSizes(Operation[OpClusterRepairDiskSizes]):
    """Record the sizes that disks really have; only what is wrong is told."""

    OPCODE = OpClusterRepairDiskSizes
    RETURNS_OUTCOME = True

    def locks(self) -> Sequence[Lock]:
        return [Lock("instance", inst.name, exclusive=True) for inst in self._instances()]

    def _instances(self) -> list[Instance]:
        view = self.context.view
        if self.op.instances:
            chosen = [finding.instance(view, name) for name in self.op.instances]
        else:
            chosen = [inst for inst in view.instances.values() if not inst.forthcoming]
        return sorted(chosen, key=lambda inst: inst.name)

    def plan(self) -> Sequence[StepPlan]:
        view, names = self.context.view, []
        for inst in self._instances():
            node = finding.primary_node(view, inst)
            if node.offline:
                self.context.warn(f"instance {inst.name} is left out: {node.name} is offline")
            elif inst.disks:
                names.append(inst.name)
        if not names:
            return []
        return [StepPlan(name=RepairSizes.NAME, args={"instances": names})]

    def result(self, outcomes: Sequence[Any]) -> Any:
        return outcomes[-1] if outcomes else []
