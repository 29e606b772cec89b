"""A migration's steps ask the source what became of a transfer, and never end the only guest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ganeti_kernel.config.changes import Draft
from ganeti_kernel.errors import HypervisorError, OpExecError, RemoteError
from ganeti_kernel.jobs.operation import STEPS
from ganeti_kernel.objects import Cluster, ConfigView, Instance, Node
from ganeti_kernel.operations import migration
from ganeti_kernel.operations.guests import build_guest
from ganeti_kernel.specs.hypervisor import MigrationStatus

A, B = (
    Node(uuid=name, name=name, primary_ip=f"192.0.2.{number}")
    for number, name in enumerate("ab", 1)
)


class FakeContext:
    """A source `a` and a target `b`; `statuses` are the source's answers, the last one stays."""

    job_id = 1

    def __init__(self, *statuses: str | Exception) -> None:
        self.view = ConfigView(
            cluster=Cluster(uuid="c", cluster_name="clu", master_node="a", master_ip="192.0.2.9"),
            nodes={"a": A, "b": B},
            instances={"i": Instance(uuid="i", name="i", primary_node="a", hypervisor="fake")},
        )
        self.nodes = self
        self.statuses = list(statuses)
        self.calls: list[str] = []
        self.said: list[str] = []

    def call(self, node: Node, name: str, /, **args: Any) -> Any:
        if name == "migration_status":
            status = self.statuses[0] if len(self.statuses) == 1 else self.statuses.pop(0)
            if isinstance(status, Exception):
                raise status
            return MigrationStatus(status=status, transferred_ram=1, total_ram=4)
        flag = {True: " yes", False: " no"}.get(args.get("success"), "")  # type: ignore[arg-type]
        self.calls.append(f"{node.name} {name}{flag}")
        return None

    def log(self, message: str) -> None:
        self.said.append(message)

    warn = log

    def update(self, change: Callable[[Draft], None]) -> ConfigView:
        draft = Draft(self.view)
        change(draft)
        self.view = draft.view
        return self.view


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganeti_kernel.operations.migration.FIRST_LOOK", 0.0)
    monkeypatch.setattr(migration, "patiently", lambda act: act())


def steps(context: FakeContext) -> dict[str, tuple[Any, Any]]:
    guest = build_guest(context.view, context.view.instances["i"])
    plan = migration.migration_steps(guest, A, B, info="", live=True)
    return {item.name: (STEPS[item.name](), item.args) for item in plan}


def do(context: FakeContext, name: str) -> None:
    step, args = steps(context)[name]
    step.do(context, args)


def undo(context: FakeContext, name: str) -> None:
    step, args = steps(context)[name]
    step.undo(context, args)


def test_a_transfer_waits_for_its_end() -> None:
    context = FakeContext("active", "active", "completed")
    do(context, "migrate.transfer")
    assert context.calls == ["a migration_start"]


def test_a_failed_transfer_says_so_and_is_taken_back() -> None:
    context = FakeContext("active", "failed")
    with pytest.raises(HypervisorError, match="i stays on a: its transfer to b ended as 'failed'"):
        do(context, "migrate.transfer")
    undo(context, "migrate.transfer")
    undo(context, "migrate.prepare")
    assert context.calls == [
        "a migration_start",
        "a migration_end_source no",
        "b migration_end_target no",
    ]


def test_a_transfer_that_was_over_is_not_taken_back() -> None:
    context = FakeContext("active", "completed")
    undo(context, "migrate.transfer")
    undo(context, "migrate.prepare")
    assert context.calls == ["a migration_end_source yes", "b migration_end_target yes"]
    assert context.view.instances["i"].primary_node == "b"
    assert any("had gone over to b already" in text for text in context.said)


def test_the_target_is_left_alone_while_nobody_knows_where_the_guest_is() -> None:
    context = FakeContext(RemoteError("no answer"))
    for name in ("migrate.transfer", "migrate.prepare"):
        with pytest.raises(RemoteError):
            undo(context, name)
    context.statuses = ["completed"]
    with pytest.raises(OpExecError, match="migrate --cleanup i"):
        undo(context, "migrate.prepare")
    assert context.calls == []


def test_a_lost_source_does_not_fail_a_move_that_is_done() -> None:
    context = FakeContext("completed")

    def lost(node: Node, name: str, /, **_args: Any) -> Any:
        raise RemoteError(f"{node.name}: {name}")

    context.call = lost  # type: ignore[method-assign]
    do(context, "migrate.end-source")
    assert any("gnt-instance migrate --cleanup" in text for text in context.said)
