"""Moving an instance to another node that reaches its disks: by migration or by failover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ganeti_kernel.errors import ECODE_STATE, RemoteError
from ganeti_kernel.jobs.opcodes import OpInstanceFailover, OpInstanceMigrate
from ganeti_kernel.jobs.operation import ALL, Lock, StepPlan, operation
from ganeti_kernel.objects import Guest, Node
from ganeti_kernel.operations import facts, finding, placement
from ganeti_kernel.operations.disks import check_memory
from ganeti_kernel.operations.failover import failover_steps
from ganeti_kernel.operations.guests import build_guest
from ganeti_kernel.operations.hookenv import instance_environment
from ganeti_kernel.operations.instance_power import _OnInstance, start_step
from ganeti_kernel.operations.migration import balloon_step, migration_steps
from ganeti_kernel.operations.move_cleanup import cleanup_steps, find_guest
from ganeti_kernel.operations.move_target import check_disks, check_target
from ganeti_kernel.specs.hypervisor import InstanceState


class _InstanceMove(_OnInstance):
    """What both ways share: locks, where it goes, hooks.

    `state` is what the hypervisor says of the guest, None when it does not run.
    """

    KEPT = {**_OnInstance.KEPT, "target": Node}

    target: Node
    state: InstanceState | None = None

    def locks(self) -> Sequence[Lock]:
        view = self.context.view
        inst = finding.instance(view, self.op.instance_name)
        found = [Lock("instance", inst.name, exclusive=True)]
        if self.op.target_node is None:  # an allocator, or a clean-up, looks at all nodes
            return [*found, Lock("node", ALL), Lock("node-res", ALL, exclusive=True)]
        target = finding.node(view, self.op.target_node)
        uuids = sorted({*view.instance_nodes(inst), target.uuid})
        found += [Lock("node", uuid) for uuid in uuids]
        return [*found, *(Lock("node-res", uuid, exclusive=True) for uuid in uuids)]

    def check(self) -> None:
        super().check()
        check_disks(self.context.view, self.inst)
        if self.op.cleanup:
            self.target = find_guest(self.context, self.inst)
        else:
            self.check_move()

    def check_move(self) -> None:
        raise NotImplementedError

    def choose_target(self) -> None:
        self.target = placement.other_node(
            self.context, self.inst, self.op.target_node, self.op.iallocator
        )
        check_target(self.context, self.inst, self.target, any_size=self.op.ignore_ipolicy)

    def ask_state(self) -> InstanceState | None:
        """Ask the node for the guest; refuses, with what to do, when it does not answer."""
        try:
            found: InstanceState | None = self.context.nodes.call(
                self.node, "instance_state", hypervisor=self.inst.hypervisor, name=self.inst.name
            )
        except RemoteError as error:
            finding.refuse(
                f"instance {self.inst.name} may still run on node {self.node.name}, which does "
                f"not answer ({error}). When that node is down for certain, say so with "
                f"gnt-node modify --offline=yes {self.node.name}, and fail the instance over",
                ECODE_STATE,
            )
        return found

    def plan(self) -> Sequence[StepPlan]:
        guest = build_guest(self.context.view, self.inst)
        if self.op.cleanup:
            return cleanup_steps(self.context, guest, self.node, self.target)
        return self.plan_move(guest)

    def plan_move(self, guest: Guest) -> Sequence[StepPlan]:
        raise NotImplementedError

    # -- failover, which a migration can turn into -----------------------------------------------

    def check_failover(self) -> None:
        if not self.node.offline:
            self.state = self.ask_state()
        self.choose_target()
        if self.inst.admin_state == "up":
            memory = int(self.context.view.fill_be(self.inst)["maxmem"])
            name = self.inst.name
            check_memory(self.context, self.target, self.inst.hypervisor, memory, name)

    def plan_failover(self, guest: Guest, timeout: int) -> Sequence[StepPlan]:
        self.context.log(f"Failover instance {self.inst.name}")
        if self.node.offline:
            self.context.warn(f"node {self.node.name} is offline; nothing is stopped there")
        start = None
        if self.inst.admin_state == "up":
            start = start_step(guest, self.target, paused=False, was_running=False)
        running = self.state is not None
        return failover_steps(
            guest, self.node, self.target, timeout=timeout, was_running=running, start=start
        )

    # -- hooks -----------------------------------------------------------------------------------

    def hooks_environment(self) -> Mapping[str, str]:
        view = self.context.view
        now = view.instances.get(self.inst.uuid, self.inst)  # after the move, where it is now
        return {
            **instance_environment(view, now),
            "OLD_PRIMARY": self.node.name,
            "NEW_PRIMARY": self.target.name,
            # disks that every node reaches have no secondary
            "OLD_SECONDARY": "",
            "NEW_SECONDARY": "",
        }

    def hooked(self, *nodes: Node) -> list[Node]:
        """The master and these nodes, each once."""
        return list({node.uuid: node for node in (*self.master, *nodes)}.values())


@operation
class InstanceFailover(_InstanceMove):
    """Stop an instance and start it on another node; it runs where it did when that fails."""

    OPCODE = OpInstanceFailover
    HOOKS_PATH = "instance-failover"

    def check_move(self) -> None:
        self.check_failover()

    def plan_move(self, guest: Guest) -> Sequence[StepPlan]:
        return self.plan_failover(guest, self.op.shutdown_timeout)

    def hooks_environment(self) -> Mapping[str, str]:
        op: OpInstanceFailover = self.op
        return {
            **super().hooks_environment(),
            "IGNORE_CONSISTENCY": str(op.ignore_consistency),
            "SHUTDOWN_TIMEOUT": str(op.shutdown_timeout),
            "FAILOVER_CLEANUP": str(op.cleanup),
        }

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        return self.hooked(self.target), self.hooked(self.node, self.target)


SHUTDOWN_TIMEOUT = 120
"""Seconds a guest may take to shut down when a migration turns into a failover."""


@operation
class InstanceMigrate(_InstanceMove):
    """Move a running instance to another node without stopping it."""

    OPCODE = OpInstanceMigrate
    HOOKS_PATH = "instance-migrate"

    fails_over = False
    memory: int | None = None

    def check(self) -> None:
        op: OpInstanceMigrate = self.op
        if op.mode is not None and op.live is not None:
            finding.refuse("Only one of the 'live' and 'mode' parameters are accepted")
        super().check()

    def check_move(self) -> None:
        op: OpInstanceMigrate = self.op
        why = self._why_not()
        if why is not None:
            always = bool(self.context.view.fill_be(self.inst).get("always_failover"))
            if not (always or op.allow_failover):
                finding.refuse(f"{why}; use gnt-instance failover", ECODE_STATE)
            self.fails_over = True
            self.context.log(f"{why}; it is failed over instead")
            self.check_failover()
            return
        self.choose_target()
        self._check_memory()

    def _why_not(self) -> str | None:
        """Why the instance can only be failed over, None when it can migrate."""
        inst, node = self.inst, self.node
        if self.context.view.fill_be(inst).get("always_failover"):
            return f"instance {inst.name} is always failed over (backend parameter always_failover)"
        if "migrate" not in facts.describe("hypervisor", inst.hypervisor).features:
            return f"hypervisor {inst.hypervisor} cannot migrate instance {inst.name}"
        if node.offline:
            return f"instance {inst.name} cannot migrate from node {node.name}, which is offline"
        self.state = self.ask_state()
        if self.state is None:
            return f"instance {inst.name} does not run on node {node.name}"
        return None

    def _check_memory(self) -> None:
        """The target must have the guest's memory, or as much as it can be shrunk to."""
        op: OpInstanceMigrate = self.op
        assert self.state is not None
        be, inst = self.context.view.fill_be(self.inst), self.inst
        now, least = self.state.memory, min(int(be["minmem"]), self.state.memory)
        features = facts.describe("hypervisor", inst.hypervisor).features
        shrinks = op.allow_runtime_changes and "balloon" in features
        wanted = least if shrinks else now
        free = check_memory(self.context, self.target, inst.hypervisor, wanted, inst.name)
        if free < now:
            self.memory = free

    @property
    def live(self) -> bool:
        """Whether the guest goes on running while it is sent."""
        op: OpInstanceMigrate = self.op
        if op.live is not None:
            return op.live
        default = self.context.view.fill_hv(self.inst).get("migration_mode", "live")
        return (op.mode or default) == "live"

    def plan_move(self, guest: Guest) -> Sequence[StepPlan]:
        if self.fails_over:
            return self.plan_failover(guest, SHUTDOWN_TIMEOUT)
        assert self.state is not None
        self.context.log(f"Migrating instance {self.inst.name}")
        steps = []
        if self.memory is not None:
            steps.append(balloon_step(guest, self.node, self.memory, self.state.memory))
        info = self.context.nodes.call(self.node, "migration_info", guest=guest)
        return [
            *steps,
            *migration_steps(guest, self.node, self.target, info=info, live=self.live),
        ]

    def hooks_environment(self) -> Mapping[str, str]:
        op: OpInstanceMigrate = self.op
        return {
            **super().hooks_environment(),
            "MIGRATE_LIVE": str(self.live),
            "MIGRATE_CLEANUP": str(op.cleanup),
            "ALLOW_RUNTIME_CHANGES": str(op.allow_runtime_changes),
        }

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        nodes = self.hooked(self.node, self.target)
        return nodes, nodes
