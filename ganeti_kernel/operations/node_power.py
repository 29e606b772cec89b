"""Power of nodes: the out-of-band helper, and the reset through a node's hypervisor.

The helper is the node parameter `oob_program`; the master runs it as `PROGRAM COMMAND NODE`. What
it prints is JSON for `power-status` ({"powered": bool}) and `health` ([[item, status], …]), nothing
for the others (upstream 3.0).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ganeti_kernel.config.changes import Draft
from ganeti_kernel.config.order import natural_key
from ganeti_kernel.errors import ECODE_INVAL, ECODE_STATE, GenericError, OpExecError
from ganeti_kernel.jobs.opcodes import OpNodePowercycle, OpOobCommand
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
from ganeti_kernel.operations.no_return import NO_RETURN

# Statuses of a result's cell (upstream's RS_*).
NORMAL: Final = 0
NO_DATA: Final = 2
UNAVAILABLE: Final = 3

HEALTH: Final = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
LOUD: Final = ("WARNING", "CRITICAL")
MAX_ITEMS: Final = 1000
MAX_TIMEOUT: Final = 840
"""Seconds; the node call that runs the helper has 900."""
CALL_GRACE: Final = 20.0
NOT_ON_MASTER: Final = ("power-off", "power-cycle")
RECORDED: Final = {"power-on": True, "power-off": False}
"""Commands after which a node's power state is known."""


class Powered(msgspec.Struct, forbid_unknown_fields=True):
    """What `power-status` prints."""

    powered: bool


def parse_payload(command: str, text: str) -> Any:
    """Read what the helper printed; raises ValueError that says what is wrong. Pure."""
    if command == "power-status":
        try:
            return {"powered": msgspec.json.decode(text, type=Powered).powered}
        except msgspec.MsgspecError as error:
            raise ValueError(f'it must be {{"powered": true or false}}: {error}') from None
    if command == "health":
        return _health(text)
    if text.strip():
        raise ValueError(f"'{command}' is expected to print nothing, not {text.strip()[:200]!r}")
    return None


def _health(text: str) -> list[list[str]]:
    try:
        items = msgspec.json.decode(text, type=list[tuple[str, str]])
    except msgspec.MsgspecError as error:
        raise ValueError(f"it must be a list of [item, status]: {error}") from None
    if len(items) > MAX_ITEMS:
        raise ValueError(f"it has {len(items)} items, more than {MAX_ITEMS}")
    for item, status in items:
        if status not in HEALTH:
            known = ", ".join(HEALTH)
            raise ValueError(f"health item {item!r} has invalid status {status!r} (not {known})")
    return [list(item) for item in items]


@step
class RunHelper(Step):
    """Run the helper for one node. Arguments: node, master, program, command, timeout.

    Returns the cell of the result: [status, data].
    """

    NAME = "node.oob"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        node, command = context.view.nodes.get(args["node"]), args["command"]
        if node is None:
            return [NO_DATA, None]
        try:
            text = context.nodes.call(
                context.view.nodes[args["master"]],
                "oob_run",
                program=args["program"],
                command=command,
                target=node.name,
                timeout=args["timeout"],
                deadline=args["timeout"] + CALL_GRACE,
            )
        except GenericError as error:
            context.warn(f"Out-of-band command failed on node '{node.name}': {error}")
            return [NO_DATA, None]
        try:
            data = parse_payload(command, text)
        except ValueError as error:
            context.warn(f"Payload returned for node '{node.name}' is not valid: {error}")
            return [NO_DATA, None]
        _tell(context, node, command, data)
        if command in RECORDED:
            _record(context, node.uuid, RECORDED[command])
        return [NORMAL, data]


def _tell(context: JobContext, node: Node, command: str, data: Any) -> None:
    if command == "health":
        for item, status in data:
            if status in LOUD:
                context.warn(f"Item '{item}' on node '{node.name}' has status '{status}'")
    elif command == "power-status" and data["powered"] != node.powered:
        context.warn(
            f"Recorded power state ({node.powered}) of node '{node.name}' does not match actual "
            f"power state ({data['powered']})"
        )


def _record(context: JobContext, uuid: str, powered: bool) -> None:
    def change(draft: Draft) -> None:
        node = draft.view.nodes.get(uuid)
        if node is not None and node.powered != powered:
            draft.replace(node, powered=powered)

    context.update(change)


@step
class Pause(Step):
    """Wait, so that not all machines start at once. Arguments: seconds."""

    NAME = "node.power-pause"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        time.sleep(args["seconds"])


