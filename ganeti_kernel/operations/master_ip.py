"""The master's address: up, down, and over to other settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ganeti_kernel.errors import ECODE_STATE
from ganeti_kernel.jobs.opcodes import OpClusterActivateMasterIp, OpClusterDeactivateMasterIp
from ganeti_kernel.jobs.operation import (
    JobContext,
    Lock,
    Operation,
    Step,
    StepPlan,
    operation,
    step,
)
from ganeti_kernel.objects import Cluster
from ganeti_kernel.operations import finding
from ganeti_kernel.operations.disks import node_argument, node_of

MASTER_ADDRESS = Lock("cluster", "[master address]", exclusive=True)


def settings(cluster: Cluster) -> dict[str, Any]:
    """Arguments of the node calls about the master's address."""
    return {
        "ip": cluster.master_ip,
        "netdev": cluster.master_netdev,
        "netmask": cluster.master_netmask,
        "script": cluster.use_external_mip_script,
    }


@step
class MoveMasterIp(Step):
    """Take the master's address down with the settings `old`, bring it up with `new`.

    Arguments: node, old, new; either may be null. Undone, it is as it was with `old`.
    """

    NAME = "master-ip.move"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        self._replace(context, args, args["old"], args["new"])

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        self._replace(context, args, args["new"], args["old"])

    def _replace(
        self,
        context: JobContext,
        args: Mapping[str, Any],
        old: Mapping[str, Any] | None,
        new: Mapping[str, Any] | None,
    ) -> None:
        node = node_of(context, args)
        for name, values in (("master_ip_stop", old), ("master_ip_start", new)):
            if values is not None:
                context.nodes.call(node, name, **values)


class _MasterAddress(Operation[Any]):
    def locks(self) -> Sequence[Lock]:
        return [MASTER_ADDRESS]

    def check(self) -> None:
        if self.context.view.master is None:
            finding.refuse("the configuration names no master node", ECODE_STATE)

    def _step(self, *, up: bool) -> StepPlan:
        view = self.context.view
        values = settings(view.cluster)
        old, new = (None, values) if up else (values, None)
        args = {"node": node_argument(self.master[0]), "old": old, "new": new}
        return StepPlan(name=MoveMasterIp.NAME, args=args)


@operation
class ClusterActivateMasterIp(_MasterAddress):
    """Give the master node the cluster's address; one that is there already is success."""

    OPCODE = OpClusterActivateMasterIp

    def plan(self) -> Sequence[StepPlan]:
        return [self._step(up=True)]


@operation
class ClusterDeactivateMasterIp(_MasterAddress):
    """Take the cluster's address from the master node."""

    OPCODE = OpClusterDeactivateMasterIp

    def plan(self) -> Sequence[StepPlan]:
        return [self._step(up=False)]
