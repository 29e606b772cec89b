"""Operations on the cluster as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ganeti_kernel.errors import ECODE_STATE
from ganeti_kernel.jobs.opcodes import OpClusterDestroy, OpClusterPostInit
from ganeti_kernel.jobs.operation import Lock, Operation, StepPlan, operation
from ganeti_kernel.objects import Node
from ganeti_kernel.operations import finding


class _WholeCluster(Operation[Any]):
    """What begins and ends a cluster: nothing runs beside it, and it has post hooks alone."""

    def locks(self) -> Sequence[Lock]:
        return [Lock("cluster", "BGL", exclusive=True)]

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        return (), self.master


@operation
class ClusterPostInit(_WholeCluster):
    """Run the hooks of a cluster that was just made."""

    OPCODE = OpClusterPostInit
    HOOKS_PATH = "cluster-init"

    def plan(self) -> Sequence[StepPlan]:
        return []

    def result(self, outcomes: Sequence[Any]) -> Any:
        return True


@operation
class ClusterDestroy(_WholeCluster):
    """Agree to the end of the cluster: nothing may be in it but its master.

    The files are removed by `gnt-cluster destroy` when the daemons have stopped; this operation
    only makes sure that nothing is lost by that.
    """

    OPCODE = OpClusterDestroy
    HOOKS_PATH = "cluster-destroy"

    def check(self) -> None:
        view = self.context.view
        others = sorted(
            node.name for node in view.nodes.values() if node.uuid != view.cluster.master_node
        )
        if others:
            finding.refuse(
                f"There are still {len(others)} node(s) in this cluster ({', '.join(others)}); "
                "remove them with gnt-node remove",
                ECODE_STATE,
            )
        if view.instances:
            names = sorted(inst.name for inst in view.instances.values())
            finding.refuse(
                f"There are still {len(names)} instance(s) in this cluster ({', '.join(names)}); "
                "remove them with gnt-instance remove",
                ECODE_STATE,
            )

    def plan(self) -> Sequence[StepPlan]:
        return []

    def result(self, outcomes: Sequence[Any]) -> Any:
        return self.context.view.cluster.master_node

    def hooks_environment(self) -> Mapping[str, str]:
        return {"OP_TARGET": self.context.view.cluster.cluster_name}
