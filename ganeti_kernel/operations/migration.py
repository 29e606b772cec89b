"""The steps that move an instance to another node: what runs and what the configuration says.

A running guest is sent by its hypervisor. Whether it went over is known to the source's
hypervisor alone: what undoes or finishes a transfer that was cut off asks it, and never guesses.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import HypervisorError, OpExecError
from ganeti_kernel.jobs.operation import JobContext, Step, StepPlan, step
from ganeti_kernel.jobs.patience import patiently
from ganeti_kernel.objects import Guest, Node
from ganeti_kernel.operations.disks import ignoring, node_argument, node_of
from ganeti_kernel.operations.failover import note_primary, primary_step
from ganeti_kernel.specs.hypervisor import MigrationStatus

FIRST_LOOK: Final = 0.1
LONGEST_LOOK: Final = 2.0
"""Seconds between two looks at a transfer; they grow from the one to the other."""

TELL_AFTER: Final = 10.0
"""Seconds between two log lines about a transfer (upstream 3.0)."""

OVER: Final = "completed"


def migration_steps(
    guest: Guest, source: Node, target: Node, *, info: str, live: bool
) -> list[StepPlan]:
    """The plan that moves a running guest."""
    args = {
        "guest": msgspec.to_builtins(guest),
        "node": node_argument(source),
        "target": node_argument(target),
        "info": info,
        "live": live,
    }
    return [
        StepPlan(name=PrepareMigration.NAME, args=args),
        StepPlan(name=Transfer.NAME, args=args, pivot=True, resume=True),
        primary_step(guest.uuid, source, target),
        StepPlan(name=EndSource.NAME, args=args),
        StepPlan(name=EndTarget.NAME, args=args),
    ]


def balloon_step(guest: Guest, node: Node, memory: int, before: int) -> StepPlan:
    """The step that gives a running guest `memory` MiB; it has `before` now."""
    return StepPlan(
        name=Balloon.NAME,
        args={
            "guest": msgspec.to_builtins(guest),
            "node": node_argument(node),
            "memory": memory,
            "before": before,
        },
    )


class _Migration:
    """A migration's arguments: guest, node (the source), target, info, live."""

    def __init__(self, context: JobContext, args: Mapping[str, Any]) -> None:
        self.context = context
        self.guest = msgspec.convert(args["guest"], Guest)
        self.source = node_of(context, args)
        self.target = node_of(context, {"node": args["target"]})
        self.info = str(args["info"])
        self.live = bool(args["live"])

    def at_source(self, call: str, **args: Any) -> Any:
        return self.context.nodes.call(self.source, call, guest=self.guest, **args)

    def at_target(self, call: str, **args: Any) -> Any:
        return self.context.nodes.call(self.target, call, guest=self.guest, **args)

    @property
    def address(self) -> str:
        return self.target.secondary_ip or self.target.primary_ip

    def status(self) -> MigrationStatus:
        """How far the source is; raises RemoteError when that cannot be told."""
        found: MigrationStatus = self.at_source("migration_status")
        return found

    def noted(self) -> bool:
        """Say whether the configuration has the guest on the target."""
        inst = self.context.view.instances.get(self.guest.uuid)
        return inst is not None and inst.primary_node == self.target.uuid

    def end_source(self) -> None:
        self.at_source("migration_end_source", success=True)

    def end_target(self) -> None:
        self.at_target("migration_end_target", info=self.info, success=True)


@step
class PrepareMigration(Step):
    """Open the disks on both nodes, have the target wait for the guest."""

    NAME = "migrate.prepare"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        move = _Migration(context, args)
        context.log(f"* preparing {move.target.name} to accept the instance")
        move.at_source("migration_share")
        move.at_target("migration_accept", info=move.info, address=move.address)

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        move = _Migration(context, args)
        if move.noted():  # it went over after all, and undoing the transfer has seen to it
            return
        if move.status().status == OVER:
            raise OpExecError(
                f"{move.guest.name} has gone over to {move.target.name}, which was not noted; run "
                f"gnt-instance migrate --cleanup {move.guest.name}"
            )
        context.log(f"* {move.target.name} no longer waits for the instance")
        move.at_target("migration_end_target", info=move.info, success=False)
        for disk in move.guest.disks:
            context.nodes.call(move.source, "disk_attach", disk=disk)


@step
class Transfer(Step):
    """Send the guest and wait until it is over there. Done again, it goes on waiting."""

    NAME = "migrate.transfer"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        move = _Migration(context, args)
        context.log(f"* migrating instance to {move.target.name}")
        start = partial(move.at_source, "migration_start", address=move.address, live=move.live)
        patiently(start)
        status = _wait(context, partial(patiently, move.status))
        if status.status != OVER:
            raise HypervisorError(
                f"instance {move.guest.name} stays on {move.source.name}: its transfer to "
                f"{move.target.name} ended as '{status.status}'; see the hypervisor's log there"
            )

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        move = _Migration(context, args)
        status = _wait(context, move.status)
        if status.status != OVER:
            move.at_source("migration_end_source", success=False)
            return
        context.warn(f"the guest had gone over to {move.target.name} already; it stays there")
        note_primary(context, move.guest.uuid, move.target.uuid)
        move.end_source()
        move.end_target()


def _wait(context: JobContext, ask: Any) -> MigrationStatus:
    """Look at a transfer until it is over; tells now and then how far it is."""
    delay, told = FIRST_LOOK, time.monotonic()
    while True:
        status: MigrationStatus = ask()
        if status.status != "active":
            return status
        if time.monotonic() - told >= TELL_AFTER:
            told = time.monotonic()
            context.log(f"* memory transfer progress: {_share(status)}")
        time.sleep(delay)
        delay = min(delay * 1.5, LONGEST_LOOK)


def _share(status: MigrationStatus) -> str:
    if not status.total_ram or status.transferred_ram is None:
        return "the hypervisor does not say"
    return f"{100 * status.transferred_ram / status.total_ram:.2f} %"


@step
class EndSource(Step):
    """The guest has gone: clean up on the node it came from.

    That node may be lost by now. The guest runs on the other one, so that this is no failure.
    """

    NAME = "migrate.end-source"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        move = _Migration(context, args)
        ignoring(
            context,
            {"ignore": True},
            f"node {move.source.name} may still hold something of {move.guest.name}; once it is "
            "back, run gnt-instance migrate --cleanup",
            partial(patiently, move.end_source),
        )


@step
class EndTarget(Step):
    """The guest has come: take it over."""

    NAME = "migrate.end-target"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        _Migration(context, args).end_target()
        context.log("* done")


@step
class Balloon(Step):
    """Set a running guest's memory. Arguments: guest, node, memory, before (MiB)."""

    NAME = "instance.balloon"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        context.log(f"* memory ballooning instance from {args['before']} to {args['memory']} MiB")
        self._set(context, args, args["memory"])

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        self._set(context, args, args["before"])

    def _set(self, context: JobContext, args: Mapping[str, Any], memory: int) -> None:
        guest = msgspec.convert(args["guest"], Guest)
        node = node_of(context, args)
        context.nodes.call(node, "instance_balloon", guest=guest, memory=int(memory))
