"""The out-of-band helper and the reset button, as a node daemon runs them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.errors import GenericError, OpExecError, ParameterError
from ganeti_kernel.node.power import oob_run, powercycle
from ganeti_kernel.specs import hookimpl
from tests.unit.node.conftest import MemoryHypervisor, NodeParts


@pytest.fixture
def helper(tmp_path: Path) -> Path:
    path = tmp_path / "oob"
    path.write_text(
        '#!/bin/sh\ncase "$1" in\nhealth) sleep 60;;\npower-off) echo no such outlet; exit 4;;\n'
        '*) echo "$1 of $2";;\nesac\n'
    )
    path.chmod(0o755)
    return path


def test_the_helper_gets_command_and_node(node: NodeParts, helper: Path) -> None:
    said = oob_run(node.context, str(helper), "power-status", "node2.example.com", 10)
    assert said == "power-status of node2.example.com\n"


def test_a_helper_that_fails_or_hangs(node: NodeParts, helper: Path) -> None:
    with pytest.raises(OpExecError, match=r"node2 failed with exit code 4: no such outlet"):
        oob_run(node.context, str(helper), "power-off", "node2", 10)
    with pytest.raises(OpExecError, match=r"did not end within 0.1 seconds"):
        oob_run(node.context, str(helper), "health", "node2", 0.1)


def test_what_is_no_helper(node: NodeParts, helper: Path) -> None:
    helper.chmod(0o644)
    for program in (str(helper), "oob", str(helper) + "x"):
        with pytest.raises(OpExecError, match="is not an executable file"):
            oob_run(node.context, program, "power-on", "node2", 10)
    with pytest.raises(ParameterError, match="no out-of-band command 'explode'"):
        oob_run(node.context, str(helper), "explode", "node2", 10)


class Resettable(MemoryHypervisor):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: list[float] = []

    @hookimpl
    def powercycle_node(self, hvparams: Mapping[str, Any], delay: float) -> None:
        self.asked.append(delay)


def test_the_hypervisor_resets_the_node(node: NodeParts) -> None:
    plugin = Resettable(node.hypervisor.context)
    node.add("hypervisor", "resettable", plugin)
    assert powercycle(node.context, "resettable", {}) == "Reboot scheduled in 5 seconds"
    assert plugin.asked == [5.0]
    with pytest.raises(GenericError, match="hypervisor memory cannot do this"):
        powercycle(node.context, "memory", {})
