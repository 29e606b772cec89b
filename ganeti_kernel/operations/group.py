"""Node groups: adding, removing, renaming, and which nodes are in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ganeti_kernel.config.changes import Draft, new_uuid
from ganeti_kernel.errors import ECODE_EXISTS, ECODE_STATE
from ganeti_kernel.jobs.opcodes import (
    OpGroupAdd,
    OpGroupAssignNodes,
    OpGroupRemove,
    OpGroupRename,
    OpGroupSetParams,
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
from ganeti_kernel.objects import ConfigView, Instance, Node, NodeGroup
from ganeti_kernel.operations import communication, finding
from ganeti_kernel.operations.config_objects import add_object, drop_object
from ganeti_kernel.operations.inherited import (
    merge_disk_state,
    merge_diskparams,
    merge_hv_state,
    merge_ipolicy,
    merge_ndparams,
)
from ganeti_kernel.operations.ipolicy import policy_of, spec_of, violations
from ganeti_kernel.operations.no_return import NO_RETURN
from ganeti_kernel.operations.submitting import SubmitJobs, submitted


def _name_is_free(view: ConfigView, name: str) -> None:
    known = view.find_group(name)
    if known is not None:
        finding.refuse(
            f"Desired group name '{name}' already exists as a node group (UUID: {known.uuid})",
            ECODE_EXISTS,
        )


def asked_params(op: OpGroupAdd | OpGroupSetParams, group: NodeGroup) -> dict[str, Any]:
    """The fields with a group's parameters that an opcode changes, checked and merged."""
    fields: dict[str, Any] = {}
    if op.ndparams:
        fields["ndparams"] = merge_ndparams(group.ndparams, op.ndparams)
    if op.diskparams:
        fields["diskparams"] = merge_diskparams(group.diskparams, op.diskparams)
    if op.ipolicy:
        fields["ipolicy"] = merge_ipolicy(group.ipolicy, op.ipolicy, of_group=True)
    if op.hv_state:
        fields["hv_state_static"] = merge_hv_state(group.hv_state_static, op.hv_state)
    if op.disk_state:
        fields["disk_state_static"] = merge_disk_state(group.disk_state_static, op.disk_state)
    return fields


class _GroupOperation(Operation[Any]):
    OBJECT_TYPE = "GROUP"
    KEPT = {"group": NodeGroup}

    group: NodeGroup

    def locks(self) -> Sequence[Lock]:
        group = finding.group(self.context.view, self.op.group_name)
        return [Lock("nodegroup", group.uuid, exclusive=True)]

    def check(self) -> None:
        self.group = finding.group(self.context.view, self.op.group_name)

    def hooks_environment(self) -> Mapping[str, str]:
        return {"GROUP_NAME": self.group.name}


@operation
class GroupAdd(_GroupOperation):
    """Add a node group; a network for instance communication is connected to it by a job.

    Returns None, or {"jobs": [[went well, id or error]]}.
    """

    OPCODE = OpGroupAdd
    HOOKS_PATH = "group-add"

    def locks(self) -> Sequence[Lock]:
        # Groups are added one at a time, so that two never get one name.
        return [Lock("nodegroup", "[new]", exclusive=True)]

    def check(self) -> None:
        op: OpGroupAdd = self.op
        _name_is_free(self.context.view, op.group_name)
        empty = NodeGroup(
            uuid=new_uuid(), name=op.group_name, alloc_policy=op.alloc_policy or "preferred"
        )
        self.group = msgspec.structs.replace(empty, **asked_params(op, empty))

    def plan(self) -> Sequence[StepPlan]:
        steps = [add_object(self.group)]
        view = self.context.view
        network = view.cluster.instance_communication_network
        if network and view.find_network(network) is not None:
            jobs = [communication.connecting(network, [self.group])]
            steps.append(StepPlan(name=SubmitJobs.NAME, args={"jobs": jobs}))
        return steps

    def result(self, outcomes: Sequence[Any]) -> Any:
        return submitted(outcomes)


@operation
class GroupRemove(_GroupOperation):
    """Remove a node group that has no nodes and is not the last one."""

    OPCODE = OpGroupRemove
    HOOKS_PATH = "group-remove"

    def check(self) -> None:
        super().check()
        view = self.context.view
        members = sorted(node.uuid for node in view.group_members.get(self.group.uuid, ()))
        if members:
            finding.refuse(
                f"Group '{self.group.name}' not empty, has the following nodes: "
                f"{', '.join(members)}",
                ECODE_STATE,
            )
        if len(view.nodegroups) == 1:
            finding.refuse(f"Group '{self.group.name}' is the only group, cannot be removed")

    def plan(self) -> Sequence[StepPlan]:
        return [NO_RETURN, drop_object(self.group)]


@step
class SetGroup(Step):
    """Change fields of a group. Arguments: uuid, fields, before (the same fields' old values)."""

    NAME = "config.group-fields"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        _set_fields(context, args["uuid"], args["fields"])

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        _set_fields(context, args["uuid"], args["before"])


def _set_fields(context: JobContext, uuid: str, fields: Mapping[str, Any]) -> None:
    def change(draft: Draft) -> None:
        group = draft.view.nodegroups.get(uuid)
        if group is not None:
            draft.replace(group, **fields)

    context.update(change)


def set_fields(group: NodeGroup, fields: Mapping[str, Any]) -> StepPlan:
    """A step that changes a group's fields; undone, they have their values of now."""
    before = {name: getattr(group, name) for name in fields}
    args = {"uuid": group.uuid, "fields": dict(fields), "before": before}
    return StepPlan(name=SetGroup.NAME, args=args)


