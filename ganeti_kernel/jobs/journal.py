"""The journal of a job: what was planned, begun, done and undone, and what follows from that.

One entry is a small JSON object; entries are numbered through the whole job. The journal is what a
recovery process reads after the job's own process died, so each entry is durable before the thing
it announces is begun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ganeti_kernel.jobs.operation import StepPlan


class HookFacts(msgspec.Struct, frozen=True):
    """What post hooks need of the time before: the operation's own variables of the pre phase, and
    its attributes `Operation.KEPT`."""

    before: dict[str, str]
    kept: dict[str, Any]


class Planned(msgspec.Struct, frozen=True, tag="plan", tag_field="kind"):
    """The steps of opcode `op`; nothing was changed before. `hooks`: none for one without hooks."""

    op: int
    steps: list[StepPlan]
    hooks: HookFacts | None = None


class Begun(msgspec.Struct, frozen=True, tag="begin", tag_field="kind"):
    op: int
    step: int


class Ended(msgspec.Struct, frozen=True, tag="end", tag_field="kind"):
    op: int
    step: int
    outcome: Any = None


class Worked(msgspec.Struct, frozen=True, tag="worked", tag_field="kind"):
    """All steps have ended, and post hooks begin: from here on there is no way back."""

    op: int


class Failed(msgspec.Struct, frozen=True, tag="fail", tag_field="kind"):
    """The opcode will fail with `error` ([class, arguments]); from here on steps are undone.

    `status`: the final status, "error" or "canceled".
    """

    op: int
    error: list[Any]
    status: str = "error"


class Undone(msgspec.Struct, frozen=True, tag="undo", tag_field="kind"):
    """A step was undone, or `problem` says why not."""

    op: int
    step: int
    problem: str | None = None


Entry = Planned | Begun | Ended | Worked | Failed | Undone

_decoder = msgspec.json.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    return msgspec.json.encode(entry)


def decode_entry(value: bytes) -> Entry:
    """Raises msgspec.ValidationError for what is no entry."""
    entry: Entry = _decoder.decode(value)
    return entry


@dataclass(slots=True)
class Progress:
    """How far one opcode has come."""

    steps: list[StepPlan] = field(default_factory=list)
    planned: bool = False
    hooks: HookFacts | None = None
    worked: bool = False
    begun: set[int] = field(default_factory=set)
    outcomes: dict[int, Any] = field(default_factory=dict)
    undone: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    failure: Failed | None = None

    @property
    def past_pivot(self) -> bool:
        """A pivot has ended, or all steps: only forward from here."""
        return self.worked or any(self.steps[index].pivot for index in self.outcomes)

    @property
    def next_step(self) -> int | None:
        """The first step that has not ended."""
        return next((i for i in range(len(self.steps)) if i not in self.outcomes), None)

    @property
    def interrupted(self) -> str | None:
        """Name of the step that was begun and has not ended."""
        index = self.next_step
        return self.steps[index].name if index is not None and index in self.begun else None

    @property
    def can_resume(self) -> bool:
        """The interrupted step is one to be done again."""
        index = self.next_step
        return index is not None and index in self.begun and self.steps[index].resume

    def to_undo(self) -> list[int]:
        """Steps to undo, last first: all that were begun and are not undone."""
        return sorted(self.begun - self.undone, reverse=True)

    def apply(self, entry: Entry) -> None:
        match entry:
            case Planned():
                self.steps, self.planned = list(entry.steps), True
                self.hooks = entry.hooks
            case Begun():
                self.begun.add(entry.step)
            case Ended():
                self.outcomes[entry.step] = entry.outcome
            case Worked():
                self.worked = True
            case Failed():
                self.failure = entry
            case Undone():
                self.undone.add(entry.step)
                if entry.problem:
                    self.problems.append(entry.problem)


def progress(entries: Sequence[Entry], op: int) -> Progress:
    """What the journal says of one opcode."""
    out = Progress()
    for entry in entries:
        if entry.op == op:
            out.apply(entry)
    return out
