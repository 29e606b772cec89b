"""Operations that exercise the job queue; harmless on a real cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ganeti_kernel.errors import ECODE_INVAL, ECODE_NOENT, OpExecError, OpPrereqError
from ganeti_kernel.jobs.opcodes import OpTestDelay, OpTestDummy
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

GRACE = 10.0
"""Seconds a node has beyond the delay itself."""


@operation
class TestDelay(Operation[OpTestDelay]):
    """OP_TEST_DELAY: wait on the master, on nodes, or both; `repeat` times more."""

    OPCODE = OpTestDelay

    def locks(self) -> Sequence[Lock]:
        if self.op.no_locks:
            return ()
        return [Lock("node", node.uuid, exclusive=True) for node in self._nodes()]

    def check(self) -> None:
        if self.op.duration < 0:
            raise OpPrereqError(f"Duration {self.op.duration:g} is negative", ECODE_INVAL)
        self._nodes()

    def plan(self) -> Sequence[StepPlan]:
        rounds = max(1, self.op.repeat)
        nodes = [node.uuid for node in self._nodes()]
        args = {"duration": self.op.duration, "on_master": self.op.on_master, "nodes": nodes}
        if rounds == 1:
            return [StepPlan(name="delay", args=args)]
        return [
            StepPlan(name="delay", args={**args, "note": f"Test delay iteration {i + 1}/{rounds}"})
            for i in range(rounds)
        ]

    def _nodes(self) -> list[Node]:
        if not self.op.on_nodes:
            return []  # without a look at the configuration, which takes time to fetch
        found = []
        for name in self.op.on_nodes:
            node = self.context.view.find_node(name)
            if node is None:
                raise OpPrereqError(f"Node {name} is not known", ECODE_NOENT)
            found.append(node)
        return found


@step
class Delay(Step):
    """Wait; there is nothing to undo."""

    NAME = "delay"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> None:
        duration = float(args["duration"])
        if args.get("note"):
            context.log(args["note"])
        if args["on_master"]:
            time.sleep(duration)
        if args["nodes"]:
            nodes = [context.view.nodes[uuid] for uuid in args["nodes"]]
            results = context.nodes.call_many(
                nodes, "test_delay", deadline=duration + GRACE, duration=duration
            )
            for node in nodes:
                if not results[node.uuid].ok:
                    raise OpExecError(f"node {node.name}: {results[node.uuid].error}")


@operation
class TestDummy(Operation[OpTestDummy]):
    """OP_TEST_DUMMY: log `messages`, submit `submit_jobs`, fail if `fail`, else give `result`."""

    OPCODE = OpTestDummy

    def plan(self) -> Sequence[StepPlan]:
        args = {
            "messages": self.op.messages or [],
            "jobs": self.op.submit_jobs or [],
            "fail": bool(self.op.fail),
        }
        return [StepPlan(name="dummy", args=args)]

    def result(self, outcomes: Sequence[Any]) -> Any:
        if self.op.submit_jobs:
            return {"jobs": outcomes[0], "other": self.op.result}
        return self.op.result


@step
class Dummy(Step):
    NAME = "dummy"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        for message in args["messages"]:
            context.log(str(message))
        submitted = context.submit(args["jobs"]) if args["jobs"] else []
        if args["fail"]:
            raise OpExecError("Dummy opcode was asked to fail")
        return submitted
