"""OP_TEST_JQUEUE: a job that stands still where it is told to, so that a client can look at it.

Such a job makes a Unix socket, names it in its log, and goes on when the client that waits for
the job has connected and closed. Messages and test names are upstream 3.0's, as its
`gnt-debug test-jobqueue` expects them.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ganeti_kernel.errors import ECODE_ENVIRON, OpExecError, OpPrereqError
from ganeti_kernel.jobs.job import LOG_JQUEUE_TEST
from ganeti_kernel.jobs.opcodes import OpTestJqueue
from ganeti_kernel.jobs.operation import JobContext, Operation, Step, StepPlan, operation, step
from ganeti_kernel.jobs.sockets import short_address
from ganeti_kernel.paths import Paths

CONNECT_SECONDS: Final = 20.0
"""How long the job waits for the client to connect."""

CONFIRM_SECONDS: Final = 60.0
"""How long the client may then keep the connection."""

MESSAGE_PREFIX: Final = "TESTMSG="
"""What the log lines of `log_messages` begin with."""

WAITING: Final = "expandnames"
RUNNING: Final = "exec"
MESSAGES: Final = "startmsg"
MESSAGE: Final = "logmsg"
"""Where a job stands still; `MESSAGES` comes with how many there will be, `MESSAGE` with how many
there have been."""


@operation
class TestJqueue(Operation[OpTestJqueue]):
    """OP_TEST_JQUEUE: stand still where asked, log messages, and fail if asked to."""

    OPCODE = OpTestJqueue

    def while_waiting(self) -> None:
        if self.op.notify_waitlock:
            try:
                stand_still(self.context, WAITING)
            except OpExecError as error:
                raise OpPrereqError(str(error), ECODE_ENVIRON) from None

    def plan(self) -> Sequence[StepPlan]:
        args = {
            "stand_still": self.op.notify_exec,
            "messages": self.op.log_messages,
            "fail": self.op.fail,
        }
        return [StepPlan(name=TestQueue.NAME, args=args)]

    def result(self, outcomes: Sequence[Any]) -> bool:
        return True


@step
class TestQueue(Step):
    """Arguments: stand_still, messages, fail."""

    NAME = "test.queue"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> None:
        if args["stand_still"]:
            stand_still(context, RUNNING)
        messages = args["messages"]
        if messages:
            stand_still(context, MESSAGES, len(messages))
        for number, message in enumerate(messages, 1):
            context.log(f"{MESSAGE_PREFIX}{message}")
            stand_still(context, MESSAGE, number)
        if args["fail"]:
            raise OpExecError("Opcode failure was requested")

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        _path(context).unlink(missing_ok=True)


def stand_still(
    context: JobContext,
    where: str,
    argument: Any = None,
    *,
    connect: float = CONNECT_SECONDS,
    confirm: float = CONFIRM_SECONDS,
) -> None:
    """Wait until a client has connected to the socket that the log names, and closed.

    Raises OpExecError when none came within `connect` seconds, or it stays longer than `confirm`.
    """
    path = _path(context)
    path.unlink(missing_ok=True)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            old = os.umask(0o177)
            try:
                with short_address(path) as address:
                    listener.bind(address)
            finally:
                os.umask(old)
            listener.listen(1)
            context.tell(LOG_JQUEUE_TEST, [str(path), where, argument])
            listener.settimeout(connect)
            with listener.accept()[0] as client:
                _read_to_end(client, time.monotonic() + confirm)
    except TimeoutError:
        raise OpExecError(
            f"at {where}: no client connected to {path} within {connect:g} seconds, or it did not "
            f"close within {confirm:g}; this opcode is for gnt-debug test-jobqueue"
        ) from None
    except OSError as error:
        raise OpExecError(f"at {where}: socket {path}: {error}") from None
    finally:
        path.unlink(missing_ok=True)


def _read_to_end(client: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    while left > 0:
        client.settimeout(left)
        if not client.recv(1 << 10):  # what it says does not matter
            return
        left = deadline - time.monotonic()
    raise TimeoutError


def _path(context: JobContext) -> Path:
    return Paths.from_environment().socket_dir / f"test-{context.job_id}"
