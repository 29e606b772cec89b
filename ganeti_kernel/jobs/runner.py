"""The job process: runs a job's opcodes one after the other, each step journalled.

Before a step is begun the journal says so; after it, what it returned. When a step fails, all
steps that were begun are undone, last first. When this process dies, another one is started with
`recover`: it reads the journal and undoes or, in a pivot or past it, carries on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import (
    GenericError,
    JobCanceled,
    JobLost,
    OpExecError,
    RemoteError,
    encode_error,
)
from ganeti_kernel.jobs.channel import Channel
from ganeti_kernel.jobs.context import ProcessContext
from ganeti_kernel.jobs.hooks import Hooks
from ganeti_kernel.jobs.job import CANCELED, CANCELING, ERROR, FINAL, RUNNING, SUCCESS, Job
from ganeti_kernel.jobs.journal import (
    Begun,
    Ended,
    Entry,
    Failed,
    Planned,
    Progress,
    Undone,
    Worked,
    progress,
)
from ganeti_kernel.jobs.livelock import livelock_path
from ganeti_kernel.jobs.opcodes import decode_opcode
from ganeti_kernel.jobs.operation import OPERATIONS, STEPS, Lock, NodeCalls, Operation, Step
from ganeti_kernel.jobs.patience import patiently
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.paths import Paths

log = logging.getLogger(__name__)

LOCK_ROUNDS: Final = 10
"""How often the locks an operation needs may change between asking and getting them."""


class JobStart(msgspec.Struct, frozen=True):
    """What a job process is started with. `recover`: its predecessor died, for this `reason`.

    `serial` is that of the newest configuration.
    """

    job: int
    recover: bool = False
    reason: str = ""
    serial: int = 0


def run_job(
    start: JobStart,
    paths: Paths,
    factory: Callable[[Paths], NodeCalls],
    view: ConfigView | None = None,
) -> int:
    """Run a job to its end; returns the process's exit code. `view`: an earlier configuration."""
    _log_to_file(paths)
    livelock = livelock_path(paths, start.job)
    channel = Channel(paths.job_socket, start.job, ended=lambda: not livelock.exists())
    nodes = factory(paths)
    try:
        hello = channel.hello()
        if hasattr(nodes, "epoch"):
            nodes.epoch = hello["epoch"]
        runner = JobRunner(channel, nodes, hello, view)
        runner.run(start.reason if start.recover else None)
    except JobLost as error:
        log.error("job %d: %s", start.job, error)
        return 1
    finally:
        channel.close()
        close = getattr(nodes, "close", None)
        if close is not None:
            close()
    return 0


class OpFailed(Exception):
    """An opcode came to an end other than success; everything is told and journalled."""


