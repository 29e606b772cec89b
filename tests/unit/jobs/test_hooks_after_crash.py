"""Post hooks of a job that another process carries on: run when it ends well, and only then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from ganeti_kernel.errors import JobLost, OpExecError
from ganeti_kernel.jobs.job import Job, OpRecord
from ganeti_kernel.jobs.journal import Begun, Ended, Entry, HookFacts, Planned, Worked
from ganeti_kernel.jobs.opcodes import OpTestDelay
from ganeti_kernel.jobs.operation import (
    OPERATIONS,
    STEPS,
    HookFailure,
    JobContext,
    Operation,
    Step,
    StepPlan,
)
from ganeti_kernel.jobs.runner import JobRunner
from ganeti_kernel.objects import Cluster, ConfigView, Node
from ganeti_kernel.rpc.client import Result

NODE = Node(uuid="u1", name="n1", primary_ip="127.0.0.1")
GONE = Node(uuid="u2", name="n2", primary_ip="127.0.0.2")
CLUSTER = Cluster(uuid="c", cluster_name="clu", master_node="u1", master_ip="127.0.0.1")
VIEW = ConfigView(cluster=CLUSTER, nodes={"u1": NODE})
STEPS_OF = [StepPlan(name="t.first", pivot=True), StepPlan(name="t.last")]
FACTS = HookFacts({"STATE": "before"}, {"node": msgspec.to_builtins(GONE)})


class Hooked(Operation[OpTestDelay]):
    """Its check was in the process that died."""

    OPCODE = OpTestDelay
    HOOKS_PATH = "test-delay"
    KEPT = {"node": Node}

    node: Node

    def plan(self) -> Sequence[StepPlan]:
        return STEPS_OF

    def hooks_environment(self) -> Mapping[str, str]:
        return {"STATE": "after", "NODE": self.node.name}

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        return self.master, self.with_master([self.node])

    def after_hooks(self, failures: Sequence[HookFailure], result: Any) -> Any:
        super().after_hooks(failures, result)
        return "hooks have run"


class World:
    """Master daemon and nodes of a job process."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []
        self.calls: list[tuple[list[str], str, dict[str, str]]] = []
        self.dies_in_hooks = False

    def call(self, method: str, **args: Any) -> Any:
        if method == "status":
            self.said.append((args["status"], args.get("result")))
        if method == "journal":
            self.said += [(entry.__struct_config__.tag, None) for entry in args["entries"]]
            return False
        if method == "log":
            self.said.append(("log", args["message"]))
        return None

    def call_raw(self, method: str, **args: Any) -> bytes:
        raise AssertionError("the view is known")

    def call_many(
        self, nodes: Sequence[Node], name: str, /, *, deadline: float | None = None, **args: Any
    ) -> Mapping[str, Result]:
        assert name == "hooks_run"
        self.calls.append(([node.name for node in nodes], args["phase"], args["env"]))
        if self.dies_in_hooks:
            raise JobLost("killed")
        return {node.uuid: Result(ok=True, value=[]) for node in nodes}


class Noted(Step):
    NAME = "t.last"
    fails = False

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        if self.fails:
            raise OpExecError("it went wrong")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setitem(OPERATIONS, "OP_TEST_DELAY", Hooked)
    for plan in STEPS_OF:
        monkeypatch.setitem(STEPS, plan.name, Noted)
    return World()


def recover(world: World, *journal: Entry, facts: HookFacts | None = FACTS) -> None:
    op = OpRecord(input={"OP_ID": "OP_TEST_DELAY", "duration": 0.0}, status="running")
    entries = msgspec.to_builtins([Planned(0, STEPS_OF, facts), *journal])
    hello = {"job": msgspec.to_builtins(Job(id=1, ops=[op])), "secrets": [], "journal": entries}
    runner = JobRunner(world, world, hello, VIEW)  # type: ignore[arg-type] # a part of each
    runner._context._stale = False
    runner.run("its process died")


def test_carried_on_with_what_the_first_process_knew(world: World) -> None:
    recover(world, Begun(0, 0), Ended(0, 0))
    ((nodes, phase, env),) = world.calls
    assert (nodes, phase) == (["n1", "n2"], "post"), "also on a node that has left since"
    assert env["GANETI_STATE"] == "before"
    assert (env["GANETI_POST_STATE"], env["GANETI_POST_NODE"]) == ("after", "n2")
    kinds = [kind for kind, _ in world.said]
    assert kinds == ["log", "begin", "end", "worked", "success"]
    assert world.said[-1] == ("success", "hooks have run")


def test_died_in_the_hooks_themselves(world: World) -> None:
    """They run again, and the work, which they have seen, is not undone without a pivot either."""
    done: list[Entry] = [Begun(0, 0), Ended(0, 0), Begun(0, 1), Ended(0, 1), Worked(0)]
    world.dies_in_hooks = True
    with pytest.raises(JobLost):
        recover(world, *done)
    assert "success" not in dict(world.said)
    world.dies_in_hooks = False
    recover(world, *done)
    assert len(world.calls) == 2
    assert world.said[-1] == ("success", "hooks have run")


def test_not_run_when_it_does_not_end_well(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noted, "fails", True)
    recover(world, Begun(0, 0), Ended(0, 0))
    assert world.calls == []
    assert world.said[-1][0] == "error"


def test_begun_by_a_version_that_kept_nothing(world: World) -> None:
    recover(world, Begun(0, 0), Ended(0, 0), facts=None)
    assert world.calls == []
    assert any("post hooks are not run" in str(text) for _, text in world.said)
    assert world.said[-1][0] == "success"
