"""A job: its opcodes, their states, and the shape in which it is kept and shown.

Records are immutable; a change makes a new one. Log entries are kept apart from the record,
because they grow: one store key each.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from ganeti_kernel.errors import encode_error
from ganeti_kernel.jobs.operation import Lock

QUEUED: Final = "queued"
WAITING: Final = "waiting"
CANCELING: Final = "canceling"
RUNNING: Final = "running"
CANCELED: Final = "canceled"
SUCCESS: Final = "success"
ERROR: Final = "error"

FINAL: Final = frozenset({CANCELED, SUCCESS, ERROR})

HIGHEST_PRIORITY: Final = -20

LOG_MESSAGE: Final = "message"
LOG_JQUEUE_TEST: Final = "jqueue-test"
LOG_TYPES: Final = (LOG_MESSAGE, "message-list", "remote-import", LOG_JQUEUE_TEST, "delay-test")

Stamp = tuple[int, int]
"""Seconds since the epoch and microseconds."""


class LogEntry(NamedTuple):
    """One line of an opcode's log; `serial` counts through the whole job from 1."""

    serial: int
    time: Stamp
    type: str
    message: Any


class OpRecord(msgspec.Struct, kw_only=True, frozen=True):
    """One opcode of a job. `input` is the opcode's JSON object."""

    input: dict[str, Any]
    status: str = QUEUED
    result: Any = None
    priority: int = 0
    start_timestamp: Stamp | None = None
    exec_timestamp: Stamp | None = None
    end_timestamp: Stamp | None = None


class Job(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A job as the store keeps it. `held`: the locks it holds; `cancel`: somebody asked for it.

    `recoveries` counts the processes that were started to end the job after one had died.
    """

    id: int
    ops: list[OpRecord]
    received_timestamp: Stamp | None = None
    start_timestamp: Stamp | None = None
    end_timestamp: Stamp | None = None
    livelock: str | None = None
    process_id: int | None = None
    held: list[Lock] = []
    cancel: bool = False
    recoveries: int = 0

    @property
    def status(self) -> str:
        return job_status([op.status for op in self.ops])

    @property
    def queued(self) -> bool:
        """Whether nothing of it was begun: the same as the status, but fast."""
        return bool(self.ops) and self.ops[0].status == QUEUED

    @property
    def priority(self) -> int:
        """The most urgent priority of the opcodes still to do."""
        todo = [op.priority for op in self.ops if op.status not in FINAL]
        return min(todo) if todo else (self.ops[-1].priority if self.ops else 0)

    @property
    def final(self) -> bool:
        return self.status in FINAL

    @property
    def current(self) -> int | None:
        """Index of the first opcode that has not ended."""
        return next((i for i, op in enumerate(self.ops) if op.status not in FINAL), None)

    def depends(self) -> list[tuple[int, frozenset[str]]]:
        """Jobs that must end first, with the ends that are accepted."""
        return [
            (int(job_id), frozenset(statuses) or FINAL)
            for op in self.ops
            if op.input.get("depends")
            for job_id, statuses in op.input["depends"]
        ]


def now() -> Stamp:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return seconds, nanoseconds // 1000


def job_status(statuses: Sequence[str]) -> str:
    """The job's status by those of its opcodes (upstream 3.0's rule)."""
    if all(status == SUCCESS for status in statuses):
        return SUCCESS
    out = QUEUED
    for status in statuses:
        if status in (ERROR, CANCELED, CANCELING):
            return status
        if status in (WAITING, RUNNING):
            out = status
    return out


def change_op(job: Job, index: int, **fields: Any) -> Job:
    """Replace fields of one opcode."""
    ops = list(job.ops)
    ops[index] = msgspec.structs.replace(ops[index], **fields)
    return msgspec.structs.replace(job, ops=ops)


def set_status(job: Job, index: int, status: str, result: Any = None) -> Job:
    """Move one opcode on, with the time stamps that belong to it."""
    op, stamp = job.ops[index], now()
    fields: dict[str, Any] = {"status": status}
    if status == WAITING and op.start_timestamp is None:
        fields["start_timestamp"] = stamp
    elif status == RUNNING:
        fields["exec_timestamp"] = stamp
    elif status in FINAL:
        fields |= {"result": result, "end_timestamp": stamp}
        if op.start_timestamp is None:
            fields["start_timestamp"] = stamp
    out = change_op(job, index, **fields)
    if status == WAITING and job.start_timestamp is None:
        out = msgspec.structs.replace(out, start_timestamp=stamp)
    return out


def end_job(job: Job, status: str, error: BaseException) -> Job:
    """End all opcodes that have not ended: the first with `error`, the rest because of it."""
    out, first = job, True
    result: Any = list(encode_error(error))
    for index, op in enumerate(job.ops):
        if op.status in FINAL:
            continue
        out = set_status(out, index, status, result)
        if first and status == ERROR:
            result = ["OpExecError", ["Preceding opcode failed"]]
        first = False
    return msgspec.structs.replace(out, end_timestamp=now(), held=[], process_id=None)
