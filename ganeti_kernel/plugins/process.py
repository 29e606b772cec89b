"""Running outside programs: with a deadline, bounded output, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganeti_kernel.errors import CommandError

MAX_OUTPUT = 1 << 20
"""Bytes of output that are kept; a program that prints more is stopped."""

KILL_GRACE = 3.0
"""Seconds between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended. `output` is stdout (with stderr when merged), `errors` stderr."""

    argv: tuple[str, ...]
    code: int
    output: str
    errors: str

    def tail(self, lines: int = 20) -> str:
        """The last lines of what it said, stderr first choice."""
        text = self.errors.strip() or self.output.strip()
        return "\n".join(text.splitlines()[-lines:])


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    stdin: bytes | None = None,
    merge: bool = False,
    limit: int = MAX_OUTPUT,
) -> Finished:
    """Run a program to its end.

    `env` None: this process's environment with LC_ALL=C. A program that outlives `timeout`
    seconds or prints over `limit` bytes is ended with its whole process group. Raises
    CommandError for that and for a program that cannot be started; a non-zero exit is returned,
    not raised.
    """
    environment = dict(os.environ) | {"LC_ALL": "C"} if env is None else dict(env)
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            env=environment,
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(f"cannot run {argv[0]}: {error.strerror or error}") from error
    try:
        out, err = _communicate(process, stdin, time.monotonic() + timeout, limit)
    except _TooMuch:
        raise CommandError(f"{argv[0]} printed more than {limit} bytes and was stopped") from None
    except TimeoutError:
        raise CommandError(
            f"{argv[0]} did not end within {timeout:g} seconds and was stopped"
        ) from None
    finally:
        _end(process)
    return Finished(tuple(argv), process.returncode, _text(out), _text(err))


def check(argv: Sequence[str], *, timeout: float, **options: object) -> Finished:
    """Like `run`, but raises CommandError with the program's last words on a non-zero exit."""
    finished = run(argv, timeout=timeout, **options)  # type: ignore[arg-type] # passed through
    if finished.code:
        how = f"exit code {finished.code}" if finished.code > 0 else f"signal {-finished.code}"
        raise CommandError(f"{argv[0]} failed ({how}): {finished.tail() or 'no output'}")
    return finished


class _TooMuch(Exception):
    pass


def _communicate(
    process: subprocess.Popen[bytes], stdin: bytes | None, deadline: float, limit: int
) -> tuple[bytes, bytes]:
    chunks: dict[int, list[bytes]] = {}
    total = 0
    pending = memoryview(stdin or b"")
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                chunks[stream.fileno()] = []
                selector.register(stream.fileno(), selectors.EVENT_READ)
        feed_fd = -1
        if process.stdin is not None:
            feed_fd = process.stdin.fileno()
            os.set_blocking(feed_fd, False)
            selector.register(feed_fd, selectors.EVENT_WRITE)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _mask in selector.select(left):
                if key.fd == feed_fd:
                    pending = _feed(key.fd, pending)
                    if not pending and process.stdin is not None:
                        selector.unregister(key.fd)
                        with contextlib.suppress(BrokenPipeError):
                            process.stdin.close()
                    continue
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fd)
                    continue
                total += len(data)
                if total > limit:
                    raise _TooMuch
                chunks[key.fd].append(data)
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    out, err, *_ = [*(b"".join(parts) for parts in chunks.values()), b""]
    return out, err


def _feed(fd: int, pending: memoryview) -> memoryview:
    try:
        return pending[os.write(fd, pending[:65536]) :]
    except BrokenPipeError:
        return pending[:0]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process group: children that a script left behind must not survive it."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None and not _group_alive(process.pid):
            break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILL_GRACE)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
