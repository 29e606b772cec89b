"""Creating several instances at once: an allocator places all of them, then each has its own job.

Facts of upstream 3.0: nodes are named for all instances or for none; the allocator is that of the
whole request; the result is {"jobs": [[went well, id or error], …], "allocatable": [name, …],
"failed": [name, …]}, "jobs" in the order of "allocatable".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ganeti_kernel.errors import (
    ECODE_NORES,
    ECODE_TEMP_NORES,
    OpCodeUnknown,
    OpExecError,
    ParameterError,
)
from ganeti_kernel.jobs.opcodes import (
    OpInstanceCreate,
    OpInstanceMultiAlloc,
    decode_opcode,
    encode_opcode,
)
from ganeti_kernel.jobs.operation import ALL, Lock, Operation, Pick, StepPlan, operation
from ganeti_kernel.operations import finding, placement
from ganeti_kernel.operations.diagnose import usable_nodes
from ganeti_kernel.operations.instance_create import InstanceCreate
from ganeti_kernel.operations.submitting import SubmitJobs


class Placed(msgspec.Struct, array_like=True, frozen=True):
    """An allocator's answer: [instance, [node, …]] of each that has a place; names of others."""

    chosen: list[tuple[str, list[str]]]
    failed: list[str | tuple[str, str]]

    @property
    def failed_names(self) -> list[str]:
        return [item if isinstance(item, str) else item[0] for item in self.failed]


def parse_wishes(values: Sequence[Any]) -> list[OpInstanceCreate]:
    """The instances of the request as opcodes; refuses what contradicts itself. Pure."""
    wishes = [_wish(number, value) for number, value in enumerate(values, 1)]
    names = [op.instance_name for op in wishes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        finding.refuse(f"There are duplicate instance names: {', '.join(twice)}")
    own = [op.instance_name for op in wishes if op.iallocator is not None]
    if own:
        finding.refuse(
            f"instance {own[0]} has an allocator of its own; one allocator places all instances of "
            "a request: give it for the whole request"
        )
    unlike = [op.instance_name for op in wishes if (op.pnode is None) != (wishes[0].pnode is None)]
    if unlike:
        finding.refuse(
            f"nodes must be named for all instances or for none; {names[0]} and {unlike[0]} differ"
        )
    return wishes


def _wish(number: int, value: Any) -> OpInstanceCreate:
    if not isinstance(value, Mapping):
        finding.refuse(f"instance {number} of the request is no object")
    try:
        op = decode_opcode({"OP_ID": "OP_INSTANCE_CREATE", **value})
    except (ParameterError, OpCodeUnknown) as error:
        finding.refuse(f"instance {number} of the request: {error}")
    if not isinstance(op, OpInstanceCreate):
        finding.refuse(f"instance {number} of the request is {value['OP_ID']}, no creation")
    return op


def parse_answer(allocator: str, result: Any, names: Iterable[str]) -> Placed:
    """Check that an allocator tells of each instance once; raises OpExecError. Pure."""
    try:
        placed = msgspec.convert(result, Placed)
    except msgspec.ValidationError as error:
        raise OpExecError(f"allocator {allocator} gave no places: {error}") from None
    told = [name for name, _ in placed.chosen] + placed.failed_names
    if sorted(told) != sorted(names):
        raise OpExecError(
            f"allocator {allocator} was asked about {', '.join(sorted(names))} and told of "
            f"{', '.join(sorted(told)) or 'none'}"
        )
    for name, nodes in placed.chosen:
        if len(nodes) != 1:
            raise OpExecError(f"allocator {allocator} gave {len(nodes)} nodes for {name}")
    return placed


@operation
class InstanceMultiAlloc(Operation[OpInstanceMultiAlloc]):
    """Have an allocator place instances, and submit a job for each that has a place."""

    OPCODE = OpInstanceMultiAlloc
    RETURNS_OUTCOME = True

    wishes: list[OpInstanceCreate]
    failed: list[str]

    def locks(self) -> Sequence[Lock]:
        """The allocator must see what nobody else is about to take; the jobs lock for themselves"""
        return placement.node_locks(ALL) if self._is_free() and self.pick() is None else ()

    def pick(self) -> Pick | None:
        if not self.op.opportunistic_locking or not self._is_free():
            return None
        return placement.pick_nodes(self.context.view, None)

    def _is_free(self) -> bool:
        """Whether nodes are still to be chosen."""
        return any(
            isinstance(item, Mapping) and not item.get("pnode") for item in self.op.instances
        )

    def check(self) -> None:
        self.wishes, self.failed = parse_wishes(self.op.instances), []
        if not self.wishes:
            finding.refuse("no instance is given; nothing to do")
        creations = [InstanceCreate(op, self.context) for op in self.wishes]
        for creation in creations:
            creation.check_wish()
        if self.wishes[0].pnode is None:
            self._place(creations)
            return
        if self.op.iallocator is not None:
            finding.refuse("nodes and an allocator cannot both be given; leave the nodes or -I out")
        for op in self.wishes:
            placement.named_node(self.context, op)

    def _place(self, creations: Sequence[InstanceCreate]) -> None:
        context, first = self.context, creations[0]
        name = placement.allocator_for(context.view, self.op.iallocator, "nodes or ")
        request = {"type": "multi-allocate", "instances": [item.wish() for item in creations]}
        result = placement.ask(
            context,
            name,
            request,
            first.storage(),
            first.hypervisor,
            [node for node in usable_nodes(context.view) if placement.is_held(context, node)],
            ECODE_TEMP_NORES if self.op.opportunistic_locking else ECODE_NORES,
        )
        known = {op.instance_name: op for op in self.wishes}
        placed = parse_answer(name, result, known)
        self.failed, self.wishes = placed.failed_names, []
        for instance, (node,) in placed.chosen:
            finding.usable_node(context.view, node)
            context.log(f" - INFO: {name} places instance {instance} on node {node}")
            wish = known[instance]
            self.wishes.append(
                msgspec.structs.replace(wish, pnode=node, opportunistic_locking=False)
            )
        for instance in self.failed:
            context.warn(f"{name} finds no place for instance {instance}")

    def plan(self) -> Sequence[StepPlan]:
        jobs = [[encode_opcode(op)] for op in self.wishes]
        return [StepPlan(name=SubmitJobs.NAME, args={"jobs": jobs, "besides": self._names()})]

    def foreseen(self) -> Any:
        return {"jobs": [], **self._names()}

    def _names(self) -> dict[str, list[str]]:
        return {"allocatable": [op.instance_name for op in self.wishes], "failed": self.failed}
