"""What an operation is: locks declared, prerequisites checked, steps planned.

An operation never changes anything itself. It plans steps, and each step can be repeated and
undone, so that whatever dies at whatever moment, the job ends definite:

- a failure or crash before the plan's pivot has ended: all steps that were begun, a begun pivot
  too, are undone in reverse order, the job fails with the reason, and nothing is left;
- a crash in a step that can be resumed: the step is done again, and the plan goes on;
- a failure or crash after the pivot has ended: there is no way back, so the remaining steps are
  carried on (a crash) or the job fails and says what is still to do (a failure).

A step is a class with a name and JSON arguments, not a closure, because the process that undoes it
may not be the one that planned it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from ganeti_kernel.objects.cluster import Node
from ganeti_kernel.objects.view import ConfigView

LEVELS = ("cluster", "instance", "nodegroup", "node", "node-res", "network")
"""Lock levels in the order in which they are taken (upstream 3.0)."""

ALL = "[lockset]"
"""The name that stands for every lock of a level."""


class Lock(msgspec.Struct, frozen=True, order=True):
    """A lock by level and name: instance locks by instance name, others by UUID."""

    level: str
    name: str
    exclusive: bool = False


class HookFailure(NamedTuple):
    """A hook script that failed; without a `script` the node could not run its hooks at all."""

    node: str
    script: str
    output: str


class Pick(msgspec.Struct, frozen=True):
    """Of these bundles of locks, those that are free: at least `least`, each whole or not at all.

    It is how a job takes nodes that are not busy, whichever they are (opportunistic locking).
    """

    bundles: list[list[Lock]]
    least: int = 1


class StepPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a plan as the journal keeps it. Once a pivot has ended there is no way back.

    `resume`: when the process dies in this step, the next one does it again instead of undoing
    it; for work that goes on by itself meanwhile. A step that fails is undone all the same.
    """

    name: str
    args: dict[str, Any] = {}
    pivot: bool = False
    resume: bool = False


class Reservations(Protocol):
    """Things that belong to this job until it ends, so that no other job takes them."""

    def reserve(self, kind: str, scope: str, value: str | None = None) -> str:
        """Reserve `value`, or the first free one. Raises ReservationError when it is taken.

        Kinds: "ip" (scope: network UUID), "mac" (scope: prefix), "instance" (scope ""),
        "port" (scope ""), "minor" (scope: node UUID).
        """


class NodeCalls(Protocol):
    """Calls to node daemons; blocking, each with the deadline of the call's table.

    Node and call are positional only: calls have arguments named `node`, `name` and `timeout`.
    """

    def call(self, node: Node, name: str, /, *, deadline: float | None = None, **args: Any) -> Any:
        """Return the result; raises RemoteError (names node and call) or the node's own error."""

    def call_many(
        self, nodes: Sequence[Node], name: str, /, *, deadline: float | None = None, **args: Any
    ) -> Mapping[str, Any]:
        """Return node UUID -> Result (`ok`, `value`, `error`); never raises for one node."""

    def call_each(
        self,
        questions: Sequence[tuple[Node, Mapping[str, Any]]],
        name: str,
        /,
        *,
        deadline: float | None = None,
    ) -> Mapping[str, Any]:
        """Like `call_many` with arguments of its own for each node."""


class JobContext(Protocol):
    """What an operation and its steps can use; given by the job process."""

    @property
    def job_id(self) -> int: ...

    @property
    def view(self) -> ConfigView:
        """The newest configuration this job knows; fresh after locks were granted."""

    def refresh(self) -> None:
        """Have the next look at `view` ask for what changed meanwhile."""

    @property
    def nodes(self) -> NodeCalls: ...

    @property
    def reservations(self) -> Reservations: ...

    @property
    def secrets(self) -> Mapping[str, Any]:
        """The opcode's secret OS parameters: in this process's memory only, never stored."""

    @property
    def held(self) -> Sequence[Lock]:
        """The locks that this opcode has been given."""

    def keep_locks(self, locks: Sequence[Lock]) -> None:
        """Give back all locks but these, of which each must be held: others may go on."""

    def update(self, change: Callable[[Any], None]) -> ConfigView:
        """Run `change(draft)` on a config Draft and commit it durably; returns the new view.

        On a conflict with another job the function is run again on the newer view.
        """

    def history(self, since: int) -> Sequence[Any]:
        """What made each configuration after serial number `since`, newest first
        (`config.history.Entry`); older ones may be gone."""

    def redistribute(self) -> Mapping[str, str]:
        """Have the configuration written anew on all nodes; those that failed, and why."""

    def log(self, message: str) -> None:
        """Tell the user something; it is kept in the job and streamed to who waits."""

    def warn(self, message: str) -> None:
        """Like `log`, marked as a warning."""

    def tell(self, kind: str, message: Any) -> None:
        """Put an entry of another type (`job.LOG_TYPES`) into the log, for a program to read."""

    def submit(self, jobs: Sequence[Sequence[Mapping[str, Any]]]) -> list[tuple[bool, Any]]:
        """Submit further jobs (opcode dicts); returns (ok, job id or error text) for each."""


