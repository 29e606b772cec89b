"""Starting, stopping and rebooting instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ganeti_kernel.errors import ECODE_STATE
from ganeti_kernel.jobs.opcodes import OpInstanceReboot, OpInstanceShutdown, OpInstanceStartup
from ganeti_kernel.jobs.operation import (
    JobContext,
    Lock,
    Operation,
    Step,
    StepPlan,
    operation,
    step,
)
from ganeti_kernel.objects import Guest, Instance, Node
from ganeti_kernel.operations import facts, finding
from ganeti_kernel.operations.config_objects import set_fields
from ganeti_kernel.operations.disks import check_memory, ignoring, node_argument, node_of
from ganeti_kernel.operations.guests import build_guest
from ganeti_kernel.operations.hookenv import instance_environment

CALL_MARGIN = 60.0
"""Seconds a stop call may take beyond the guest's own time."""


def start_step(guest: Guest, node: Node, *, paused: bool, was_running: bool) -> StepPlan:
    return StepPlan(
        name=StartInstance.NAME,
        args={
            "guest": msgspec.to_builtins(guest),
            "node": node_argument(node),
            "paused": paused,
            "was_running": was_running,
        },
    )


def stop_step(
    inst: Instance,
    node: Node,
    *,
    timeout: int,
    force: bool = False,
    ignore: bool = False,
    pivot: bool = False,
) -> StepPlan:
    """A step that stops a guest. As a pivot an interruption of it or behind it is carried on: a
    guest that was stopped is not started again to take that back."""
    return StepPlan(
        name=StopInstance.NAME,
        pivot=pivot,
        resume=pivot,
        args={
            "node": node_argument(node),
            "hypervisor": inst.hypervisor,
            "name": inst.name,
            "timeout": timeout,
            "force": force,
            "ignore": ignore,
        },
    )


@step
class StartInstance(Step):
    """Start a guest on a node. Arguments: node, guest, paused, was_running."""

    NAME = "instance.start"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        guest = msgspec.convert(args["guest"], Guest)
        context.log(f"* starting instance {guest.name} on node {args['node']['name']}")
        context.nodes.call(
            node_of(context, args), "instance_start", guest=guest, paused=bool(args["paused"])
        )

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        if args["was_running"]:
            return
        name = args["guest"]["name"]
        context.log(f"* stopping instance {name} again")
        context.nodes.call(
            node_of(context, args),
            "instance_stop",
            hypervisor=args["guest"]["hypervisor"],
            name=name,
            force=True,
            timeout=0.0,
        )


@step
class StopInstance(Step):
    """Stop a guest. Arguments: node, hypervisor, name, timeout (seconds), force, ignore."""

    NAME = "instance.stop"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        context.log(f"* shutting down instance {args['name']} on node {args['node']['name']}")
        timeout = float(args["timeout"])
        ignoring(
            context,
            args,
            f"could not shut down instance {args['name']}",
            lambda: context.nodes.call(
                node_of(context, args),
                "instance_stop",
                deadline=timeout + CALL_MARGIN,
                hypervisor=args["hypervisor"],
                name=args["name"],
                force=bool(args["force"]),
                timeout=timeout,
            ),
        )


@step
class DetachDisks(Step):
    """Detach a stopped guest's disks. Arguments: node, guest."""

    NAME = "disks.detach"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        guest = msgspec.convert(args["guest"], Guest)
        for disk in guest.disks:
            ignoring(
                context,
                {"ignore": True},
                f"disk {disk.index} of {guest.name} stays attached",
                lambda disk=disk: context.nodes.call(
                    node_of(context, args), "disk_detach", disk=disk
                ),
            )


@step
class RebootInstance(Step):
    """Reboot a guest from inside. Arguments: node, guest."""

    NAME = "instance.reboot"
    ONCE = True

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        guest = msgspec.convert(args["guest"], Guest)
        context.log(f"* rebooting instance {guest.name}")
        context.nodes.call(node_of(context, args), "instance_reboot", guest=guest)


class _OnInstance(Operation[Any]):
    """What operations on one instance share: its locks, its node, its hooks."""

    OBJECT_TYPE = "INSTANCE"
    KEPT = {"inst": Instance, "node": Node}

    inst: Instance
    node: Node

    def locks(self) -> Sequence[Lock]:
        inst = finding.instance(self.context.view, self.op.instance_name)
        nodes = self.context.view.instance_nodes(inst)
        return [
            Lock("instance", inst.name, exclusive=True),
            *(Lock("node-res", uuid, exclusive=True) for uuid in sorted(set(nodes))),
        ]

    def check(self) -> None:
        self.inst = finding.instance(self.context.view, self.op.instance_name)
        self.node = finding.primary_node(self.context.view, self.inst)
        if self.inst.forthcoming:
            finding.refuse(f"instance {self.inst.name} is only a reservation", ECODE_STATE)

    def running(self) -> bool:
        """Ask the node whether the guest runs."""
        state = self.context.nodes.call(
            self.node, "instance_state", hypervisor=self.inst.hypervisor, name=self.inst.name
        )
        return state is not None

    def state_step(self, admin_state: str, *, active: bool, source: str | None = None) -> StepPlan:
        """A step that notes what should be."""
        return set_fields(
            self.inst,
            admin_state=admin_state,
            admin_state_source=source or self.inst.admin_state_source,
            disks_active=active,
        )

    def hooks_environment(self) -> Mapping[str, str]:
        return instance_environment(self.context.view, self.inst)

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        view = self.context.view
        uuids = dict.fromkeys([view.cluster.master_node, *view.instance_nodes(self.inst)])
        nodes = [view.nodes[uuid] for uuid in uuids if uuid in view.nodes]
        return nodes, nodes


