"""`gnt-cluster verify`: the configuration by itself, then each node group from the inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ganeti_kernel.constants import VERIFY_CODES
from ganeti_kernel.errors import ECODE_INVAL
from ganeti_kernel.jobs.opcodes import (
    OpClusterVerify,
    OpClusterVerifyConfig,
    OpClusterVerifyGroup,
)
from ganeti_kernel.jobs.operation import HookFailure, Lock, Operation, Pick, StepPlan, operation
from ganeti_kernel.objects import Instance, Node, NodeGroup
from ganeti_kernel.operations import finding
from ganeti_kernel.operations.submitting import SubmitJobs
from ganeti_kernel.operations.verify.report import Finding, Reporter
from ganeti_kernel.operations.verify.steps import VerifyConfig, VerifyGroup


def _check_ignored(codes: Sequence[str]) -> None:
    unknown = [code for code in codes if code not in VERIFY_CODES]
    if unknown:
        known = ", ".join(sorted(VERIFY_CODES))
        finding.refuse(f"unknown error code '{unknown[0]}' (known: {known})", ECODE_INVAL)


class _Verification(Operation[Any]):
    """What the opcodes share: fields that say how findings are told."""

    RETURNS_OUTCOME = True

    def check(self) -> None:
        _check_ignored(self.op.ignore_errors)

    def common(self) -> dict[str, Any]:
        return {
            "debug_simulate_errors": self.op.debug_simulate_errors,
            "error_codes": self.op.error_codes,
            "ignore_errors": list(self.op.ignore_errors),
            "verbose": self.op.verbose,
        }


@operation
class ClusterVerify(_Verification):
    """Submit the jobs that verify the configuration and each node group."""

    OPCODE = OpClusterVerify

    def check(self) -> None:
        super().check()
        view = self.context.view
        if self.op.group_name is not None:
            self.groups = [finding.group(view, self.op.group_name)]
        else:
            self.groups = sorted(view.nodegroups.values(), key=lambda group: group.name)

    def plan(self) -> Sequence[StepPlan]:
        common = {**self.common(), "priority": self.op.priority}
        jobs: list[list[dict[str, Any]]] = []
        if self.op.group_name is None:
            jobs.append([{"OP_ID": "OP_CLUSTER_VERIFY_CONFIG", **common}])
        skip = {"skip_checks": list(self.op.skip_checks), "verify_clutter": self.op.verify_clutter}
        jobs += [
            [{"OP_ID": "OP_CLUSTER_VERIFY_GROUP", "group_name": group.name, **common, **skip}]
            for group in self.groups
        ]
        return [StepPlan(name=SubmitJobs.NAME, args={"jobs": jobs})]


@operation
class ClusterVerifyConfig(_Verification):
    """Verify the configuration by itself."""

    OPCODE = OpClusterVerifyConfig

    def plan(self) -> Sequence[StepPlan]:
        return [StepPlan(name=VerifyConfig.NAME, args=self.common())]


@operation
class ClusterVerifyGroup(_Verification):
    """Verify the nodes and instances of one group, then run the cluster-verify hooks on them."""

    OPCODE = OpClusterVerifyGroup
    HOOKS_PATH = "cluster-verify"
    KEPT = {"group": NodeGroup}

    def locks(self) -> Sequence[Lock]:
        group, nodes, _instances = self._objects()
        return [Lock("nodegroup", group.uuid), *(Lock("node", node.uuid) for node in nodes)]

    def pick(self) -> Pick:
        """What is free; a job that is at work on the rest neither waits for us nor we for it."""
        _group, nodes, instances = self._objects()
        bundles = [[Lock("instance", inst.name)] for inst in instances]
        bundles += [[Lock("node-res", node.uuid)] for node in nodes]
        return Pick(bundles, least=0)

    def _objects(self) -> tuple[NodeGroup, list[Node], list[Instance]]:
        view = self.context.view
        group = finding.group(view, self.op.group_name)
        nodes = view.group_members.get(group.uuid, [])
        found = [inst for node in nodes for inst in view.primary_instances.get(node.uuid, ())]
        return group, nodes, [inst for inst in found if inst.name]

    def check(self) -> None:
        super().check()
        self.group = finding.group(self.context.view, self.op.group_name)

    def plan(self) -> Sequence[StepPlan]:
        _group, nodes, instances = self._objects()
        held = {(lock.level, lock.name) for lock in self.context.held}
        args = {
            **self.common(),
            "busy_instances": sorted(
                inst.name for inst in instances if ("instance", inst.name) not in held
            ),
            "busy_nodes": sorted(
                node.name for node in nodes if ("node-res", node.uuid) not in held
            ),
            "group": self.group.uuid,
            "skip_checks": list(self.op.skip_checks),
        }
        return [StepPlan(name=VerifyGroup.NAME, args=args)]

    def hooks_environment(self) -> Mapping[str, str]:
        view = self.context.view
        tags = {"CLUSTER_TAGS": " ".join(view.cluster.tags)}
        nodes = view.group_members.get(self.group.uuid, ())
        return tags | {f"NODE_TAGS_{node.name}": " ".join(node.tags) for node in nodes}

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        nodes = self.context.view.group_members.get(self.group.uuid, [])
        return (), [node for node in nodes if not node.offline]

    def after_hooks(self, failures: Sequence[HookFailure], result: Any) -> Any:
        """A hook that failed is an error of the verification; its output is shown."""
        out = Reporter(self.context, self.common())
        out.section("Hooks Results")
        for node, script, output in failures:
            if not script:
                text = f"Communication failure in hooks execution: {output}"
                out.tell([Finding("ENODEHOOKS", node, text)])
                continue
            out.tell([Finding("ENODEHOOKS", node, f"Script {script} failed, output:")])
            out.output(output)
        return bool(result) and not out.bad
