"""Hooks of an operation: the environment they see, and what their failure means.

Facts of upstream 3.0: pre hooks can refuse the operation, unreachable nodes do not; failures of
post hooks are only reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ganeti_kernel.errors import HooksAbort
from ganeti_kernel.jobs.journal import HookFacts
from ganeti_kernel.jobs.operation import HookFailure, JobContext, Operation, tell_failures
from ganeti_kernel.objects import Node
from ganeti_kernel.rpc.results import HOOK_FAILED


def hooks_environment(
    operation: Operation[Any], context: JobContext, phase: str, before: Mapping[str, str]
) -> dict[str, str]:
    """The variables of one phase, to which a node adds its own (version, phase, path, data
    directory); `before`: the operation's own ones of the pre phase.
    """
    cluster, master = context.view.cluster, context.view.master
    env = {
        "GANETI_OP_CODE": str(type(operation.op).__struct_config__.tag),
        "GANETI_OBJECT_TYPE": operation.OBJECT_TYPE,
        "GANETI_CLUSTER": cluster.cluster_name,
        "GANETI_MASTER": master.name if master is not None else "",
    }
    own = operation.hooks_environment()
    env |= {f"GANETI_{name}": value for name, value in (own if phase == "pre" else before).items()}
    if phase == "post":
        env |= {f"GANETI_POST_{name}": value for name, value in own.items()}
    return env


def run_hooks(
    context: JobContext, nodes: Sequence[Node], path: str, phase: str, env: Mapping[str, str]
) -> list[HookFailure]:
    """Run one phase's hooks on nodes; returns what failed, nodes that did not answer included."""
    results = context.nodes.call_many(nodes, "hooks_run", path=path, phase=phase, env=env)
    failed: list[HookFailure] = []
    for node in nodes:
        answer = results.get(node.uuid)
        if answer is None or not answer.ok:
            reason = answer.error if answer is not None else "no answer"
            failed.append(HookFailure(node.name, "", str(reason)))
            continue
        failed += [
            HookFailure(node.name, result.script, result.output.strip())
            for result in answer.value
            if result.code == HOOK_FAILED
        ]
    return failed


class Hooks:
    """Runs the hooks of one execution, of which the post phase may fall to another process."""

    def __init__(self, operation: Operation[Any], context: JobContext) -> None:
        self._operation = operation
        self._context = context
        self._before: dict[str, str] = {}

    def pre(self) -> None:
        """Run pre hooks; raises HooksAbort with [node, script, output] of each that failed."""
        if self._operation.HOOKS_PATH is None:
            return
        self._before = dict(self._operation.hooks_environment())
        failed = self._run("pre", 0)
        tell_failures(self._context, "pre", [item for item in failed if not item.script])
        refused = [list(item) for item in failed if item.script]
        if refused:
            raise HooksAbort(refused)

    def facts(self) -> HookFacts | None:
        """What the post phase needs of now; None when there are no hooks. After `pre`."""
        if self._operation.HOOKS_PATH is None:
            return None
        kept = {name: getattr(self._operation, name) for name in self._operation.KEPT}
        return HookFacts(self._before, msgspec.to_builtins(kept))

    def restore(self, facts: HookFacts) -> None:
        """Take up what the process that ran the pre hooks knew."""
        self._before = facts.before
        for name, kind in self._operation.KEPT.items():
            setattr(self._operation, name, msgspec.convert(facts.kept[name], kind))

    def post(self) -> list[HookFailure]:
        """Run post hooks; returns what failed."""
        return [] if self._operation.HOOKS_PATH is None else self._run("post", 1)

    def _run(self, phase: str, which: int) -> list[HookFailure]:
        path, nodes = self._operation.HOOKS_PATH, self._operation.hooks_nodes()[which]
        if not nodes or path is None:
            return []
        env = hooks_environment(self._operation, self._context, phase, self._before)
        return run_hooks(self._context, nodes, path, phase, env)