class Step(ABC):
    """A named piece of work that can be repeated and undone."""

    NAME: ClassVar[str]
    ONCE: ClassVar[bool] = False
    """Whether a repetition could be noticed (a reboot): it is never done again. A job whose process
    dies in such a step ends with an error that says that the step may have been done."""

    @abstractmethod
    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        """Do it; done already is success. Returns a JSON value kept in the journal."""

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:  # noqa: B027 # optional
        """Undo it, also when it was only begun; nothing to undo is success."""


def tell_failures(context: JobContext, phase: str, failures: Iterable[HookFailure]) -> None:
    """Failed hooks as warnings."""
    for node, script, output in failures:
        if script:
            context.warn(f"{phase} hook {script} failed on node {node}: {output}")
        else:
            context.warn(f"{phase} hooks were not run on node {node}: {output}")


Op = TypeVar("Op", bound=msgspec.Struct)


class Operation(ABC, Generic[Op]):
    """What an opcode does. `OPCODE` is its struct; one object serves one execution."""

    OPCODE: ClassVar[type[Any]]
    HOOKS_PATH: ClassVar[str | None] = None
    OBJECT_TYPE: ClassVar[str] = "CLUSTER"
    KEPT: ClassVar[Mapping[str, Any]] = {}
    """Attributes that `check` sets and post hooks need, and their types: when the process dies,
    the one that carries on has no check to set them and gets them from the journal."""
    RETURNS_OUTCOME: ClassVar[bool] = False
    """Whether what the last step returned is the opcode's result; without it that is null."""

    def __init__(self, op: Op, context: JobContext) -> None:
        self.op = op
        self.context = context

    def locks(self) -> Sequence[Lock]:
        """Locks to hold, from the opcode and `context.view` (which may be stale: recheck)."""
        return ()

    def pick(self) -> Pick | None:
        """Locks of which to have what is free, besides `locks`; `context.held` tells which."""
        return None

    def while_waiting(self) -> None:
        """Called once, all locks held, while the opcode still counts as waiting; it may be said
        here, to a program that wants to know."""

    def check(self) -> None:
        """Raise OpPrereqError when the operation cannot start; changes nothing."""

    @abstractmethod
    def plan(self) -> Sequence[StepPlan]:
        """Return the steps; called after `check`, with all locks held. Changes nothing."""

    def result(self, outcomes: Sequence[Any]) -> Any:
        """Return the opcode's result from what the steps returned."""
        return outcomes[-1] if self.RETURNS_OUTCOME and outcomes else None

    def foreseen(self) -> Any:
        """The result of a dry run: what is known after `check`, without having done anything."""
        return None

    def hooks_environment(self) -> Mapping[str, str]:
        """Variables for hooks, without the GANETI_ prefix."""
        return {}

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        """Nodes on which pre and post hooks run; where `HOOKS_PATH` is none, there are no hooks."""
        return self.master, self.master

    def after_hooks(self, failures: Sequence[HookFailure], result: Any) -> Any:
        """Return the opcode's result once the post hooks have run; failures are warnings."""
        tell_failures(self.context, "post", failures)
        return result

    @property
    def master(self) -> Sequence[Node]:
        """The master node, as a list: where most hooks run."""
        master = self.context.view.master
        return [] if master is None else [master]

    def with_master(self, nodes: Iterable[Node]) -> Sequence[Node]:
        """The master and other nodes, each once."""
        return list({node.uuid: node for node in (*self.master, *nodes)}.values())


OPERATIONS: dict[str, type[Operation[Any]]] = {}
"""OP_ID -> operation; filled by `@operation`."""

STEPS: dict[str, type[Step]] = {}
"""Step name -> step; filled by `@step`."""

OperationClass = TypeVar("OperationClass", bound=type[Operation[Any]])
StepClass = TypeVar("StepClass", bound=type[Step])


def operation(cls: OperationClass) -> OperationClass:
    """Register an operation under its opcode's OP_ID (the struct's tag)."""
    OPERATIONS[str(cls.OPCODE.__struct_config__.tag)] = cls
    return cls


def step(cls: StepClass) -> StepClass:
    """Register a step under its name."""
    STEPS[cls.NAME] = cls
    return cls