@operation
class OobCommand(Operation[OpOobCommand]):
    """Run an out-of-band command for nodes, all of them when none is named.

    The result has a row for each node: [[0, name], [status, data]]. A node without a helper is
    "unavailable", one whose helper fails "no data" with a warning; the others go on.
    """

    OPCODE = OpOobCommand

    def _nodes(self) -> list[Node]:
        op, view = self.op, self.context.view
        if op.node_names:
            return [finding.node(view, name) for name in op.node_names]
        nodes = sorted(view.nodes.values(), key=lambda node: natural_key(node.name))
        spared = view.cluster.master_node if op.command in NOT_ON_MASTER else None
        return [node for node in nodes if node.uuid != spared]

    def locks(self) -> Sequence[Lock]:
        exclusive = self.op.command in RECORDED
        return [Lock("node", uuid, exclusive) for uuid in {node.uuid for node in self._nodes()}]

    def check(self) -> None:
        op, view = self.op, self.context.view
        if not 0 < op.timeout <= MAX_TIMEOUT:
            finding.refuse(f"the timeout must be 1 to {MAX_TIMEOUT} seconds, not {op.timeout}")
        if not 0 <= op.power_delay <= MAX_TIMEOUT:
            finding.refuse(f"the power delay must be 0 to {MAX_TIMEOUT} seconds")
        self.nodes = self._nodes()
        for node in self.nodes:
            if op.command in NOT_ON_MASTER and node.uuid == view.cluster.master_node:
                program = view.fill_nd(node)["oob_program"]
                by_hand = f"'{program} {op.command} {node.name}'" if program else "it"
                finding.refuse(
                    f"Operating on the master node {node.name} is not allowed for {op.command}; "
                    f"run {by_hand} by hand on another machine",
                    ECODE_INVAL,
                )
            if op.command == "power-off" and not (node.offline or op.ignore_status):
                finding.refuse(
                    f"Cannot power off node {node.name} because it is not marked offline; "
                    "--ignore-status does it all the same",
                    ECODE_STATE,
                )

    def plan(self) -> Sequence[StepPlan]:
        op, view = self.op, self.context.view
        # What is recorded must be carried on after a crash; a reset must not come twice.
        steps = [NO_RETURN] if op.command in RECORDED else []
        for node in self.nodes:
            program = view.fill_nd(node)["oob_program"]
            if not program:
                continue
            later = any(item.name == RunHelper.NAME for item in steps)
            if later and op.command == "power-on" and op.power_delay > 0:
                steps.append(StepPlan(name=Pause.NAME, args={"seconds": op.power_delay}))
            args = {
                "node": node.uuid,
                "master": view.cluster.master_node,
                "program": program,
                "command": op.command,
                "timeout": op.timeout,
            }
            steps.append(StepPlan(name=RunHelper.NAME, args=args))
        return steps

    def result(self, outcomes: Sequence[Any]) -> Any:
        view = self.context.view
        cells = iter([cell for cell in outcomes if cell is not None])
        rows = []
        for node in self._nodes():
            has_helper = bool(view.fill_nd(node)["oob_program"])
            cell = next(cells, [NO_DATA, None]) if has_helper else [UNAVAILABLE, None]
            rows.append([[NORMAL, node.name], cell])
        return rows


@step
class ResetNode(Step):
    """Arguments: node, hypervisor, hvparams. Returns the node's text."""

    NAME = "node.powercycle"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        node = context.view.nodes.get(args["node"])
        if node is None:
            raise OpExecError("the node was removed from the cluster meanwhile")
        return context.nodes.call(
            node, "powercycle", hypervisor=args["hypervisor"], hvparams=args["hvparams"]
        )


@operation
class NodePowercycle(Operation[OpNodePowercycle]):
    """Reset a node hard through its hypervisor. Takes no locks: who holds them may be stuck."""

    OPCODE = OpNodePowercycle
    RETURNS_OUTCOME = True

    def check(self) -> None:
        view = self.context.view
        self.node = finding.node(view, self.op.node_name)
        if self.node.uuid == view.cluster.master_node and not self.op.force:
            finding.refuse(
                "The node is the master and the force parameter was not set; --force resets it "
                "all the same",
                ECODE_INVAL,
            )
        if self.node.offline:
            finding.refuse(
                f"Can't use offline node {self.node.name}; gnt-node power goes another way",
                ECODE_STATE,
            )

    def plan(self) -> Sequence[StepPlan]:
        cluster = self.context.view.cluster
        name = cluster.enabled_hypervisors[0]
        args = {
            "node": self.node.uuid,
            "hypervisor": name,
            "hvparams": cluster.hvparams.get(name, {}),
        }
        return [StepPlan(name=ResetNode.NAME, args=args)]
