from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ganeti_collectors_lv import LogicalVolumes
from ganeti_collectors_lv.parsing import parse

from ganeti_kernel.errors import CommandError, ConfdClientError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.collector import CollectorContract

DATA = Path(__file__).parent / "data"


class TestContract(CollectorContract):
    @pytest.fixture
    def plugin_class(self) -> type[LogicalVolumes]:
        return LogicalVolumes

    @pytest.fixture
    def ready(self) -> Callable[[Any], None]:
        inputs = {"file": str(DATA / "lvs_lv.txt"), "instances": str(DATA / "instance-disks.txt")}
        return lambda plugin: plugin.use_inputs(inputs)


class Confd:
    """Answers types 8 and 9 out of the recording."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent
        ((self.instance, self.disks),) = json.loads((DATA / "instance-disks.txt").read_text())

    def ask(self, number: int, query: Any) -> Any:
        if self.silent:
            raise ConfdClientError("nobody answers")
        return {
            (8, "node1"): [[], [self.instance]],
            (9, self.instance["name"]): self.disks,
        }[number, query]


def collector(confd: Confd | None = None, **inputs: str) -> LogicalVolumes:
    made = LogicalVolumes(PluginContext(paths=Paths(), node_name="node1", cluster=confd))
    made.use_inputs({"file": str(DATA / "lvs_lv.txt")} | inputs)
    return made


def expected() -> Any:
    return json.loads((DATA / "lvs_lv.json").read_text())["data"]


def test_equals_what_upstream_reports() -> None:
    assert collector(instances=str(DATA / "instance-disks.txt")).collect() == expected()


def test_confd_names_the_instances() -> None:
    assert collector(Confd()).collect() == expected()


@pytest.mark.parametrize("confd", [None, Confd(silent=True)])
def test_without_confd_no_instance_is_named(confd: Confd | None) -> None:
    assert collector(confd).collect() == [item | {"instance": None} for item in expected()]


def test_a_bad_line_is_named() -> None:
    with pytest.raises(CommandError, match="abc;def"):
        parse("  abc;def\n", {})


def test_bad_instances_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "instances"
    bad.write_text('[["a", 1]]')
    with pytest.raises(CommandError, match="instances has no instances with disks"):
        collector(instances=str(bad)).collect()


def test_runs_lvs_with_the_columns_it_expects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "lvs"
    program.write_text(f"#!/bin/sh\necho $* >{tmp_path}/asked\nexec cat {DATA / 'lvs_lv.txt'}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    made = LogicalVolumes(PluginContext(paths=Paths(), node_name="node1", cluster=Confd()))
    assert made.precondition() is None
    assert made.collect() == expected()
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("--noheadings --units B --separator ; -o lv_uuid,lv_name,lv_attr,")
    assert asked.endswith(",seg_pe_ranges,devices\n")


def test_inactive_without_lvs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "lvm2" in str(LogicalVolumes(PluginContext(paths=Paths())).precondition())
