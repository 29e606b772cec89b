"""Restricted commands: run on nodes what their administrator allows there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ganeti_kernel.jobs.opcodes import OpRestrictedCommand
from ganeti_kernel.jobs.operation import (
    JobContext,
    Lock,
    Operation,
    Step,
    StepPlan,
    operation,
    step,
)
from ganeti_kernel.objects import Node
from ganeti_kernel.operations import finding


@step
class RunRestricted(Step):
    """Arguments: nodes, command. Returns [went well, output or error] for each node."""

    NAME = "node.restricted-command"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        view = context.view
        nodes = [view.nodes[uuid] for uuid in args["nodes"] if uuid in view.nodes]
        online = [node for node in nodes if not node.offline]
        answers = context.nodes.call_many(online, "restricted_command", command=args["command"])
        out = []
        for node in nodes:
            answer = answers.get(node.uuid)
            if answer is None:
                out.append([False, f"Command was not run: node {node.name} is marked offline"])
            elif answer.ok:
                out.append([True, answer.value])
            else:
                out.append(
                    [
                        False,
                        f"Command '{args['command']}' on node '{node.name}' failed: {answer.error}",
                    ]
                )
        return out


@operation
class RestrictedCommand(Operation[OpRestrictedCommand]):
    """Run one restricted command on several nodes."""

    OPCODE = OpRestrictedCommand
    RETURNS_OUTCOME = True

    def _nodes(self) -> list[Node]:
        return [finding.node(self.context.view, name) for name in self.op.nodes]

    def locks(self) -> Sequence[Lock]:
        if not self.op.use_locking:
            return ()
        return [Lock("node", uuid) for uuid in {node.uuid for node in self._nodes()}]

    def check(self) -> None:
        self.uuids = list(dict.fromkeys(node.uuid for node in self._nodes()))

    def plan(self) -> Sequence[StepPlan]:
        args = {"nodes": self.uuids, "command": self.op.command}
        return [StepPlan(name=RunRestricted.NAME, args=args)]
