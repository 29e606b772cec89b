"""Which jobs move instances away: what an allocator answers, checked before it becomes jobs.

What a move needs and this version cannot do is refused by name, before any job is submitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import ECODE_STATE, OpExecError, ParameterError
from ganeti_kernel.jobs.opcodes import decode_opcode
from ganeti_kernel.jobs.operation import OPERATIONS, JobContext
from ganeti_kernel.objects import ConfigView, Instance
from ganeti_kernel.operations import finding, node_storage, placement
from ganeti_kernel.operations.diagnose import usable_nodes
from ganeti_kernel.operations.move_target import check_disks
from ganeti_kernel.rpc.results import StorageUnit

Job = list[dict[str, Any]]

RUNNING_MOVES: Final = ("OP_INSTANCE_MIGRATE", "OP_INSTANCE_FAILOVER")
MOVES: Final = {
    "OP_INSTANCE_MIGRATE": "migrating it",
    "OP_INSTANCE_FAILOVER": "failing it over",
    "OP_INSTANCE_REPLACE_DISKS": "copying its disks to another node",
}
"""Opcodes that an evacuation may consist of, and what each does."""


_SILENT: Final = "the allocator gives no reason"


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """An allocator's answer: [instance, group, [node, …]], [instance, reason], jobs' opcodes."""

    moved: list[tuple[str, str, list[str]]]
    failed: list[tuple[str, str]]
    jobs: list[list[dict[str, Any]]]


def parse_answer(allocator: str, result: Any) -> Answer:
    """Check an answer's shape, and that its opcodes are moves; raises OpExecError. Pure."""
    try:
        answer = msgspec.convert(result, Answer)
    except msgspec.ValidationError as error:
        raise OpExecError(f"allocator {allocator} gave no evacuation: {error}") from None
    for op in (op for job in answer.jobs for op in job):
        if op.get("OP_ID") not in MOVES:
            raise OpExecError(f"allocator {allocator} wants {op.get('OP_ID')}, which is no move")
        try:
            decode_opcode(op)
        except ParameterError as error:
            raise OpExecError(f"allocator {allocator}: {op['OP_ID']}: {error}") from None
    return answer


def adjust(
    jobs: Iterable[Job],
    *,
    early_release: bool = False,
    force_failover: bool = False,
    sequential: bool = False,
) -> list[Job]:
    """The jobs as a command's options want them. Pure."""
    out = []
    for number, job in enumerate(jobs):
        ops = [_adjust_op(op, early_release, force_failover) for op in job]
        if sequential and number and ops:
            ops[0] = ops[0] | {"depends": [[-1, []]]}  # whatever becomes of the one before
        out.append(ops)
    return out


def _adjust_op(op: Mapping[str, Any], early_release: bool, force_failover: bool) -> dict[str, Any]:
    if op["OP_ID"] == "OP_INSTANCE_REPLACE_DISKS" and early_release:
        return {**op, "early_release": True}
    if op["OP_ID"] == "OP_INSTANCE_MIGRATE" and force_failover:
        kept = ("instance_name", "target_node", "ignore_ipolicy", "iallocator")
        return {"OP_ID": "OP_INSTANCE_FAILOVER"} | {key: op[key] for key in kept if key in op}
    return dict(op)


def check_moves(view: ConfigView, jobs: Iterable[Job]) -> None:
    """Refuse, naming instance and reason, what jobs would do that this version cannot."""
    for op in (op for job in jobs for op in job):
        inst = finding.instance(view, op["instance_name"])
        ident = op["OP_ID"]
        if ident not in OPERATIONS:
            finding.refuse(
                f"instance {inst.name} cannot be moved: that needs {MOVES[ident]} ({ident}), "
                "which is not available yet; nothing was started",
                ECODE_STATE,
            )
        if ident in RUNNING_MOVES:
            check_disks(view, inst)


def ask(context: JobContext, allocator: str, request: Mapping[str, Any]) -> Answer:
    """Ask an allocator for an evacuation; refuses when an instance has no place to go."""
    view = context.view
    hypervisor, nodes = view.cluster.enabled_hypervisors[0], usable_nodes(view)
    result = placement.ask(context, allocator, request, _unit(view), hypervisor, nodes)
    answer = parse_answer(allocator, result)
    if answer.failed:
        reasons = "; ".join(f"{name}: {reason or _SILENT}" for name, reason in answer.failed)
        raise OpExecError(f"Unable to evacuate instances {reasons}")
    for name, group, targets in answer.moved:
        found = view.nodegroups.get(group)
        where = f"group {found.name if found else group}, {', '.join(targets)}"
        context.log(f" - INFO: {allocator} moves instance {name} to {where}")
    return answer


def _unit(view: ConfigView) -> StorageUnit | None:
    """The storage whose room counts: of the first enabled template that can tell."""
    found = (item for item in node_storage.enabled(view) if "space" in item.features)
    return next((node_storage.as_unit(view, item) for item in found), None)


def names(instances: Iterable[Instance]) -> list[str]:
    return sorted(inst.name for inst in instances)


def moves_to(instances: Sequence[Instance], opcode: str, **fields: Any) -> list[Job]:
    """One job for each instance, with the same fields; those that are None are left out."""
    given = {key: value for key, value in fields.items() if value is not None}
    return [[{"OP_ID": opcode, "instance_name": name, **given}] for name in names(instances)]
