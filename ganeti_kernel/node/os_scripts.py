"""Running the scripts of OS definitions: with a log, a deadline, and one at a time per instance.

A script inherits a locked file. As long as it or a child of it lives, the lock is held, even if
the node daemon was killed meanwhile: so a repeated call finds what was left over and ends it
before it starts anew, and two scripts never write to one disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from ganeti_kernel.errors import OpExecError
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins.process import KILL_GRACE

log = logging.getLogger(__name__)

MAX_LOG_BYTES: Final = 32 << 20
"""A script that prints more than this is stopped."""

TAIL_LINES: Final = 20
HIDDEN: Final = "<hidden>"
MAX_LINE: Final = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptJob:
    """A script to run for an instance.

    `kind` is "add", "rename", "import" or "export" and names the log file together with `os_name`
    and `instance`; `component` too, when there is one. `secrets` are values that must not get
    into the log or an error; `timeout` is in seconds.
    """

    script: Path
    kind: str
    os_name: str
    instance: str
    env: Mapping[str, str]
    timeout: float
    component: str = ""
    secrets: Sequence[str] = ()


def run_script(
    paths: Paths,
    job: ScriptJob,
    *,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    size_fd: int | None = None,
) -> Path:
    """Run a script to its end and return its log file.

    `stdin` and `stdout` carry the data of import and export; otherwise stdin is empty and stdout
    is logged like stderr. `size_fd` is handed to the script as EXP_SIZE_FD. Raises OpExecError
    with the log's last lines when it fails, does not end in time, or prints too much.
    """
    log_file = _log_file(paths, job)
    env = dict(job.env)
    with _claim(paths, job.instance) as lock, _open_log(log_file) as sink:
        inherited = [lock]
        if size_fd is not None:
            env["EXP_SIZE_FD"] = str(size_fd)
            inherited.append(size_fd)
        try:
            process = subprocess.Popen(
                [str(job.script)],
                stdin=stdin if stdin is not None else subprocess.DEVNULL,
                stdout=stdout if stdout is not None else subprocess.PIPE,
                stderr=subprocess.STDOUT if stdout is None else subprocess.PIPE,
                env=env,
                cwd=job.script.parent,
                start_new_session=True,
                pass_fds=inherited,
                umask=0o077,
            )
        except OSError as error:
            raise OpExecError(f"cannot run {job.script}: {error.strerror or error}") from None
        output = process.stdout if stdout is None else process.stderr
        assert output is not None
        try:
            trouble = _follow(process, output, sink, job)
        finally:
            _end_group(process)
            output.close()
            # A daemon that the script left behind may hold the lock: the next call takes a new one.
            _lock_file(paths, job.instance).unlink(missing_ok=True)
    if trouble is None and process.returncode == 0:
        return log_file
    if trouble is None:
        code = process.returncode
        trouble = f"failed with exit code {code}" if code >= 0 else f"was ended by signal {-code}"
    raise OpExecError(
        f"script {job.script.name} of OS {job.os_name} for {job.instance} {trouble}; "
        f"last lines of {log_file}:\n{_tail(log_file) or '(nothing)'}"
    )


def end_leftovers(paths: Paths, instance: str) -> None:
    """End whatever script still works for the instance; none is success.

    Raises OpExecError when it cannot be ended.
    """
    path = _lock_file(paths, instance)
    if path.exists():
        with _claim(paths, instance):
            path.unlink(missing_ok=True)


def scrub(line: bytes, secrets: Sequence[bytes]) -> bytes:
    """Replace every secret value in a line; the longest first, as one may begin another."""
    for secret in sorted(secrets, key=len, reverse=True):
        if secret:
            line = line.replace(secret, HIDDEN.encode())
    return line


# -- the lock --------------------------------------------------------------------------------------


def _lock_file(paths: Paths, instance: str) -> Path:
    return paths.run_dir / "os-scripts" / f"{_plain(instance)}.lock"


@contextlib.contextmanager
def _claim(paths: Paths, instance: str) -> Iterator[int]:
    """Hold the instance's lock, ending what holds it; gives the descriptor to inherit."""
    path = _lock_file(paths, instance)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _try_lock(lock):
            _end_holders(lock, instance)
        yield lock
    finally:
        os.close(lock)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_holders(lock: int, instance: str) -> None:
    log.warning("ending the script that still works for %s", instance)
    begun = time.monotonic()
    while not _try_lock(lock):
        holders = list(_holders(lock))
        waited = time.monotonic() - begun
        if waited > 4 * KILL_GRACE:
            raise OpExecError(
                f"a script still works for {instance} and cannot be ended (processes "
                f"{', '.join(str(pid) for pid in holders) or 'unknown'}); end it by hand"
            )
        for pid in holders:
            with contextlib.suppress(ProcessLookupError):
                _signal(os.getpgid(pid), signal.SIGTERM if waited < KILL_GRACE else signal.SIGKILL)
        time.sleep(0.05)