@operation
class InstanceStartup(_OnInstance):
    """Start an instance; it is noted that it should run."""

    OPCODE = OpInstanceStartup
    HOOKS_PATH = "instance-start"

    def hooks_environment(self) -> Mapping[str, str]:
        return {**super().hooks_environment(), "FORCE": str(self.op.force)}

    def check(self) -> None:
        super().check()
        op: OpInstanceStartup = self.op
        if self.node.offline and not op.ignore_offline_nodes:
            finding.online_primary(self.context.view, self.inst)
        if self.inst.admin_state == "offline":
            finding.refuse(
                f"Instance {self.inst.name} is marked offline; gnt-instance modify --online first",
                ECODE_STATE,
            )
        hvparams = facts.check_values(
            "hypervisor", self.inst.hypervisor, op.hvparams, "hypervisor parameter"
        )
        self.once = msgspec.structs.replace(
            self.inst,
            hvparams=self.inst.hvparams | hvparams,
            beparams=self.inst.beparams | op.beparams,
        )
        self.was_running = not self.node.offline and self.running()
        if not self.node.offline and not self.was_running:
            memory = int(self.context.view.fill_be(self.once)["minmem"])
            check_memory(self.context, self.node, self.inst.hypervisor, memory, self.inst.name)

    def plan(self) -> Sequence[StepPlan]:
        op: OpInstanceStartup = self.op
        steps = []
        if not self.node.offline:
            guest = build_guest(self.context.view, self.once)
            steps.append(
                start_step(guest, self.node, paused=op.startup_paused, was_running=self.was_running)
            )
        else:
            self.context.warn(f"node {self.node.name} is offline; only the state is noted")
        if not op.no_remember:
            steps.append(self.state_step("up", active=True, source="admin"))
        return steps


@operation
class InstanceShutdown(_OnInstance):
    """Stop an instance; it is noted that it should be down."""

    OPCODE = OpInstanceShutdown
    HOOKS_PATH = "instance-stop"

    def hooks_environment(self) -> Mapping[str, str]:
        return {**super().hooks_environment(), "TIMEOUT": str(self.op.timeout)}

    def check(self) -> None:
        super().check()
        if self.node.offline and not self.op.ignore_offline_nodes:
            finding.online_primary(self.context.view, self.inst)
        if self.inst.admin_state == "offline" and not self.op.force:
            finding.refuse(f"Instance {self.inst.name} is marked offline", ECODE_STATE)

    def plan(self) -> Sequence[StepPlan]:
        op: OpInstanceShutdown = self.op
        steps = []
        if self.node.offline:
            self.context.warn(f"node {self.node.name} is offline; only the state is noted")
        else:
            guest = build_guest(self.context.view, self.inst)
            steps.append(stop_step(self.inst, self.node, timeout=op.timeout, pivot=True))
            args = {"node": node_argument(self.node), "guest": msgspec.to_builtins(guest)}
            steps.append(StepPlan(name=DetachDisks.NAME, args=args))
        if not op.no_remember:
            source = op.admin_state_source or "admin"
            steps.append(self.state_step("down", active=False, source=source))
        return steps


@operation
class InstanceReboot(_OnInstance):
    """Reboot an instance: from inside (soft), by stop and start (hard), with its disks (full)."""

    OPCODE = OpInstanceReboot
    HOOKS_PATH = "instance-reboot"

    def hooks_environment(self) -> Mapping[str, str]:
        op: OpInstanceReboot = self.op
        return {
            **super().hooks_environment(),
            "IGNORE_SECONDARIES": str(op.ignore_secondaries),
            "REBOOT_TYPE": op.reboot_type,
            "SHUTDOWN_TIMEOUT": str(op.shutdown_timeout),
        }

    def check(self) -> None:
        super().check()
        finding.online_primary(self.context.view, self.inst)
        self.was_running = self.running()

    def plan(self) -> Sequence[StepPlan]:
        op: OpInstanceReboot = self.op
        guest = build_guest(self.context.view, self.inst)
        args = {"node": node_argument(self.node), "guest": msgspec.to_builtins(guest)}
        if op.reboot_type == "soft" and self.was_running:
            return [StepPlan(name=RebootInstance.NAME, args=args)]
        steps = []
        if self.was_running:
            steps.append(stop_step(self.inst, self.node, timeout=op.shutdown_timeout, pivot=True))
        if op.reboot_type == "full":
            steps.append(StepPlan(name=DetachDisks.NAME, args=args))
        return [
            *steps,
            start_step(guest, self.node, paused=False, was_running=True),
            self.state_step("up", active=True),
        ]
