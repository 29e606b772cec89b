"""Moving instances away from nodes and groups: the operations that only plan and submit jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ganeti_kernel.errors import ECODE_INVAL, ECODE_STATE
from ganeti_kernel.jobs.opcodes import OpGroupEvacuate, OpNodeEvacuate, OpNodeMigrate
from ganeti_kernel.jobs.operation import ALL, Lock, Operation, StepPlan, operation
from ganeti_kernel.objects import Instance, Node, NodeGroup
from ganeti_kernel.operations import evacuation, finding, placement
from ganeti_kernel.operations.submitting import SubmitJobs


class _Moves(Operation[Any]):
    """Submits jobs; the result is {"jobs": [[went well, id or error], …]}."""

    RETURNS_OUTCOME = True

    jobs: list[evacuation.Job]

    def plan(self) -> Sequence[StepPlan]:
        return [StepPlan(name=SubmitJobs.NAME, args={"jobs": self.jobs})]


class _FromNode(_Moves):
    OBJECT_TYPE = "NODE"
    KEPT = {"node": Node}

    node: Node

    def primaries(self, node: Node) -> list[Instance]:
        return list(self.context.view.primary_instances.get(node.uuid, ()))

    def destination(self) -> Node | None:
        """The node that is named to take them; refuses the one they are on."""
        name = getattr(self.op, "target_node", None) or getattr(self.op, "remote_node", None)
        if name is None:
            return None
        if self.op.iallocator is not None:
            finding.refuse("a node and an allocator cannot both be given; leave -n or -I out")
        node = finding.usable_node(self.context.view, name)
        if node.uuid == self.node.uuid:
            finding.refuse(f"Instances are to leave node {node.name}; name another one")
        return node


@operation
class NodeMigrate(_FromNode):
    """Migrate all primary instances away from a node, each in a job of its own."""

    OPCODE = OpNodeMigrate
    HOOKS_PATH = "node-migrate"

    def locks(self) -> Sequence[Lock]:
        return [Lock("node", finding.node(self.context.view, self.op.node_name).uuid)]

    def check(self) -> None:
        op, view = self.op, self.context.view
        self.node = finding.node(view, op.node_name)
        if self.node.offline:
            finding.refuse(
                f"Can't use offline node {self.node.name}: nothing migrates away from it; use "
                "gnt-node failover",
                ECODE_STATE,
            )
        target = self.destination()
        self.jobs = evacuation.moves_to(
            self.primaries(self.node),
            "OP_INSTANCE_MIGRATE",
            mode=op.mode,
            live=op.live,
            iallocator=op.iallocator,
            target_node=target.name if target else None,
            allow_runtime_changes=op.allow_runtime_changes,
            ignore_ipolicy=op.ignore_ipolicy,
        )
        evacuation.check_moves(view, self.jobs)
        if self.jobs and target is None:
            placement.allocator_for(view, op.iallocator, "-n NODE or ")

    def hooks_environment(self) -> Mapping[str, str]:
        return {
            "NODE_NAME": self.node.name,
            "ALLOW_RUNTIME_CHANGES": str(self.op.allow_runtime_changes),
        }


@operation
class NodeEvacuate(_FromNode):
    """Move instances away from a node: where an allocator says, or (secondaries) to a node."""

    OPCODE = OpNodeEvacuate

    def _affected(self, node: Node) -> list[Instance]:
        mode, found = self.op.mode, self.context.view.instances.values()
        primaries = self.primaries(node) if mode != "secondary-only" else []
        if mode == "primary-only":
            return primaries
        view = self.context.view
        return [*primaries, *(inst for inst in found if node.uuid in view.secondary_nodes(inst))]

    def locks(self) -> Sequence[Lock]:
        node = finding.node(self.context.view, self.op.node_name)
        return [
            *(Lock("instance", name) for name in evacuation.names(self._affected(node))),
            Lock("nodegroup", node.group),
            Lock("node", ALL),
        ]

    def check(self) -> None:
        op, view = self.op, self.context.view
        self.node = finding.node(view, op.node_name)
        target = self.destination()
        if target is not None and op.mode != "secondary-only":
            finding.refuse(
                "A node can be named for secondary instances only; an allocator (-I) places "
                "primary ones",
                ECODE_INVAL,
            )
        affected = self._affected(self.node)
        if not affected:
            self.jobs = []
            return
        if target is not None:
            jobs = evacuation.moves_to(
                affected,
                "OP_INSTANCE_REPLACE_DISKS",
                mode="replace_new_secondary",
                remote_node=target.name,
            )
        else:
            jobs = self._ask(affected)
        self.jobs = evacuation.adjust(jobs, early_release=op.early_release)
        evacuation.check_moves(view, self.jobs)

    def _ask(self, affected: Sequence[Instance]) -> list[evacuation.Job]:
        op = self.op
        request: dict[str, Any] = {
            "type": "node-evacuate",
            "instances": evacuation.names(affected),
            "evac_mode": op.mode,
        }
        if op.ignore_soft_errors:
            request["ignore_soft_errors"] = True
        allocator = placement.allocator_for(self.context.view, op.iallocator)
        return evacuation.ask(self.context, allocator, request).jobs


@operation
class GroupEvacuate(_Moves):
    """Move all instances of a node group to other groups, where an allocator says."""

    OPCODE = OpGroupEvacuate
    HOOKS_PATH = "group-evacuate"
    KEPT = {"group": NodeGroup, "targets": list[NodeGroup]}
    OBJECT_TYPE = "GROUP"

    group: NodeGroup

    def _targets(self, group: NodeGroup) -> list[NodeGroup]:
        view = self.context.view
        if self.op.target_groups:
            return [finding.group(view, name) for name in self.op.target_groups]
        return [other for other in view.nodegroups.values() if other.uuid != group.uuid]

    def _affected(self, group: NodeGroup) -> list[Instance]:
        view = self.context.view
        return [
            inst
            for node in view.group_members.get(group.uuid, ())
            for inst in view.primary_instances.get(node.uuid, ())
        ]

    def locks(self) -> Sequence[Lock]:
        group = finding.group(self.context.view, self.op.group_name)
        groups = {group.uuid, *(item.uuid for item in self._targets(group))}
        return [
            *(Lock("instance", name) for name in evacuation.names(self._affected(group))),
            *(Lock("nodegroup", uuid) for uuid in sorted(groups)),
            Lock("node", ALL),
        ]

    def check(self) -> None:
        op, view = self.op, self.context.view
        self.group = finding.group(view, op.group_name)
        self.targets = self._targets(self.group)
        if self.group.uuid in {item.uuid for item in self.targets}:
            finding.refuse(
                f"Can't evacuate group {self.group.name} to itself; name other groups with --to",
                ECODE_INVAL,
            )
        if not self.targets:
            finding.refuse(
                "There are no possible target groups: this is the only one; add another with "
                "gnt-group add",
                ECODE_INVAL,
            )
        affected = self._affected(self.group)
        if not affected:
            self.jobs = []
            return
        request = {
            "type": "change-group",
            "instances": evacuation.names(affected),
            "target_groups": [item.uuid for item in self.targets],
        }
        allocator = placement.allocator_for(view, op.iallocator)
        self.jobs = evacuation.adjust(
            evacuation.ask(self.context, allocator, request).jobs,
            early_release=op.early_release,
            force_failover=op.force_failover,
            sequential=op.sequential,
        )
        evacuation.check_moves(view, self.jobs)

    def hooks_environment(self) -> Mapping[str, str]:
        names = " ".join(item.name for item in self.targets)
        return {"GROUP_NAME": self.group.name, "TARGET_GROUPS": names}

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        members = self.context.view.group_members.get(self.group.uuid, ())
        nodes = self.with_master(members)
        return nodes, nodes
