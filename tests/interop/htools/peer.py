"""Run a program of ours and Debian's real one on the same input and compare what a user sees.

Ours runs in this process through `ganeti_allocators_htools.main.run` (a new interpreter per case
would cost more than the programs themselves) unless `as_process` is set; the peer always runs as
its own process. Both see the same file names, relative to the same directory. Nothing is cached.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

DEADLINE = 300  # seconds for one run of a peer, some take twenty on a quiet machine
PEER_BINARY = "/usr/lib/ganeti/3.0/usr/bin/htools"


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: str
    stderr: str


def require_peer() -> None:
    """Skip the calling test, saying why, where upstream's binary is not installed."""
    if not shutil.which(PEER_BINARY):
        pytest.skip(f"{PEER_BINARY} is not installed (Debian package ganeti-htools-3.0)")


def run_peer(program: str, arguments: Sequence[str], directory: Path, stdin: str = "") -> Outcome:
    environment = {"HTOOLS": program, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [PEER_BINARY, *arguments],
        cwd=directory,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def _inside(directory: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def run_ours(
    program: str, arguments: Sequence[str], directory: Path, *, as_process: bool = False
) -> Outcome:
    if as_process:
        done = subprocess.run(
            [str(Path(sys.executable).parent / program), *arguments],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)
    from ganeti_allocators_htools import main

    out, err = io.StringIO(), io.StringIO()
    with _inside(directory), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main.run(program, list(arguments))
    return Outcome(code, out.getvalue(), err.getvalue())


def assert_same(
    program: str,
    arguments: Sequence[str],
    directory: Path,
    *,
    files: Sequence[str] = (),
    as_process: bool = False,
) -> Outcome:
    """Same exit code, same standard output and same contents of the `files` both write."""
    peer = run_peer(program, arguments, directory)
    written = {name: _take(directory / name) for name in files}
    ours = run_ours(program, arguments, directory, as_process=as_process)
    shown = f"{program} {' '.join(arguments)}"
    assert ours.stdout == peer.stdout, f"{shown}\nstderr of ours: {ours.stderr}"
    assert ours.code == peer.code, f"{shown}: {ours.code}, peer {peer.code}\n{ours.stderr}"
    for name, text in written.items():
        assert _take(directory / name) == text, f"{shown}: file {name}"
    return ours


def _take(path: Path) -> str | None:
    """The text of a file, which is then removed; None where there is none."""
    if not path.exists():
        return None
    text = path.read_text()
    path.unlink()
    return text
