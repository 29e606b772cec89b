from __future__ import annotations

from pathlib import Path
from typing import Any

import ganeti_collectors_command as module
import pytest
from ganeti_collectors_command import Command, CommandSource, directory

from ganeti_kernel.errors import CommandError, PluginError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.specs.collector import KIND_STATUS


class Programs:
    def __init__(self, root: Path) -> None:
        context = PluginContext(paths=Paths(root), node_name="node1")
        self.source = CommandSource(context)
        self.folder = directory(context.paths)
        self.folder.mkdir(parents=True)

    def add(self, name: str, script: str, mode: int = 0o755) -> Path:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(mode)
        return path

    def collect(self, name: str) -> tuple[Command, Any]:
        collector = self.source.load(name)
        assert isinstance(collector, Command)
        return collector, collector.collect()


@pytest.fixture
def programs(ganeti_root: Path) -> Programs:
    return Programs(ganeti_root)


def test_what_it_prints_is_the_report(programs: Programs) -> None:
    programs.add(
        "raid",
        """echo '{"category": "storage", "data": {"status": {"code": 0,'
        echo '"message": ""}}}'""",
    )
    collector, data = programs.collect("raid")
    assert data == {"status": {"code": 0, "message": ""}}
    assert (collector.CATEGORY, collector.KIND) == ("storage", KIND_STATUS)


def test_its_environment(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    programs.add("env", 'echo "[\\"$GANETI_NODE\\", \\"$GANETI_ROOTDIR\\", \\"$SECRET\\"]"')
    _collector, data = programs.collect("env")
    assert data == ["node1", str(programs.folder.parents[2]), ""]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo nonsense", "not a report in JSON"),
        ("echo broken >&2; exit 3", r"exit code 3.*broken"),
        ("yes | head -c 3000000", "more than 1048576 bytes"),
        ("sleep 30", "did not end within"),
        ("true", "not a report in JSON"),
    ],
)
def test_what_goes_wrong_is_told(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    monkeypatch.setattr(module, "DEADLINE", 1.0)
    programs.add("bad", script)
    with pytest.raises(CommandError, match=said):
        programs.collect("bad")


def test_a_program_others_may_write_is_not_run(programs: Programs) -> None:
    programs.add("open", "echo 1", 0o777)
    with pytest.raises(PluginError, match="chmod go-w"):
        programs.source.load("open")


def test_only_programs_are_listed(programs: Programs) -> None:
    programs.add("good", "echo 1")
    programs.add("notes", "echo 1", 0o644)
    programs.add("back~", "echo 1")
    assert programs.source.names() == ["good"]
    assert programs.source.location("good") == str(programs.folder / "good")
