"""Bringing an earlier configuration back.

What is written is changed, and nothing on any node. So what describes the nodes' own state stays as
it is (`KEPT`): who is master, which certificates count, where an instance and its disks are and
whether it should run. A node that came or went since then is an obstacle that nothing overrides; an
instance that came or went is one that `force` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from ganeti_kernel.config import history
from ganeti_kernel.config.changes import Draft, Ident, lookup
from ganeti_kernel.errors import ECODE_NOENT, ECODE_STATE, ConfigurationError
from ganeti_kernel.jobs.opcodes import OpClusterConfigRollback
from ganeti_kernel.jobs.operation import (
    ALL,
    LEVELS,
    JobContext,
    Lock,
    Operation,
    Step,
    StepPlan,
    operation,
    step,
)
from ganeti_kernel.objects import ConfigView, Instance
from ganeti_kernel.operations import facts, finding
from ganeti_kernel.operations.cluster_modify import PARAMETERS

KEPT: Final[Mapping[str, Sequence[str]]] = {
    "cluster": (
        "cluster_name",
        "master_node",
        "master_ip",
        "master_netdev",
        "master_netmask",
        "use_external_mip_script",
        "candidate_certs",
        "highest_used_port",
        "tcpudp_port_pool",
    ),
    "nodes": (
        "name",
        "primary_ip",
        "secondary_ip",
        "master_candidate",
        "offline",
        "drained",
        "powered",
    ),
    "instances": (
        "name",
        "primary_node",
        "disks",
        "disks_active",
        "admin_state",
        "admin_state_source",
        "network_port",
        "hypervisor",
        "os",
        "forthcoming",
    ),
}
"""Table -> fields that stay as they are: they say what nodes have, not what somebody wants."""

PUTS: Final = ("networks", "nodegroups", "nodes", "disks", "instances", "cluster", "filters")
DELETES: Final = ("instances", "disks", "filters", "nodegroups", "networks")
"""Order in which every part is a sound configuration."""

AT_ONCE: Final = 90


def target(now: ConfigView, then: ConfigView, *, exact: bool = False) -> dict[Ident, Any]:
    """What to make different in `now` to have `then`: objects to put, None to remove.

    `exact`: nothing is kept (an undo). Pure.
    """
    wanted: dict[Ident, Any] = {}
    common = {uuid for uuid in then.instances if uuid in now.instances}
    fixed = set() if exact else {disk for uuid in common for disk in now.instances[uuid].disks}
    old = {disk for uuid in common for disk in then.instances[uuid].disks}
    for table, uuid, value in [*then.objects(), ("cluster", "cluster", then.cluster)]:
        if table == "disks" and not exact and (uuid in fixed or uuid in old):
            continue
        present = lookup(now, (table, uuid))
        new = _placed(table, value, present, exact=exact)
        if new != present:
            wanted[table, uuid] = new
    for table, uuid, _value in now.objects():
        if lookup(then, (table, uuid)) is None and uuid not in fixed:
            wanted[table, uuid] = None
    return wanted


def _placed(table: str, value: Any, present: Any, *, exact: bool) -> Any:
    """An object of the past as it is written now."""
    if present is None:
        if table == "instances" and not exact:
            # Nobody knows whether it is somewhere; it must not be started by itself.
            return msgspec.structs.replace(
                value, admin_state="down", disks_active=False, network_port=None
            )
        return value
    kept = {} if exact else {name: getattr(present, name) for name in KEPT.get(table, ())}
    books = {name: getattr(present, name) for name in history.BOOKKEEPING}
    return msgspec.structs.replace(value, **kept, **books)


def parts(wanted: Mapping[Ident, Any]) -> Iterator[list[tuple[Ident, Any]]]:
    """The changes in an order that is sound at every step, so many at once as a commit takes."""
    ordered = [
        (ident, value)
        for table in PUTS
        for ident, value in wanted.items()
        if ident[0] == table and value is not None
    ]
    ordered += [
        (ident, None)
        for table in DELETES
        for ident, value in wanted.items()
        if ident[0] == table and value is None
    ]
    for start in range(0, len(ordered), AT_ONCE):
        yield ordered[start : start + AT_ONCE]


def moved_nodes(now: ConfigView, then: ConfigView) -> list[str]:
    """What stands in the way whatever is forced: nodes that came or went. Pure."""
    out = [
        f"node {node.name} was added since; remove it first (gnt-node remove)"
        for uuid, node in now.nodes.items()
        if uuid not in then.nodes
    ]
    out += [
        f"node {node.name} was removed since; it has given its keys away"
        for uuid, node in then.nodes.items()
        if uuid not in now.nodes
    ]
    return sorted(out)


@step
class Rollback(Step):
    """Go to a configuration of the history. Arguments: to, back (serial numbers)."""

    NAME = "config.rollback"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        _go(context, args["to"], exact=False)

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        _go(context, args["back"], exact=True)


def _go(context: JobContext, serial: int, *, exact: bool) -> None:
    # Told once: what this commits moves the oldest ones out of the history.
    then = history.view_at(context.view, context.history(serial), serial)
    for part in parts(target(context.view, then, exact=exact)):

        def change(draft: Draft, part: Sequence[tuple[Ident, Any]] = part) -> None:
            for ident, value in part:
                present = lookup(draft.view, ident)
                if value is None:
                    if present is not None:
                        draft.delete(present)
                elif present is None:
                    draft.put(value)
                else:
                    draft.put(msgspec.structs.replace(value, serial_no=present.serial_no))

        context.update(change)


@operation
class ClusterConfigRollback(Operation[OpClusterConfigRollback]):
    """Bring an earlier configuration back; the result lists what changed."""

    OPCODE = OpClusterConfigRollback
    HOOKS_PATH = "cluster-modify"

    def locks(self) -> Sequence[Lock]:
        wide = [Lock(level, ALL, exclusive=True) for level in LEVELS if level != "cluster"]
        return [PARAMETERS, *wide]

    def check(self) -> None:
        now, serial = self.context.view, self.op.serial
        try:
            since = serial if serial < now.serial_no else 0
            then = history.view_at(now, self.context.history(since), serial)
        except ConfigurationError as error:
            finding.refuse(str(error), ECODE_NOENT)
        nodes = moved_nodes(now, then)
        if nodes:
            finding.refuse(
                f"configuration {serial} cannot be brought back: {'; '.join(nodes)}", ECODE_STATE
            )
        for name in then.cluster.enabled_hypervisors:
            facts.describe("hypervisor", name)
        for name in then.cluster.enabled_disk_templates:
            facts.describe("disk_template", name)
        problems = [*self._vanishing(now, then), *_returning(now, then)]
        if problems and not self.op.force:
            finding.refuse(
                f"configuration {serial} is not brought back: {'; '.join(problems)} (--force does "
                "it all the same)",
                ECODE_STATE,
            )
        for problem in problems:
            self.context.warn(problem)
        self.wanted = target(now, then)
        self.changes = self._describe(now)

    def _vanishing(self, now: ConfigView, then: ConfigView) -> Iterator[str]:
        gone = [inst for uuid, inst in now.instances.items() if uuid not in then.instances]
        running = self._running(gone)
        for inst in sorted(gone, key=lambda item: item.name):
            where = running.get(inst.name)
            runs = f", runs on {where} and would be on its own" if where else ""
            yield (
                f"instance {inst.name} was added since{runs}; its disks would stay behind "
                "(gnt-instance remove takes them along)"
            )

    def _running(self, instances: Sequence[Instance]) -> dict[str, str]:
        """Instance name -> node it runs on; a node that is silent counts as running them."""
        view = self.context.view
        hypervisors = {inst.hypervisor for inst in instances}
        nodes = [view.nodes[uuid] for uuid in {inst.primary_node for inst in instances}]
        if not nodes:
            return {}
        answers = self.context.nodes.call_many(
            nodes,
            "instances_list",
            hypervisors={name: view.cluster.hvparams.get(name, {}) for name in hypervisors},
        )
        out: dict[str, str] = {}
        for inst in instances:
            answer = answers[inst.primary_node]
            name = view.nodes[inst.primary_node].name
            if not answer.ok:
                out[inst.name] = f"{name}, perhaps (it does not answer)"
            elif any(item.name == inst.name for items in answer.value.values() for item in items):
                out[inst.name] = name
        return out

    def _describe(self, now: ConfigView) -> list[str]:
        draft = Draft(now)
        for part in parts(self.wanted):
            for ident, value in part:
                if value is not None:
                    draft.put(value)
                else:
                    draft.delete(lookup(now, ident))
        return [history.summary(item) for item in history.differences(now, draft.view)]

    def plan(self) -> Sequence[StepPlan]:
        if not self.wanted:
            self.context.log("Nothing to change: what differs are facts that stay as they are")
            return []
        for text in self.changes:
            self.context.log(f"* {text}")
        args = {"to": self.op.serial, "back": self.context.view.serial_no}
        return [StepPlan(name=Rollback.NAME, args=args)]

    def result(self, outcomes: Sequence[Any]) -> Any:
        return self.changes

    def hooks_environment(self) -> Mapping[str, str]:
        return {"OP_TARGET": self.context.view.cluster.cluster_name, "NEW_VG_NAME": ""}


def _returning(now: ConfigView, then: ConfigView) -> Iterator[str]:
    for uuid, inst in sorted(then.instances.items()):
        if uuid not in now.instances:
            yield (
                f"instance {inst.name} was removed since; it would come back as stopped, and its "
                "disks are most likely gone"
            )
