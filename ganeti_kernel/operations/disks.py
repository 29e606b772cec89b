"""What a user asks of disks, turned into disks; and the steps that make and destroy them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import ECODE_INVAL, ECODE_NORES, GenericError, UnitParseError
from ganeti_kernel.jobs.operation import JobContext, Step, StepPlan, step
from ganeti_kernel.objects import ConfigView, Disk, GuestDisk, Node
from ganeti_kernel.operations import facts, finding
from ganeti_kernel.operations.guests import build_disk
from ganeti_kernel.specs.disk_template import DiskPlan, DiskRequest
from ganeti_kernel.units import parse_size

KNOWN: Final = ("size", "mode", "name")
"""Disk keys that the kernel itself understands; all others are the template's."""


def make_request(
    view: ConfigView,
    node: Node,
    owner: tuple[str, str],
    template: str,
    index: int,
    asked: Mapping[str, Any],
    *,
    directory: str = "",
    driver: str = "loop",
) -> DiskRequest:
    """Build the request for one disk; refuses a bad size or mode. `owner`: name and UUID."""
    mode = str(asked.get("mode", "rw"))
    if mode not in ("rw", "ro"):
        finding.refuse(f"disk {index}: mode must be rw or ro, not '{mode}'")
    name = asked.get("name")
    return DiskRequest(
        instance=owner[0],
        instance_uuid=owner[1],
        uuid=str(uuid.uuid4()),
        index=index,
        size=parse_disk_size(index, asked),
        mode=mode,
        name=None if name in (None, "", "none") else str(name),
        spec={key: value for key, value in asked.items() if key not in KNOWN},
        params=view.fill_disk(template, view.node_group(node)),
        directory=directory,
        file_driver=driver,
    )


def parse_disk_size(index: int, asked: Mapping[str, Any]) -> int:
    """The size a user wants, MiB; refuses a missing or wrong one."""
    value = asked.get("size")
    if value is None:
        finding.refuse(f"disk {index}: the size is missing")
    try:
        size = value if isinstance(value, int) else parse_size(str(value))
    except UnitParseError as error:
        finding.refuse(f"disk {index}: {error}", ECODE_INVAL)
    if size <= 0:
        finding.refuse(f"disk {index}: the size must be at least 1 MiB")
    return size


def check_requests(
    context: JobContext, node: Node, template: str, requests: Sequence[DiskRequest]
) -> None:
    """Ask the node whether it can make the disks; refuses with everything that is wrong."""
    problems: list[str] = []
    for request in requests:
        problems += context.nodes.call(node, "disk_check", template=template, request=request)
    if problems:
        finding.refuse(f"{'; '.join(problems)} (on node {node.name})", ECODE_INVAL)


def plan_disks(
    context: JobContext, node: Node, template: str, requests: Sequence[DiskRequest]
) -> list[Disk]:
    """Have the node plan the disks; returns them as the configuration will hold them."""
    shared = "shared" in facts.describe("disk_template", template).features
    disks = []
    for request in requests:
        plan: DiskPlan = context.nodes.call(node, "disk_plan", template=template, request=request)
        disks.append(
            Disk(
                dev_type=template,
                logical_id=list(plan.logical_id),
                nodes=[] if shared else [node.uuid],
                iv_name=f"disk/{request.index}",
                size=plan.size,
                mode=request.mode,
                name=request.name,
                params=plan.params,
                uuid=request.uuid,
            )
        )
    return disks


def check_memory(context: JobContext, node: Node, hypervisor: str, memory: int, name: str) -> int:
    """Refuse when the node has not `memory` MiB free; returns what it has free."""
    hvparams = context.view.cluster.hvparams.get(hypervisor, {})
    info = context.nodes.call(node, "node_info", hypervisors={hypervisor: hvparams}, storage=[])
    resources = info.hypervisors.get(hypervisor)
    if resources is None:
        reason = "; ".join(info.problems) or "no answer"
        finding.refuse(f"node {node.name} cannot run {hypervisor} guests: {reason}", ECODE_NORES)
    if resources.memory_free < memory:
        finding.refuse(
            f"Not enough memory on node {node.name} for instance {name}: needed {memory} MiB, "
            f"available {resources.memory_free} MiB",
            ECODE_NORES,
        )
    return int(resources.memory_free)


# -- steps ---------------------------------------------------------------------------------------


def node_of(context: JobContext, args: Mapping[str, Any]) -> Node:
    """The node a step works on, as the step's arguments carry it.

    The journal keeps the whole node: the step may be undone after the configuration changed.
    """
    known = context.view.nodes.get(args["node"]["uuid"])
    return known if known is not None else msgspec.convert(args["node"], Node)


def node_argument(node: Node) -> Any:
    return msgspec.to_builtins(node)


def create_steps(view: ConfigView, node: Node, owner: str, disks: Sequence[Disk]) -> list[StepPlan]:
    """Steps that make an instance's disks."""
    group = view.node_group(node)
    return [
        StepPlan(
            name=CreateDisk.NAME,
            args={
                "node": node_argument(node),
                "disk": msgspec.to_builtins(build_disk(view, owner, disk, index, group)),
                "info": f"originstname+{owner}",
            },
        )
        for index, disk in enumerate(disks)
    ]


def remove_steps(
    view: ConfigView, node: Node, owner: str, disks: Sequence[Disk], *, ignore: bool
) -> list[StepPlan]:
    """Steps that destroy an instance's disks."""
    group = view.node_group(node)
    return [
        StepPlan(
            name=RemoveDisk.NAME,
            args={
                "node": node_argument(node),
                "disk": msgspec.to_builtins(build_disk(view, owner, disk, index, group)),
                "ignore": ignore,
            },
        )
        for index, disk in enumerate(disks)
    ]


@step
class CreateDisk(Step):
    """Make a disk's storage. Arguments: node, disk, info."""

    NAME = "disk.create"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        disk = msgspec.convert(args["disk"], GuestDisk)
        context.log(f"* creating disk {disk.index} ({disk.dev_type}, {disk.size} MiB)")
        context.nodes.call(node_of(context, args), "disk_create", disk=disk, info=str(args["info"]))

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        disk = msgspec.convert(args["disk"], GuestDisk)
        context.log(f"* removing disk {disk.index} again")
        context.nodes.call(node_of(context, args), "disk_remove", disk=disk)


@step
class RemoveDisk(Step):
    """Destroy a disk's storage. Arguments: node, disk, ignore (go on when it fails)."""

    NAME = "disk.remove"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        disk = msgspec.convert(args["disk"], GuestDisk)
        context.log(f"* removing disk {disk.index}")
        ignoring(
            context,
            args,
            f"disk {disk.index} ({disk.logical_id}) stays behind on {args['node']['name']}",
            lambda: context.nodes.call(node_of(context, args), "disk_remove", disk=disk),
        )


def ignoring(context: JobContext, args: Mapping[str, Any], text: str, act: Any) -> None:
    """Run `act`; with the argument `ignore` its failure becomes a warning."""
    try:
        act()
    except GenericError as error:
        if not args.get("ignore"):
            raise
        context.warn(f"{text}: {error}")
