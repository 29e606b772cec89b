"""Operations of a test cluster that leave marks in files and can have processes killed.

Loaded by the warm parent in place of the real operations. The file `fault.json` in the root
directory, if any, says {"who": "job" | "master" | "parent", "at": N, "when": "before" | "between" |
"after"}: whom to kill at a job process's N-th request to the master daemon: before it is sent,
between sending it and reading the reply, or after the reply. "then" holds the fault for the next
process, and so on.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganeti_kernel.errors import OpExecError, OpPrereqError
from ganeti_kernel.jobs.channel import Channel
from ganeti_kernel.jobs.opcodes import OpTagsSet, OpTestDelay, OpTestDummy
from ganeti_kernel.jobs.operation import (
    JobContext,
    Lock,
    Operation,
    Step,
    StepPlan,
    operation,
    step,
)
from ganeti_kernel.objects import Instance, Node
from ganeti_kernel.paths import Paths

ROOT = Path(os.environ["GANETI_ROOTDIR"])
FAULT = ROOT / "fault.json"
EFFECTS = ROOT / "effects"
NAME = "made.example.com"


class NoNodes:
    """A cluster without node daemons."""

    def __init__(self, _paths: Paths) -> None:
        pass

    def call(self, node: Node, name: str, /, **_args: Any) -> Any:
        raise OpExecError(f"there is no node {node.name} to call {name}")

    def call_many(self, nodes: Sequence[Node], name: str, /, **_args: Any) -> dict[str, Any]:
        raise OpExecError(f"there are no nodes to call {name}")


# -- faults ----------------------------------------------------------------------------------------

_sent = 0
_exchange = Channel._exchange


def _faulty_exchange(self: Channel, frame: bytes) -> bytes:
    global _sent
    try:
        fault = json.loads(FAULT.read_text())
    except FileNotFoundError:
        return _exchange(self, frame)
    _sent += 1
    if _sent != fault["at"]:
        return _exchange(self, frame)
    if "then" in fault:
        FAULT.write_text(json.dumps(fault["then"]))
    else:
        FAULT.unlink()
    if fault["when"] == "before":
        _kill(fault["who"])
    if fault["when"] == "between":
        assert self._socket is not None
        self._socket.sendall(frame)
        time.sleep(fault.get("pause", 0))
        _kill(fault["who"])
        self._socket.close()
        raise ConnectionError("the test cut the line")
    answer = _exchange(self, frame)
    if fault["when"] == "after":
        _kill(fault["who"])
    return answer


Channel._exchange = _faulty_exchange  # type: ignore[method-assign]


def _kill(who: str) -> None:
    pid_file = Paths(ROOT).run_dir / "ganeti-masterd.pid"
    victims = {
        "job": lambda: [os.getpid()],
        "master": lambda: [int(pid_file.read_text())],
        "parent": lambda: [os.getppid()],
        "both": lambda: [int(pid_file.read_text()), os.getpid()],
    }
    for victim in victims[who]():
        os.kill(victim, signal.SIGKILL)


# -- operations ------------------------------------------------------------------------------------


@operation
class Make(Operation[OpTestDummy]):
    """OP_TEST_DUMMY: five steps; `result` is the number of the step that is a pivot, or null.

    `submit_jobs` "remove": take back what another one left.
    """

    OPCODE = OpTestDummy

    def locks(self) -> Sequence[Lock]:
        return [
            Lock("instance", NAME, exclusive=True),
            Lock("node", self.context.view.cluster.master_node),
        ]

    def check(self) -> None:
        if self.op.submit_jobs == "remove":
            return
        if self.context.view.find_instance(NAME) is not None:
            raise OpPrereqError(f"{NAME} exists already", "already_exists")

    def plan(self) -> Sequence[StepPlan]:
        if self.op.submit_jobs == "remove":
            return [StepPlan(name="remove")]
        mac = self.context.reservations.reserve("mac", "aa:00:00")
        names = ["mark", "mark", "configure", "mark", "break" if self.op.fail else "mark"]
        return [
            StepPlan(name=name, args={"number": i, "mac": mac}, pivot=i == self.op.result)
            for i, name in enumerate(names)
        ]

    def result(self, outcomes: Sequence[Any]) -> Any:
        return outcomes


@step
class Mark(Step):
    NAME = "mark"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        EFFECTS.mkdir(exist_ok=True)
        (EFFECTS / f"mark{args['number']}").touch()
        context.log(f"made mark {args['number']}")
        return args["number"]

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        (EFFECTS / f"mark{args['number']}").unlink(missing_ok=True)


@step
class Configure(Step):
    NAME = "configure"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        if context.view.find_instance(NAME) is not None:
            return "there"
        node = context.view.cluster.master_node
        instance = Instance(uuid=f"made-by-{context.job_id}", name=NAME, primary_node=node)
        context.update(lambda draft: draft.put(instance))
        return "made"

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        context.update(_remove)


@step
class Remove(Step):
    NAME = "remove"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        context.update(_remove)


def _remove(draft: Any) -> None:
    found = draft.view.find_instance(NAME)
    if found is not None:
        draft.delete(found)


@step
class Break(Step):
    NAME = "break"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        raise OpExecError("it was asked to break")


@operation
class Wait(Operation[OpTestDelay]):
    """OP_TEST_DELAY: hold a lock exclusively (`on_nodes`: its names) and wait until released.

    `duration` is what it waits at most, in `repeat` steps.
    """

    OPCODE = OpTestDelay

    def locks(self) -> Sequence[Lock]:
        return [Lock("instance", name, exclusive=True) for name in self.op.on_nodes]

    def plan(self) -> Sequence[StepPlan]:
        rounds = max(1, self.op.repeat)
        return [
            StepPlan(name="wait", args={"seconds": self.op.duration / rounds})
            for _ in range(rounds)
        ]


@step
class WaitStep(Step):
    NAME = "wait"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        deadline = time.monotonic() + args["seconds"]
        while time.monotonic() < deadline and not (ROOT / "go").exists():
            time.sleep(0.01)


@operation
class Count(Operation[OpTagsSet]):
    """OP_TAGS_SET: add tags to the cluster; jobs doing so at once conflict and must all succeed."""

    OPCODE = OpTagsSet

    def plan(self) -> Sequence[StepPlan]:
        return [StepPlan(name="tag", args={"tags": self.op.tags})]


@step
class Tag(Step):
    NAME = "tag"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        context.update(
            lambda draft: draft.replace_cluster(
                tags=sorted({*draft.view.cluster.tags, *args["tags"]})
            )
        )
