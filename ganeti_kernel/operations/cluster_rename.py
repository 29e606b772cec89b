"""Renaming the cluster: its name, and the address the name stands for."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ganeti_kernel.errors import ECODE_INVAL, ECODE_NOENT, ECODE_NOTUNIQUE, ResolverError
from ganeti_kernel.jobs.opcodes import OpClusterRename
from ganeti_kernel.jobs.operation import Lock, Operation, StepPlan, operation
from ganeti_kernel.objects import Node
from ganeti_kernel.operations import finding
from ganeti_kernel.operations.cluster_files import Redistribute
from ganeti_kernel.operations.cluster_modify import PARAMETERS, set_cluster
from ganeti_kernel.operations.disks import node_argument
from ganeti_kernel.operations.master_ip import MASTER_ADDRESS, MoveMasterIp, settings
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.reach import answers
from ganeti_kernel.rpc.resolve import is_loopback, resolve

FAMILIES: Final = {2: socket.AF_INET, 10: socket.AF_INET6}
PING_SECONDS: Final = 2.0


@operation
class ClusterRename(Operation[OpClusterRename]):
    """Give the cluster another name, another address, or both; the result is the new name."""

    OPCODE = OpClusterRename
    HOOKS_PATH = "cluster-rename"

    def locks(self) -> Sequence[Lock]:
        return [PARAMETERS, MASTER_ADDRESS]

    def check(self) -> None:
        view = self.context.view
        family = FAMILIES.get(view.cluster.primary_ip_family, socket.AF_INET)
        try:
            self.name, self.address = resolve(Paths.from_environment(), self.op.name, family)
        except ResolverError as error:
            finding.refuse(f"the new name {self.op.name} does not resolve: {error}", ECODE_NOENT)
        old = view.cluster
        if (self.name, self.address) == (old.cluster_name, old.master_ip):
            finding.refuse(
                f"Neither the name nor the address of the cluster has changed ({self.name}, "
                f"{self.address})",
                ECODE_INVAL,
            )
        if self.address == old.master_ip:
            return
        for node in view.nodes.values():
            if self.address in (node.primary_ip, node.secondary_ip):
                finding.refuse(
                    f"{self.name} resolves to {self.address}, which is node {node.name}'s",
                    ECODE_NOTUNIQUE,
                )
        if not is_loopback(self.address) and answers(self.address, PING_SECONDS):
            finding.refuse(
                f"a machine answers under the new address {self.address} already",
                ECODE_NOTUNIQUE,
            )

    def plan(self) -> Sequence[StepPlan]:
        old = self.context.view.cluster
        steps = []
        fields = {"cluster_name": self.name, "master_ip": self.address}
        if self.address != old.master_ip and self.master and old.master_netdev:
            before = settings(old)
            args = {
                "node": node_argument(self.master[0]),
                "old": before,
                "new": before | {"ip": self.address},
            }
            steps.append(StepPlan(name=MoveMasterIp.NAME, args=args))
        steps.append(set_cluster(old, fields))
        steps.append(StepPlan(name=Redistribute.NAME))
        return steps

    def result(self, outcomes: Sequence[Any]) -> Any:
        return self.context.view.cluster.cluster_name

    def hooks_environment(self) -> Mapping[str, str]:
        name = self.context.view.cluster.cluster_name
        return {"OP_TARGET": name, "NEW_NAME": self.op.name}

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        return self.master, list(self.context.view.nodes.values())
