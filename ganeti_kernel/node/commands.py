"""What an administrator on the master has done on nodes: a command run, a file put.

Both calls are the master's alone (see `rpc.calls`), and a call that is repeated with the same
`ticket` is not carried out again: unlike other calls, a command is not idempotent.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import re
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

from ganeti_kernel.errors import CommandError, GenericError, ParameterError
from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.registry import node_call
from ganeti_kernel.plugins import process
from ganeti_kernel.rpc.results import CommandResult, FileEnd

MAX_COMMAND: Final = 128 << 10
MAX_OUTPUT: Final = 8 << 20
MAX_SECONDS: Final = 6 * 3600.0
MAX_PART: Final = 8 << 20
REMEMBERED: Final = 64
"""Tickets whose answers a node daemon keeps."""

_TICKET: Final = re.compile(r"[0-9a-f-]{8,64}")


class _Answers:
    """Answers by ticket; the oldest are forgotten."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, CommandResult] = OrderedDict()
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, ticket: str) -> CommandResult | None:
        """The answer of an earlier run; None: run it now. Refuses while it runs."""
        with self._lock:
            if ticket in self._running:
                raise GenericError("this command is running already")
            if ticket not in self._kept:
                self._running.add(ticket)
            return self._kept.get(ticket)

    def end(self, ticket: str, answer: CommandResult | None) -> None:
        with self._lock:
            self._running.discard(ticket)
            if answer is not None:
                self._kept[ticket] = answer
            while len(self._kept) > REMEMBERED:
                self._kept.popitem(last=False)


_answers = _Answers()


@node_call("command_run", subject=lambda _args: None)
def command_run(_context: NodeContext, ticket: str, command: str, seconds: float) -> CommandResult:
    """Run a command line with the shell, as root, for at most `seconds`.

    The output is what it printed, errors among it.
    """
    _check_ticket(ticket)
    if not command.strip() or len(command.encode()) > MAX_COMMAND:
        raise ParameterError(f"a command must have 1 to {MAX_COMMAND} bytes")
    if not 0 < seconds <= MAX_SECONDS:
        raise ParameterError(f"a command may take up to {MAX_SECONDS:g} seconds, not {seconds:g}")
    earlier = _answers.begin(ticket)
    if earlier is not None:
        return earlier
    answer = None
    try:
        done = process.run(
            ["/bin/sh", "-c", command], timeout=seconds, merge=True, limit=MAX_OUTPUT, cwd="/"
        )
        answer = CommandResult(code=done.code, output=done.output)
    except CommandError as error:
        raise GenericError(str(error)) from None
    finally:
        _answers.end(ticket, answer)
    return answer


@node_call("file_put", subject=lambda args: f"file {args['path']}")
def file_put(
    context: NodeContext,
    ticket: str,
    path: str,
    offset: int,
    content: str,
    end: FileEnd | None = None,
) -> None:
    """Take the part of a file (base64) that begins at `offset`; with `end` the file is whole.

    Only then it appears under its name, after its size and checksum were compared.
    """
    _check_ticket(ticket)
    if not path.startswith("/") or "\0" in path or len(path) > 4096 or path.endswith("/"):
        raise ParameterError(f"{path[:200]!r} is not an absolute path of a file")
    try:
        data = base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise ParameterError(f"a part of {path} is not base64: {error}") from None
    if len(data) > MAX_PART:
        raise ParameterError(f"a part of {path} has more than {MAX_PART >> 20} MiB")
    target = context.paths.under(path)
    part = target.with_name(f".{target.name[:150]}.{ticket}.part")
    try:
        _write_part(part, offset, data)
        if end is not None:
            _finish(part, target, end)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise GenericError(f"cannot write {path}: {error.strerror or error}") from None


def _check_ticket(ticket: str) -> None:
    if _TICKET.fullmatch(ticket) is None:
        raise ParameterError("the ticket must be a UUID")


def _write_part(part: Path, offset: int, data: bytes) -> None:
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with open(handle, "wb") as stream:
        if os.fstat(handle).st_size < offset:
            raise GenericError(f"the part at {offset} came before the one in front of it")
        stream.seek(offset)
        stream.write(data)
        stream.truncate()


def _finish(part: Path, target: Path, end: FileEnd) -> None:
    digest = hashlib.sha256()
    with part.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
        os.fsync(stream.fileno())
    if digest.hexdigest() != end.sha256:
        part.unlink()
        raise GenericError(f"{target} arrived with another checksum; nothing was changed")
    part.chmod(end.mode & 0o7777)
    os.chown(part, end.uid, end.gid)
    os.utime(part, (end.mtime, end.mtime))
    part.replace(target)