class JobRunner:
    """Runs one job over one channel."""

    def __init__(
        self,
        channel: Channel,
        nodes: NodeCalls,
        hello: Mapping[str, Any],
        view: ConfigView | None = None,
    ) -> None:
        self._channel = channel
        self._job = msgspec.convert(hello["job"], Job)
        self._journal = msgspec.convert(hello["journal"], list[Entry])
        self._secrets = dict(msgspec.convert(hello["secrets"], list[tuple[int, dict[str, Any]]]))
        self._context = ProcessContext(self._job.id, channel, nodes, view)
        self._context.held = self._job.held

    def run(self, lost: str | None = None) -> None:
        """Run what has not ended. `lost`: why the predecessor of this process ended."""
        for index, op in enumerate(self._job.ops):
            if op.status in FINAL:
                continue
            self._context.op_index = index
            self._context.secrets = self._secrets.get(index, {})
            try:
                if lost is not None:
                    self._recover(index, lost)
                    lost = None
                else:
                    self._execute(index)
            except OpFailed:
                return  # the master daemon has ended the opcodes behind it

    # -- one opcode ----------------------------------------------------------------------------

    def _execute(self, index: int) -> None:
        state = Progress()
        try:
            operation = self._prepare(index)
            hooks = Hooks(operation, self._context)
            operation.while_waiting()
            if self._channel.call("status", op=index, status=RUNNING):
                raise JobCanceled("Job canceled by request")
            operation.check()
            dry_run = bool(getattr(operation.op, "dry_run", False))
            if dry_run:
                result = operation.foreseen()
            else:
                hooks.pre()
                self._note(state, self._planned(index, operation, hooks))
                result = self._work(index, operation, hooks, state)
        except Exception as error:  # whatever it was, what was begun must be undone
            self._fail(index, state, error)
            raise OpFailed from None
        self._tell(index, SUCCESS, result)

    def _work(self, index: int, operation: Operation[Any], hooks: Hooks, state: Progress) -> Any:
        """Do the steps that have not ended, then the post hooks; returns the opcode's result.

        Post hooks that were begun belong to an opcode that ends well, so they are announced.
        """
        self._forward(index, state)
        result = operation.result([state.outcomes[number] for number in range(len(state.steps))])
        if state.hooks is None:
            if operation.HOOKS_PATH is not None:
                self._context.warn("an earlier version began this job; post hooks are not run")
            return result
        if not state.worked:
            self._note(state, Worked(index))
        return self._post_hooks(hooks, operation, result)

    def _post_hooks(self, hooks: Hooks, operation: Operation[Any], result: Any) -> Any:
        """Run the post hooks; returns the opcode's result."""
        try:
            return operation.after_hooks(hooks.post(), result)
        except JobLost:
            raise
        except Exception as error:  # the work is done; a hook must not have it undone
            log.exception("job %d: post hooks", self._job.id)
            self._context.warn(f"post hooks could not be run: {error}")
            return result

    def _prepare(self, index: int) -> Operation[Any]:
        """Make the operation and get its locks; they are asked anew if the view changed them."""
        value = self._job.ops[index].input
        op = decode_opcode(value)
        cls = OPERATIONS.get(value["OP_ID"])
        if cls is None:
            raise OpExecError(f"{value['OP_ID']} is not supported by this version")
        self._context.refresh()
        operation = cls(op, self._context)
        wanted = _wishes(operation)
        for _ in range(LOCK_ROUNDS):
            asked = wanted
            held = self._channel.call("acquire", op=index, **asked)
            self._context.held = msgspec.convert(held, list[Lock])
            self._context.refresh()
            operation = cls(op, self._context)
            wanted = _wishes(operation)
            if wanted == asked:
                return operation
            self._channel.call("release")
        raise OpExecError(
            f"the locks for {value['OP_ID']} changed {LOCK_ROUNDS} times while it waited for them"
        )

    def _planned(self, index: int, operation: Operation[Any], hooks: Hooks) -> Planned:
        steps = list(operation.plan())
        for item in steps:
            _step(item.name)
        return Planned(index, steps, hooks.facts())

    def _forward(self, index: int, state: Progress) -> None:
        """Do the steps that have not ended."""
        while (number := state.next_step) is not None:
            plan = state.steps[number]
            resumed = number in state.begun
            canceled = self._note(state, Begun(index, number))
            if canceled and not state.past_pivot and not resumed:
                state.begun.discard(number)  # announced, but never begun
                raise JobCanceled("Job canceled by request")
            try:
                do = partial(_step(plan.name).do, self._context, plan.args)
                patient = state.past_pivot or resumed
                outcome = patiently(do) if patient else _certainly(do) if plan.resume else do()
            except Exception as error:
                raise _at_step(plan.name, error) from error
            self._note(state, Ended(index, number, outcome))

    # -- failure and recovery ------------------------------------------------------------------

    def _fail(self, index: int, state: Progress, error: Exception) -> None:
        """Undo what was begun and end the opcode with the reason."""
        if isinstance(error, JobLost):
            raise error
        if not isinstance(error, GenericError):
            log.exception("job %d: defect in opcode %d", self._job.id, index)
        status = CANCELED if isinstance(error, JobCanceled) else ERROR
        if state.past_pivot:
            error = OpExecError(f"{error}; {_still_to_do(state)}")
            self._tell(index, ERROR, encode_error(error))
            return
        if state.planned:
            self._note(state, Failed(index, list(encode_error(error)), status))
            self._undo(index, state)
        self._tell(index, status, _reason(encode_error(error), state))

    def _undo(self, index: int, state: Progress) -> None:
        for number in state.to_undo():
            plan = state.steps[number]
            problem = None
            try:
                undo = partial(_step(plan.name).undo, self._context, plan.args)
                patiently(undo)
            except JobLost:
                raise
            except Exception as error:  # one step that cannot be undone must not keep the others
                log.exception("job %d: cannot undo step %s", self._job.id, plan.name)
                problem = f"step {plan.name} could not be undone: {error}"
                self._context.warn(problem)
            self._note(state, Undone(index, number, problem))

    def _recover(self, index: int, lost: str) -> None:
        """End the opcode that the predecessor of this process was at."""
        state = progress(self._journal, index)
        op = self._job.ops[index]
        if state.failure is None and (state.past_pivot or state.can_resume):
            self._context.log(f"{lost}; carrying on {_from_where(state)}")
            self._carry_on(index, state)
            return
        if state.failure is not None:
            status, error = state.failure.status, (state.failure.error[0], state.failure.error[1])
        elif op.status == CANCELING or self._job.cancel:
            status, error = CANCELED, encode_error(JobCanceled(f"Job canceled by request; {lost}"))
        else:
            status, error = ERROR, encode_error(OpExecError(_where(state, lost)))
        if state.planned:
            if state.failure is None:
                self._note(state, Failed(index, list(error), status))
            self._undo(index, state)
        self._tell(index, status, _reason(error, state))
        raise OpFailed

    def _carry_on(self, index: int, state: Progress) -> None:
        try:
            cls = OPERATIONS[self._job.ops[index].input["OP_ID"]]
            operation = cls(decode_opcode(self._job.ops[index].input), self._context)
            hooks = Hooks(operation, self._context)
            if state.hooks is not None:
                hooks.restore(state.hooks)
            result = self._work(index, operation, hooks, state)
        except Exception as error:  # as in _execute
            self._fail(index, state, error)
            raise OpFailed from None
        self._tell(index, SUCCESS, result)

    # -- telling -------------------------------------------------------------------------------

    def _note(self, state: Progress, entry: Entry) -> bool:
        """Journal an entry; returns whether somebody wants the job cancelled."""
        canceled = bool(self._channel.call("journal", entries=[entry]))
        state.apply(entry)
        return canceled

    def _tell(self, index: int, status: str, result: Any) -> None:
        try:
            self._channel.call("status", op=index, status=status, result=result)
        except JobLost:
            raise
        except GenericError as error:  # the result cannot be kept; the status must be
            self._channel.call("status", op=index, status=status, result=list(encode_error(error)))


