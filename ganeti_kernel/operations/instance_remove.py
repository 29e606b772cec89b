"""Removing instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ganeti_kernel.jobs.opcodes import OpInstanceRemove
from ganeti_kernel.jobs.operation import StepPlan, operation
from ganeti_kernel.objects import Node
from ganeti_kernel.operations import finding
from ganeti_kernel.operations.disks import node_argument, remove_steps
from ganeti_kernel.operations.guests import build_guest
from ganeti_kernel.operations.instance_config import ForgetInstance
from ganeti_kernel.operations.instance_power import DetachDisks, _OnInstance, stop_step
from ganeti_kernel.operations.no_return import NO_RETURN


@operation
class InstanceRemove(_OnInstance):
    """Shut an instance down, destroy its disks, take it out of the configuration.

    There is no way back once the guest was stopped, so a removal that was interrupted is carried
    on.
    """

    OPCODE = OpInstanceRemove
    HOOKS_PATH = "instance-remove"

    def hooks_environment(self) -> Mapping[str, str]:
        timeout = str(self.op.shutdown_timeout)
        return {**super().hooks_environment(), "SHUTDOWN_TIMEOUT": timeout}

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        return self.master, super().hooks_nodes()[1]

    def check(self) -> None:
        super().check()
        if self.node.offline and not self.op.ignore_failures:
            finding.online_primary(self.context.view, self.inst)

    def plan(self) -> Sequence[StepPlan]:
        op: OpInstanceRemove = self.op
        view, ignore = self.context.view, op.ignore_failures
        guest = build_guest(view, self.inst)
        forget = StepPlan(
            name=ForgetInstance.NAME,
            args={"uuid": self.inst.uuid, "name": self.inst.name},
        )
        if self.node.offline:
            self.context.warn(f"node {self.node.name} is offline; its data stays behind")
            return [NO_RETURN, forget]
        disks = view.instance_disks(self.inst)
        return [
            stop_step(self.inst, self.node, timeout=op.shutdown_timeout, ignore=ignore, pivot=True),
            StepPlan(
                name=DetachDisks.NAME,
                args={"node": node_argument(self.node), "guest": msgspec.to_builtins(guest)},
            ),
            *remove_steps(view, self.node, self.inst.name, disks, ignore=ignore),
            forget,
        ]
