"""Which restricted commands are run, and what those learn who ask for others."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ganeti_kernel.errors import OpExecError
from ganeti_kernel.node import restricted
from ganeti_kernel.node.restricted import Refused, check, restricted_command
from ganeti_kernel.paths import Paths
from tests.unit.node.conftest import NodeParts


def allow(paths: Paths, name: str, body: str = "echo done") -> Path:
    """Switch restricted commands on and install one."""
    paths.restricted_dir.mkdir(parents=True, exist_ok=True)
    paths.restricted_dir.chmod(0o755)
    paths.restricted_switch.touch()
    paths.restricted_switch.chmod(0o644)
    script = paths.restricted_dir / name
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return script


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long those waited who were refused."""
    slept: list[float] = []
    monkeypatch.setattr("ganeti_kernel.node.restricted.sleep", slept.append)
    return slept


def test_an_allowed_command_runs_alone(node: NodeParts, naps: list[float]) -> None:
    allow(node.paths, "look", 'echo "$# $(pwd) [$HOME$LC_ALL]"; echo err >&2')
    assert restricted_command(node.context, "look") == "0 / []\nerr\n"
    assert naps == []


def test_a_failing_command_is_an_error_with_its_words(node: NodeParts, naps: list[float]) -> None:
    allow(node.paths, "bad", "echo no disk; exit 3")
    with pytest.raises(OpExecError, match=r"'bad' failed with exit code 3: no disk"):
        restricted_command(node.context, "bad")
    allow(node.paths, "loud", "head -c 2000000 /dev/zero")
    with pytest.raises(OpExecError, match=r"'loud' failed: .*printed more than 1048576 bytes"):
        restricted_command(node.context, "loud")
    assert naps == []


def _switch_off(paths: Paths) -> None:
    paths.restricted_switch.unlink()


def _open_switch(paths: Paths) -> None:
    paths.restricted_switch.chmod(0o666)


def _open_folder(paths: Paths) -> None:
    paths.restricted_dir.chmod(0o775)


def _open_command(paths: Paths) -> None:
    (paths.restricted_dir / "look").chmod(0o757)


def _set_uid(paths: Paths) -> None:
    (paths.restricted_dir / "look").chmod(0o4755)


def _not_executable(paths: Paths) -> None:
    (paths.restricted_dir / "look").chmod(0o644)


def _link(paths: Paths) -> None:
    target = paths.restricted_dir / "look"
    other = paths.conf_dir / "look"
    target.rename(other)
    target.symlink_to(other)


def _folder(paths: Paths) -> None:
    (paths.restricted_dir / "look").unlink()
    (paths.restricted_dir / "look").mkdir(mode=0o755)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_switch_off, "switched off"),
        (_open_switch, "mode 666"),
        (_open_folder, "mode 775"),
        (_open_command, "mode 757"),
        (_set_uid, "mode 4755"),
        (_not_executable, "cannot be executed"),
        (_link, "no regular file"),
        (_folder, "no regular file"),
    ],
)
def test_what_others_could_change_is_refused_without_a_reason(
    node: NodeParts,
    naps: list[float],
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Paths], None],
    reason: str,
) -> None:
    allow(node.paths, "look")
    spoil(node.paths)
    with caplog.at_level(logging.ERROR), pytest.raises(OpExecError) as caught:
        restricted_command(node.context, "look")
    assert str(caught.value) == "Executing command 'look' failed"
    assert naps == [restricted.PENALTY]
    assert reason in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_command_of_another_user_is_refused(node: NodeParts) -> None:
    os.chown(allow(node.paths, "look"), 65534, 0)
    with pytest.raises(Refused, match="belongs to 65534:0"):
        check(node.paths, "look")


@pytest.mark.parametrize("name", ["", "../look", "look.sh", "a b", "look\n", "x" * 129, "é"])
def test_a_strange_name_is_refused(node: NodeParts, name: str) -> None:
    allow(node.paths, "look")
    with pytest.raises(Refused, match="its name"):
        check(node.paths, name)


def test_looking_waits_its_turn(node: NodeParts, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(node.paths, "look")
    assert restricted_command(node.context, "look") == "done\n"
    monkeypatch.setattr(restricted, "LOCK_PATIENCE", 0.0)
    with (node.paths.lock_dir / "ganeti-restricted-commands.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(OpExecError, match="'look' failed"):
            restricted_command(node.context, "look")
    assert restricted_command(node.context, "look") == "done\n"