def _wishes(operation: Operation[Any]) -> dict[str, Any]:
    """The locks that an operation wants, as an "acquire" takes them."""
    return {"locks": sorted(set(operation.locks())), "pick": operation.pick()}


def _step(name: str) -> Step:
    cls = STEPS.get(name)
    if cls is None:
        raise OpExecError(f"step {name} is not known to this version")
    return cls()


def _certainly(do: Callable[[], Any]) -> Any:
    """Do what can be resumed; when a node's answer was lost, do it again: it may have been done."""
    try:
        return do()
    except RemoteError as error:
        if not error.uncertain:
            raise
    return patiently(do)


def _at_step(name: str, error: Exception) -> GenericError:
    """The error with the step's name in its text."""
    if isinstance(error, JobLost | JobCanceled):
        return error
    kind, arguments = encode_error(error)
    text = f"step {name}: {arguments[0] if arguments else kind}"
    if isinstance(error, GenericError) and arguments and isinstance(arguments[0], str):
        return type(error)(text, *arguments[1:])
    return OpExecError(text)


def _where(state: Progress, lost: str) -> str:
    step = state.interrupted
    if step is not None and step in STEPS and STEPS[step].ONCE:
        return f"{lost} during step {step}, which may have been done: look before you repeat it"
    if step is not None:
        return f"{lost} during step {step}; what the job had begun was undone"
    if state.outcomes:
        return f"{lost} after step {_last_ended(state)}; what the job had begun was undone"
    return f"{lost} before its first step; nothing was changed"


def _from_where(state: Progress) -> str:
    return (
        f"with step {state.interrupted}" if state.can_resume else f"after step {_last_ended(state)}"
    )


def _last_ended(state: Progress) -> str:
    return state.steps[max(state.outcomes)].name if state.outcomes else "none"


def _still_to_do(state: Progress) -> str:
    names = [plan.name for i, plan in enumerate(state.steps) if i not in state.outcomes]
    if not names:
        return "all steps were done"
    return f"it cannot be undone any more; still to do: {', '.join(names)}"


def _reason(error: tuple[str, list[Any]], state: Progress) -> list[Any]:
    """The error as it is kept, with what could not be undone."""
    name, arguments = error
    if state.problems and arguments and isinstance(arguments[0], str):
        arguments = [f"{arguments[0]}; {'; '.join(state.problems)}", *arguments[1:]]
    return [name, arguments]


def _log_to_file(paths: Paths) -> None:
    """Job processes share one log file; each line is one write."""
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    try:
        handler: logging.Handler = logging.FileHandler(paths.log_dir / "jobs.log")
    except OSError:
        handler = logging.StreamHandler()
    handler.setFormatter(
        logging.Formatter("%(asctime)s: ganeti-job pid=%(process)d %(levelname)s %(message)s")
    )
    root.addHandler(handler)
    root.setLevel(logging.INFO)
