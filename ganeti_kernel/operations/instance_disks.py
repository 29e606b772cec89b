"""Activating an instance's disks without starting it, and deactivating them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import ECODE_STATE, OpExecError
from ganeti_kernel.jobs.opcodes import OpInstanceActivateDisks, OpInstanceDeactivateDisks
from ganeti_kernel.jobs.operation import JobContext, Step, StepPlan, operation, step
from ganeti_kernel.objects import Guest
from ganeti_kernel.operations import finding
from ganeti_kernel.operations.disks import node_argument, node_of
from ganeti_kernel.operations.guests import build_guest
from ganeti_kernel.operations.instance_power import DetachDisks, _OnInstance

SYNC_PAUSE: Final = 2.0
SYNC_SECONDS: Final = 3600.0
"""How often, and for how long, a job looks whether copies agree."""


@step
class AttachDisks(Step):
    """Attach a guest's disks. Arguments: node, guest, were_active (undone they stay as they were).

    Returns [node name, "disk/N", path or null] of each.
    """

    NAME = "disks.attach"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        node, guest = node_of(context, args), msgspec.convert(args["guest"], Guest)
        out = []
        for disk in guest.disks:
            device = context.nodes.call(node, "disk_attach", disk=disk)
            out.append([node.name, f"disk/{disk.index}", device.path])
        return out

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        if args["were_active"]:
            return
        node, guest = node_of(context, args), msgspec.convert(args["guest"], Guest)
        for disk in guest.disks:
            context.nodes.call(node, "disk_detach", disk=disk)


@step
class WaitForSync(Step):
    """Wait until the copies of a guest's disks agree. Arguments: node, guest."""

    NAME = "disks.wait-for-sync"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        node, guest = node_of(context, args), msgspec.convert(args["guest"], Guest)
        ends = time.monotonic() + SYNC_SECONDS
        for disk in guest.disks:
            told = None
            while (status := context.nodes.call(node, "disk_sync", disk=disk)).percent is not None:
                if time.monotonic() > ends:
                    raise OpExecError(
                        f"disk {disk.index} of {guest.name} is not in sync after "
                        f"{SYNC_SECONDS:g} seconds ({status.percent:.1f}% done); it goes on"
                    )
                if told != int(status.percent):
                    told = int(status.percent)
                    context.log(f" - device disk/{disk.index}: {status.percent:.2f}% done")
                time.sleep(SYNC_PAUSE)


class _OnDisks(_OnInstance):
    def check(self) -> None:
        super().check()
        finding.online_primary(self.context.view, self.inst)

    def disk_args(self) -> dict[str, Any]:
        guest = build_guest(self.context.view, self.inst)
        return {"node": node_argument(self.node), "guest": msgspec.to_builtins(guest)}


@operation
class InstanceActivateDisks(_OnDisks):
    """Make an instance's disks usable on its primary node; they count as active from then on."""

    OPCODE = OpInstanceActivateDisks

    def plan(self) -> Sequence[StepPlan]:
        op: OpInstanceActivateDisks = self.op
        args = self.disk_args()
        attach = {**args, "were_active": self.inst.disks_active}
        steps = [
            StepPlan(name=AttachDisks.NAME, args=attach),
            self.state_step(self.inst.admin_state, active=True),
        ]
        return [*steps, StepPlan(name=WaitForSync.NAME, args=args)] if op.wait_for_sync else steps

    def result(self, outcomes: Sequence[Any]) -> Any:
        return outcomes[0]


@operation
class InstanceDeactivateDisks(_OnDisks):
    """Take an instance's disks out of use; refused while it runs, unless forced."""

    OPCODE = OpInstanceDeactivateDisks

    def check(self) -> None:
        super().check()
        if not self.op.force and self.running():
            finding.refuse(
                f"Instance {self.inst.name} is running, cannot deactivate its disks; shut it down "
                "first",
                ECODE_STATE,
            )

    def plan(self) -> Sequence[StepPlan]:
        return [
            StepPlan(name=DetachDisks.NAME, args=self.disk_args()),
            self.state_step(self.inst.admin_state, active=False),
        ]
