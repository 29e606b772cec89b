"""The steps of moving an instance without its memory: stopped here, noted there, started there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ganeti_kernel.config.changes import Draft
from ganeti_kernel.jobs.operation import JobContext, Step, StepPlan, step
from ganeti_kernel.objects import Guest, Instance, Node
from ganeti_kernel.operations.disks import node_argument, node_of

STOP_MARGIN: Final = 60.0
"""Seconds a stop call may take beyond the guest's own time."""


def failover_steps(
    guest: Guest,
    source: Node,
    target: Node,
    *,
    timeout: int,
    was_running: bool,
    start: StepPlan | None,
) -> list[StepPlan]:
    """The plan that moves a guest by stopping it and, with `start`, starting it elsewhere.

    A source that is offline is left alone.
    """
    steps = []
    if not source.offline:
        args = {
            "node": node_argument(source),
            "guest": msgspec.to_builtins(guest),
            "timeout": timeout,
            "was_running": was_running,
        }
        steps.append(StepPlan(name=StopForFailover.NAME, args=args))
    steps.append(primary_step(guest.uuid, source, target))
    return [*steps, start] if start is not None else steps


def primary_step(uuid: str, source: Node, target: Node) -> StepPlan:
    """The step that notes an instance's new primary node."""
    return StepPlan(
        name=SetPrimary.NAME, args={"uuid": uuid, "old": source.uuid, "new": target.uuid}
    )


@step
class SetPrimary(Step):
    """Note an instance's primary node. Arguments: uuid, old, new (UUIDs of nodes)."""

    NAME = "config.set-primary"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        note_primary(context, args["uuid"], args["new"])

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        note_primary(context, args["uuid"], args["old"])


def note_primary(context: JobContext, uuid: str, node: str) -> None:
    def change(draft: Draft) -> None:
        inst: Instance | None = draft.view.instances.get(uuid)
        if inst is not None and inst.primary_node != node:
            draft.put(msgspec.structs.replace(inst, primary_node=node))

    context.update(change)


@step
class StopForFailover(Step):
    """Stop a guest to start it elsewhere; undone, it runs here again.

    Arguments: node, guest, timeout (seconds), was_running.
    """

    NAME = "failover.stop"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        guest, node = msgspec.convert(args["guest"], Guest), node_of(context, args)
        context.log("* shutting down instance on source node")
        timeout = float(args["timeout"])
        context.nodes.call(
            node,
            "instance_stop",
            deadline=timeout + STOP_MARGIN,
            hypervisor=guest.hypervisor,
            name=guest.name,
            timeout=timeout,
        )
        context.log("* deactivating the instance's disks on source node")
        for disk in guest.disks:
            context.nodes.call(node, "disk_detach", disk=disk)

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        if not args["was_running"]:
            return
        guest, node = msgspec.convert(args["guest"], Guest), node_of(context, args)
        context.log(f"* starting the instance on {node.name} again")
        context.nodes.call(node, "instance_start", guest=guest, paused=False)
