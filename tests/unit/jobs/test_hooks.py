"""Hooks of an operation: what they see, and what their failure does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ganeti_kernel.errors import HooksAbort, RemoteError
from ganeti_kernel.jobs.hooks import Hooks
from ganeti_kernel.jobs.opcodes import OpTestDelay
from ganeti_kernel.jobs.operation import Operation, StepPlan
from ganeti_kernel.objects import Cluster, ConfigView, Node
from ganeti_kernel.rpc.client import Result
from ganeti_kernel.rpc.results import HOOK_FAILED, HOOK_SUCCESS, HookResult

NODES = [Node(uuid=f"u{n}", name=f"n{n}", primary_ip=f"127.0.0.{n}") for n in (1, 2)]


class FakeContext:
    """The parts of a JobContext that hooks use; `answers` by node UUID."""

    def __init__(self) -> None:
        cluster = Cluster(uuid="c", cluster_name="clu", master_node="u1", master_ip="127.0.0.1")
        self.view = ConfigView(cluster=cluster, nodes={node.uuid: node for node in NODES})
        self.nodes = self
        self.answers: dict[str, Result] = {}
        self.calls: list[tuple[str, str, dict[str, str]]] = []
        self.warnings: list[str] = []

    def call_many(
        self, nodes: Sequence[Node], name: str, /, *, deadline: float | None = None, **args: Any
    ) -> Mapping[str, Result]:
        assert name == "hooks_run"
        self.calls.append((args["path"], args["phase"], args["env"]))
        empty = Result(ok=True, value=[])
        return {node.uuid: self.answers.get(node.uuid, empty) for node in nodes}

    def warn(self, message: str) -> None:
        self.warnings.append(message)


class Hooked(Operation[OpTestDelay]):
    OPCODE = OpTestDelay
    HOOKS_PATH = "test-delay"
    OBJECT_TYPE = "NODE"
    state = "before"

    def plan(self) -> Sequence[StepPlan]:
        return ()

    def hooks_environment(self) -> Mapping[str, str]:
        return {"STATE": self.state}

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        return NODES, NODES[:1]


def make() -> tuple[Hooked, FakeContext, Hooks]:
    context = FakeContext()
    operation = Hooked(OpTestDelay(duration=0), context)  # type: ignore[arg-type] # a part of one
    return operation, context, Hooks(operation, context)  # type: ignore[arg-type]


def test_environment_of_both_phases() -> None:
    operation, context, hooks = make()
    hooks.pre()
    operation.state = "after"
    hooks.post()
    (path, phase, env), (_path, post, post_env) = context.calls
    assert (path, phase, post) == ("test-delay", "pre", "post")
    assert env == {
        "GANETI_OP_CODE": "OP_TEST_DELAY",
        "GANETI_OBJECT_TYPE": "NODE",
        "GANETI_CLUSTER": "clu",
        "GANETI_MASTER": "n1",
        "GANETI_STATE": "before",
    }
    assert post_env["GANETI_STATE"] == "before"
    assert post_env["GANETI_POST_STATE"] == "after"


def test_pre_hook_refuses() -> None:
    _operation, context, hooks = make()
    results = [
        HookResult("test-delay-pre.d/10-ok", HOOK_SUCCESS, ""),
        HookResult("test-delay-pre.d/20-no", HOOK_FAILED, "not today\n"),
    ]
    context.answers["u2"] = Result(ok=True, value=results)
    with pytest.raises(HooksAbort) as caught:
        hooks.pre()
    assert caught.value.args == ([["n2", "test-delay-pre.d/20-no", "not today"]],)


def test_unreachable_nodes_and_post_failures_only_warn() -> None:
    operation, context, hooks = make()
    context.answers["u2"] = Result(ok=False, error=RemoteError("no route"))
    hooks.pre()
    context.answers["u1"] = Result(
        ok=True, value=[HookResult("test-delay-post.d/x", HOOK_FAILED, "late")]
    )
    assert operation.after_hooks(hooks.post(), "result") == "result"
    assert context.warnings == [
        "pre hooks were not run on node n2: no route",
        "post hook test-delay-post.d/x failed on node n1: late",
    ]


def test_without_a_path_nothing_runs() -> None:
    operation, context, hooks = make()
    type(operation).HOOKS_PATH = None  # type: ignore[assignment] # restored below
    try:
        hooks.pre()
        hooks.post()
    finally:
        type(operation).HOOKS_PATH = "test-delay"
    assert context.calls == []