def _holders(lock: int) -> Iterator[int]:
    """Other processes that have the lock's file open.

    A process id written down somewhere could be missing (the daemon died between two lines) or
    belong to somebody else by now; an open file cannot.
    """
    wanted = os.fstat(lock)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # the process has just gone
            if any(_same(wanted, item) for item in (entry / "fd").iterdir()):
                yield int(entry.name)


def _same(wanted: os.stat_result, item: Path) -> bool:
    try:
        return os.path.samestat(wanted, item.stat())
    except OSError:
        return False


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """TERM, some patience, KILL: for what the script left running, and the script itself."""
    ends = time.monotonic() + KILL_GRACE
    process.poll()
    while _signal(process.pid, signal.SIGTERM) and time.monotonic() < ends:
        time.sleep(0.02)
        process.poll()
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, sign: signal.Signals) -> bool:
    """Send a signal to a process group; say whether there was one."""
    if group <= 1 or group == os.getpgrp():
        return False
    try:
        os.killpg(group, sign)
    except (ProcessLookupError, PermissionError):
        return False
    return True


# -- the log ---------------------------------------------------------------------------------------


def _follow(
    process: subprocess.Popen[bytes], output: IO[bytes], sink: IO[bytes], job: ScriptJob
) -> str | None:
    """Copy the script's words to the log until it ends; return what went wrong on our side."""
    ends = time.monotonic() + job.timeout
    secrets = [value.encode() for value in job.secrets]
    pending, total = b"", 0
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            left = ends - time.monotonic()
            if left <= 0:
                sink.write(scrub(pending, secrets))
                return f"did not end within {job.timeout:g} seconds and was stopped"
            if not selector.select(min(left, 0.5)):
                if process.poll() is not None:
                    break  # a child in the background holds the pipe; the script itself is done
                continue
            data = os.read(output.fileno(), 65536)
            if not data:
                break
            total += len(data)
            if total > MAX_LOG_BYTES:
                return f"printed more than {MAX_LOG_BYTES >> 20} MiB and was stopped"
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                sink.write(scrub(line, secrets) + b"\n")
            if len(pending) > MAX_LINE:
                sink.write(scrub(pending, secrets))
                pending = b""
            sink.flush()
    sink.write(scrub(pending, secrets))
    sink.flush()
    try:
        process.wait(max(0.0, ends - time.monotonic()))
    except subprocess.TimeoutExpired:
        return f"did not end within {job.timeout:g} seconds and was stopped"
    return None


def _log_file(paths: Paths, job: ScriptJob) -> Path:
    stamp = time.strftime("%Y-%m-%d_%H_%M_%S")
    parts = [job.kind, _plain(job.os_name), _plain(job.instance)]
    if job.component:
        parts.append(_plain(job.component))
    return paths.log_dir / "os" / f"{'-'.join([*parts, stamp])}.log"


def _open_log(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")
    except OSError as error:
        raise OpExecError(f"cannot write {path}: {error.strerror}") from None


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8192))
        text = file.read().decode("utf-8", "replace").strip()
    return "\n".join(text.splitlines()[-TAIL_LINES:])


def _plain(text: str) -> str:
    """A text as part of a file name."""
    return text.replace("/", "_").replace("\0", "_")
