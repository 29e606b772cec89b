"""Commands recorded on a cluster of upstream 3.0, repeated on our master daemon.

The daemon has the configuration that the recorded cluster had, so the commands, upstream's own and
ours, must print what was recorded.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ganeti_kernel.config import datafile

if TYPE_CHECKING:
    from tests.conftest import Master

RECORDED = Path(__file__).parents[1] / "data" / "upstream"
SILENT = {"e_unknown_net.txt", "e_unknown_node.txt"}
"""Upstream says nothing about a name that does not exist; our commands do, and fail."""

UPSTREAM = Path("/usr/sbin")
OURS = Path(sys.executable).parent


def recordings() -> list[Path]:
    return sorted((RECORDED / "cli").glob("*.txt"))


def read(recording: Path) -> tuple[list[str], int, str, str]:
    """Command, exit code, standard output, standard error."""
    command, _, rest = recording.read_text().partition("\n")
    status, _, rest = rest.partition("\n--- stdout\n")
    stdout, _, stderr = rest.partition("--- stderr\n")
    code = int(status.removeprefix("[rc=").partition("]")[0])
    return shlex.split(command.removeprefix("$ ")), code, stdout, stderr


def run(programs: Path, master: Master, command: list[str]) -> tuple[int, str, str]:
    environment = {
        name: value for name, value in master.environment.items() if not name.startswith("PYTHON")
    }
    done = subprocess.run(
        [programs / command[0], *command[1:]],
        env=environment | {"PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.defpath}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.rstrip(), done.stderr.rstrip()


ALONE = ("--no-voting", "--yes-do-it")
"""The other nodes of the recorded cluster are not there to say who the master is."""


@pytest.fixture
def recorded_master(ganeti_root: Path, masters: Callable[..., Any]) -> Any:
    """Its directory is named as upstream's programs want it."""
    view = datafile.parse((RECORDED / "config/config.data.rich1.json").read_bytes())
    return masters(ganeti_root / "node1.example.com", ALONE, view=view)


def test_there_are_recordings() -> None:
    assert len(recordings()) >= 13


@pytest.mark.peer
@pytest.mark.skipif(
    not Path("/usr/share/ganeti/3.0").is_dir(), reason="Debian's ganeti is not installed"
)
def test_upstreams_commands_print_what_was_recorded(recorded_master: Master) -> None:
    assert differences(UPSTREAM, recorded_master) == {}


def test_our_commands_print_what_was_recorded(recorded_master: Master) -> None:
    found = differences(OURS, recorded_master)
    for name in SILENT:
        (code, _stdout, stderr), _recorded = found.pop(name)
        assert code == 1
        assert "not found" in stderr
    assert found == {}


def differences(programs: Path, master: Master) -> dict[str, Any]:
    """Recording -> (answer, recorded answer), of those that differ.

    A program or command that is not there yet is left out.
    """
    out = {}
    for recording in recordings():
        command, code, stdout, stderr = read(recording)
        if (programs / command[0]).exists():
            expected = (code, stdout.rstrip(), stderr.rstrip())
            answer = run(programs, master, command)
            if answer != expected and "there is no command" not in answer[2]:
                out[recording.name] = (answer, expected)
    return out
