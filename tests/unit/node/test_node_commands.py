"""A command and a file from the administrator: run once, whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import uuid
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.errors import GenericError, ParameterError
from ganeti_kernel.node.commands import command_run, file_put
from ganeti_kernel.rpc.results import FileEnd

TICKET = "0123-4567"


def ticket() -> str:
    return str(uuid.uuid4())


def test_a_command_runs_once(node: Any, tmp_path: Path) -> None:
    mark, own = tmp_path / "mark", ticket()
    line = f"echo x >> {mark}; echo out; echo err >&2; exit 3"
    for _ in range(2):
        done = command_run(node.context, own, line, 20.0)
        assert (done.code, done.output) == (3, "out\nerr\n")
    assert mark.read_text() == "x\n"
    command_run(node.context, ticket(), line, 20.0)
    assert mark.read_text() == "x\nx\n"


@pytest.mark.parametrize(
    ("ticket_", "command", "seconds", "text"),
    [
        ("../x", "true", 1, "ticket"),
        (TICKET, "  ", 1, "1 to"),
        (TICKET, "x" * 200_000, 1, "1 to"),
        (TICKET, "true", 0, "may take up to"),
    ],
)
def test_bad_commands(node: Any, ticket_: str, command: str, seconds: float, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        command_run(node.context, ticket_, command, seconds)


def test_a_command_that_hangs_is_ended(node: Any) -> None:
    own = ticket()
    with pytest.raises(GenericError, match="did not end within"):
        command_run(node.context, own, "sleep 30", 0.2)
    assert command_run(node.context, own, "echo again", 20.0).output == "again\n"


def test_a_file_in_parts(node: Any) -> None:
    target = node.paths.under("/etc/thing")
    target.parent.mkdir(parents=True)
    own, data = ticket(), b"0123456789"
    end = FileEnd(sha256=hashlib.sha256(data).hexdigest(), mode=0o640, uid=0, gid=0, mtime=7.0)
    first, second = (base64.b64encode(part).decode() for part in (data[:6], data[6:]))
    for _ in range(2):  # a part may come again
        file_put(node.context, own, "/etc/thing", 0, first)
    assert not target.exists()
    file_put(node.context, own, "/etc/thing", 6, second, end)
    stat = target.stat()
    assert (target.read_bytes(), stat.st_mode & 0o7777, stat.st_mtime) == (data, 0o640, 7.0)
    assert [item.name for item in target.parent.iterdir()] == ["thing"]


def test_a_file_that_arrives_damaged(node: Any) -> None:
    target = node.paths.under("/etc/thing")
    target.parent.mkdir(parents=True)
    target.write_text("before")
    end = FileEnd(sha256="0" * 64, mode=0o644, uid=0, gid=0, mtime=7.0)
    with pytest.raises(GenericError, match="another checksum"):
        file_put(node.context, ticket(), "/etc/thing", 0, "eHl6", end)
    assert target.read_text() == "before"
    assert [item.name for item in target.parent.iterdir()] == ["thing"]
    with pytest.raises(GenericError, match="came before"):
        file_put(node.context, ticket(), "/etc/thing", 5, "eHl6")
    for path in ("etc/thing", "/etc/", "/etc/a\0b"):
        with pytest.raises(ParameterError, match="not an absolute path"):
            file_put(node.context, ticket(), path, 0, "")
    with pytest.raises(ParameterError, match="base64"):
        file_put(node.context, ticket(), "/etc/thing", 0, "%")
    with pytest.raises(GenericError, match="No such file"):
        file_put(node.context, ticket(), "/nowhere/thing", 0, "")
