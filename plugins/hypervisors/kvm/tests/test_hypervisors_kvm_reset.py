"""Resetting a node hard; the machine's own trigger is never touched here."""

from __future__ import annotations

from pathlib import Path

import pytest
from ganeti_hypervisors_kvm import reset

from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.testing.waiting import wait_until


def test_the_trigger_is_pulled_after_the_answer(tmp_path: Path) -> None:
    trigger = tmp_path / "sysrq-trigger"
    trigger.touch()
    reset.schedule(Path("/"), 0.2, trigger)
    assert trigger.read_text() == ""
    wait_until(lambda: trigger.read_text() == "b\n", "the trigger to be pulled")


def test_a_node_on_a_shared_machine_is_not_reset(tmp_path: Path) -> None:
    trigger = tmp_path / "sysrq-trigger"
    trigger.touch()
    with pytest.raises(HypervisorError, match="shares its machine with others"):
        reset.schedule(tmp_path, 0.0, trigger)
    assert trigger.read_text() == ""


def test_a_kernel_without_system_requests(tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match="takes no system requests"):
        reset.schedule(Path("/"), 0.0, tmp_path / "nosuch")
