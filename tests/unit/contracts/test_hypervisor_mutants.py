"""The hypervisor suite notices a hypervisor that breaks a promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from ganeti_hypervisors_fake import FakeHypervisor

from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.objects import Guest
from ganeti_kernel.specs import Description, PluginContext, hookimpl
from ganeti_kernel.specs.hypervisor import Console, InstanceState, NodeResources
from ganeti_kernel.testing.hypervisor import HypervisorContract
from ganeti_kernel.testing.mutants import run_suite


class Suite(HypervisorContract):
    MAKES_INTERFACES = False

    @pytest.fixture
    def plugin_class(self, mutant: type[FakeHypervisor]) -> type[FakeHypervisor]:
        return mutant


class StartsTwice(FakeHypervisor):
    """A second start fails, as upstream's does."""

    @hookimpl
    def start_instance(self, guest: Guest, paused: bool) -> None:
        if self.instance_state(guest.name):
            raise HypervisorError(f"{guest.name} is already running")
        super().start_instance(guest, paused)


class StopFails(FakeHypervisor):
    """Stopping what does not run fails."""

    @hookimpl
    def stop_instance(self, name: str, force: bool, timeout: float) -> None:
        if not self.instance_state(name):
            raise HypervisorError(f"{name} does not run")
        super().stop_instance(name, force, timeout)


class StopForgets(FakeHypervisor):
    """A friendly stop does nothing."""

    @hookimpl
    def stop_instance(self, name: str, force: bool, timeout: float) -> None:
        if force:
            super().stop_instance(name, force, timeout)


class StopsAll(FakeHypervisor):
    """Stops everything on the node."""

    @hookimpl
    def stop_instance(self, name: str, force: bool, timeout: float) -> None:
        for state in self.list_instances():
            super().stop_instance(state.name, force, timeout)
        super().stop_instance(name, force, timeout)


class Forgetful(FakeHypervisor):
    """Knows only guests that this very object started."""

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self.mine: list[str] = []

    @hookimpl
    def start_instance(self, guest: Guest, paused: bool) -> None:
        super().start_instance(guest, paused)
        self.mine.append(guest.name)

    @hookimpl
    def list_instances(self) -> Sequence[InstanceState]:
        return [state for state in super().list_instances() if state.name in self.mine]


class Unsorted(FakeHypervisor):
    @hookimpl
    def list_instances(self) -> Sequence[InstanceState]:
        return list(reversed(super().list_instances()))


class RebootsNothing(FakeHypervisor):
    @hookimpl
    def reboot_instance(self, guest: Guest) -> None:
        """Success, whether it runs or not."""


class EmptyConsole(FakeHypervisor):
    @hookimpl
    def console(self, guest: Guest, node: str) -> Console:
        return Console(instance=guest.name, kind="ssh", host=node)


class Unmarked(FakeHypervisor):
    def verify(self, hvparams: Mapping[str, Any]) -> Sequence[str]:
        return []


class PromisesTooMuch(FakeHypervisor):
    @hookimpl
    def describe(self) -> Description:
        described = super().describe()
        features = described.features | {"hotplug.disk"}
        return msgspec.structs.replace(described, features=features)


class Typo(FakeHypervisor):
    @hookimpl
    def describe(self) -> Description:
        features = frozenset({"migration"})
        return msgspec.structs.replace(super().describe(), features=features)


class KiB(FakeHypervisor):
    """Memory of guests in KiB."""

    @hookimpl
    def instance_state(self, name: str) -> InstanceState | None:
        state = super().instance_state(name)
        return state and msgspec.structs.replace(state, memory=state.memory * 1024)


class NoMemory(FakeHypervisor):
    @hookimpl
    def node_resources(self, hvparams: Mapping[str, Any]) -> NodeResources:
        return NodeResources(memory_total=0, memory_free=1024, memory_dom0=0, cpu_total=1)


class SilencedSuite(Suite):
    """Not a broken plugin but an author who silences a test."""

    def test_verify_finds_this_node_good(self) -> None:  # type: ignore[override] # the point
        assert True


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (StartsTwice, "test_start_of_running_guest_is_success"),
        (StopFails, "test_stop_of_stopped_guest_is_success"),
        (StopForgets, "test_stopped_guest_is_gone"),
        (StopsAll, "test_stop_leaves_others_alone"),
        (Forgetful, "test_restarted_daemon_sees_the_guest"),
        (Unsorted, "test_guests_are_listed_by_name"),
        (RebootsNothing, "test_reboot_of_stopped_guest_fails"),
        (EmptyConsole, "test_console_says_how"),
        (Unmarked, "test_methods_are_marked"),
        (PromisesTooMuch, "test_features_are_implemented"),
        (Typo, "test_features_are_the_contracts"),
        (KiB, "test_started_guest_has_its_size"),
        (NoMemory, "test_resources_add_up"),
    ],
)
def test_mutant_is_caught(mutant: type[FakeHypervisor], caught_by: str) -> None:
    assert run_suite(Suite, mutant, only=caught_by).failed == {caught_by}


def test_good_plugin_passes() -> None:
    outcome = run_suite(Suite, FakeHypervisor)
    assert outcome.failed == set(), outcome.report
    assert len(outcome.passed) > 20


def test_silenced_test_is_noticed() -> None:
    outcome = run_suite(SilencedSuite, FakeHypervisor)
    assert outcome.failed == {"test_contract_tests_are_all_there"}