def broken(view: ConfigView, inst: Instance, policy: Mapping[str, Any]) -> list[str]:
    """How an instance breaks a policy; empty when it does not."""
    be, sizes = view.fill_be(inst), [disk.size for disk in view.instance_disks(inst)]
    spec = spec_of(be["maxmem"], be["vcpus"], sizes, len(inst.nics), be["spindle_use"])
    return violations(policy, view.disk_template(inst), spec, no_disks=not sizes)


@operation
class GroupSetParams(_GroupOperation):
    """Change a group's allocation policy and parameters; the result lists the changes."""

    OPCODE = OpGroupSetParams
    HOOKS_PATH = "group-modify"

    def check(self) -> None:
        super().check()
        op: OpGroupSetParams = self.op
        policy = {} if op.alloc_policy is None else {"alloc_policy": op.alloc_policy}
        self.fields: dict[str, Any] = policy | asked_params(op, self.group)
        if not self.fields:
            finding.refuse("Please pass at least one modification")
        if op.ipolicy:
            self._warn_of_violations()

    def _warn_of_violations(self) -> None:
        """Tell which instances the new policy would not allow, where the old one did."""
        view = self.context.view
        after = msgspec.structs.replace(self.group, ipolicy=self.fields["ipolicy"])
        old, new = (policy_of(view, group) for group in (self.group, after))
        names = sorted(
            inst.name
            for node in view.group_members.get(self.group.uuid, ())
            for inst in view.primary_instances.get(node.uuid, ())
            if broken(view, inst, new) and not broken(view, inst, old)
        )
        if names:
            self.context.warn(
                f"After the ipolicy change the following instances violate it: {', '.join(names)}"
            )

    def plan(self) -> Sequence[StepPlan]:
        return [set_fields(self.group, self.fields)]

    def result(self, outcomes: Sequence[Any]) -> Any:
        return [
            [name.removesuffix("_static"), value if isinstance(value, str) else str(value)]
            for name, value in self.fields.items()
        ]

    def hooks_environment(self) -> Mapping[str, str]:
        policy = self.op.alloc_policy or ""
        return {"GROUP_NAME": self.group.name, "NEW_ALLOC_POLICY": policy}


@operation
class GroupRename(_GroupOperation):
    """Rename a node group; the result is its new name."""

    OPCODE = OpGroupRename
    HOOKS_PATH = "group-rename"

    def check(self) -> None:
        super().check()
        _name_is_free(self.context.view, self.op.new_name)

    def plan(self) -> Sequence[StepPlan]:
        return [set_fields(self.group, {"name": self.op.new_name})]

    def result(self, outcomes: Sequence[Any]) -> Any:
        return self.op.new_name

    def hooks_environment(self) -> Mapping[str, str]:
        return {"OLD_NAME": self.group.name, "NEW_NAME": self.op.new_name}

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        members = self.context.view.group_members.get(self.group.uuid, ())
        nodes = self.with_master(members)
        return nodes, nodes


@step
class MoveNodes(Step):
    """Put nodes into another group. Arguments: group, before (node UUID -> group UUID)."""

    NAME = "config.assign-nodes"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        _move(context, dict.fromkeys(args["before"], args["group"]))

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        _move(context, args["before"])


def _move(context: JobContext, groups: Mapping[str, str]) -> None:
    def change(draft: Draft) -> None:
        for uuid, group in groups.items():
            node = draft.view.nodes.get(uuid)
            if node is not None and node.group != group:
                draft.replace(node, group=group)

    context.update(change)


def split_instances(view: ConfigView, moved: Mapping[str, str]) -> set[str]:
    """Names of instances whose nodes are in several groups once `moved` (node -> group) is so."""
    groups = {node.uuid: moved.get(node.uuid, node.group) for node in view.nodes.values()}
    return {
        inst.name
        for inst in view.instances.values()
        if len({groups.get(uuid) for uuid in view.instance_nodes(inst)}) > 1
    }


@operation
class GroupAssignNodes(_GroupOperation):
    """Move nodes to a group; instances split by that need `force`."""

    OPCODE = OpGroupAssignNodes

    def locks(self) -> Sequence[Lock]:
        view = self.context.view
        nodes = [finding.node(view, name) for name in self.op.nodes]
        groups = {finding.group(view, self.op.group_name).uuid, *(node.group for node in nodes)}
        return [
            *(Lock("nodegroup", uuid, exclusive=True) for uuid in sorted(groups)),
            *(Lock("node", uuid, exclusive=True) for uuid in sorted({n.uuid for n in nodes})),
        ]

    def check(self) -> None:
        super().check()
        view = self.context.view
        nodes = [finding.node(view, name) for name in self.op.nodes]
        self.before = {node.uuid: node.group for node in nodes if node.group != self.group.uuid}
        moved = dict.fromkeys(self.before, self.group.uuid)
        split = sorted(split_instances(view, moved) - split_instances(view, {}))
        if split and not self.op.force:
            finding.refuse(
                f"the following instances get split by this change and --force was not given: "
                f"{', '.join(split)}",
                ECODE_STATE,
            )
        if split:
            self.context.warn(f"the following instances get split: {', '.join(split)}")

    def plan(self) -> Sequence[StepPlan]:
        args = {"group": self.group.uuid, "before": self.before}
        return [StepPlan(name=MoveNodes.NAME, args=args)] if self.before else []
