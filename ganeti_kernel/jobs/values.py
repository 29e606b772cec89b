"""The values of a job's query fields (upstream 3.0's names), from its record and log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import OpPrereqError
from ganeti_kernel.jobs.job import Job, LogEntry
from ganeti_kernel.jobs.opcodes import opcode_summary
from ganeti_kernel.objects.secrets import SecretRules


@dataclass(frozen=True, slots=True)
class JobRow:
    """What the fields are made from. `rules`: what of opcodes and results nobody may see."""

    job: Job
    logs: Mapping[int, Sequence[LogEntry]]
    archived: bool = False
    waits: Sequence[str] = ()
    rules: SecretRules = field(default_factory=SecretRules)


def _each(attribute: str) -> Callable[[JobRow], Any]:
    return lambda row: [getattr(op, attribute) for op in row.job.ops]


JOB_VALUES: Final[dict[str, Callable[[JobRow], Any]]] = {
    "id": lambda row: row.job.id,
    "status": lambda row: row.job.status,
    "priority": lambda row: row.job.priority,
    "archived": lambda row: row.archived,
    "ops": lambda row: [row.rules.redact(op.input) for op in row.job.ops],
    "opresult": lambda row: [row.rules.redact(op.result) for op in row.job.ops],
    "opstatus": _each("status"),
    "oplog": lambda row: [list(row.logs.get(i, ())) for i in range(len(row.job.ops))],
    "opstart": _each("start_timestamp"),
    "opexec": _each("exec_timestamp"),
    "opend": _each("end_timestamp"),
    "oppriority": _each("priority"),
    "summary": lambda row: [opcode_summary(op.input) for op in row.job.ops],
    "received_ts": lambda row: row.job.received_timestamp,
    "start_ts": lambda row: row.job.start_timestamp,
    "end_ts": lambda row: row.job.end_timestamp,
    "waiting_for": lambda row: list(row.waits),
}


def check_fields(fields: Sequence[str]) -> None:
    """Raise OpPrereqError that names the unknown fields."""
    unknown = [name for name in fields if name not in JOB_VALUES]
    if unknown:
        raise OpPrereqError(
            f"unknown job field {', '.join(unknown)}; there are {', '.join(sorted(JOB_VALUES))}",
            "wrong_input",
        )


def job_values(row: JobRow, fields: Sequence[str]) -> list[Any]:
    """One JSON value a field; raises OpPrereqError for an unknown field."""
    check_fields(fields)
    values: list[Any] = msgspec.to_builtins([JOB_VALUES[name](row) for name in fields])
    return values
