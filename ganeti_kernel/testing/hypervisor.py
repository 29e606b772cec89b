"""The suite for Hypervisor plugins."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.objects.guest import Guest, GuestNic
from ganeti_kernel.specs.hypervisor import STATE_RUNNING, Hypervisor
from ganeti_kernel.testing.fakes import RecordingNics
from ganeti_kernel.testing.plugin import PluginContract

NAME = "inst1.example.com"


class HypervisorContract(PluginContract):
    """Starts and stops real guests of the plugin on this machine.

    To fill in: `plugin_class`. May be filled in: `hvparams` (what the guests need, on top of the
    plugin's defaults), `guest` (two NICs, no disks), `broken_guest` (one that cannot start),
    `stop_timeout` (seconds a guest gets to shut down), `wrong_hvparams` (sets of parameters that
    the plugin must object to). Set `MAKES_INTERFACES` to False when NICs are not connected.
    """

    CONTRACT = Hypervisor
    FEATURES = {
        "migrate": (
            "migration_info",
            "accept_instance",
            "migrate_instance",
            "migration_status",
            "finalize_migration_source",
            "finalize_migration_target",
        ),
        "balloon": ("balloon_memory",),
        "hotplug.disk": ("hot_add_disk", "hot_remove_disk"),
        "hotplug.nic": ("hot_add_nic", "hot_remove_nic"),
        "resize": ("resize_disk",),
        "powercycle": ("powercycle_node",),
    }
    MAKES_INTERFACES: ClassVar[bool] = True

    # -- fixtures --------------------------------------------------------------------------------

    @pytest.fixture
    def hvparams(self) -> dict[str, object]:
        return {}

    @pytest.fixture
    def stop_timeout(self) -> float:
        return 5.0

    @pytest.fixture
    def guest(self, hypervisor: Hypervisor, hvparams: dict[str, object]) -> Guest:
        return make_guest(hypervisor, NAME, hvparams)

    @pytest.fixture
    def other_guest(self, hypervisor: Hypervisor, hvparams: dict[str, object]) -> Guest:
        return make_guest(hypervisor, "inst2.example.com", hvparams, first_nic=2)

    @pytest.fixture
    def broken_guest(self) -> Guest | None:
        return None

    @pytest.fixture
    def wrong_hvparams(self) -> list[dict[str, object]]:
        return []

    @pytest.fixture
    def hypervisor(self, plugin: Hypervisor) -> Iterator[Hypervisor]:
        yield plugin
        for state in plugin.list_instances():
            plugin.stop_instance(state.name, True, 5.0)

    # -- looking ---------------------------------------------------------------------------------

    def test_nothing_runs_at_first(self, hypervisor: Hypervisor) -> None:
        assert list(hypervisor.list_instances()) == []
        assert hypervisor.instance_state(NAME) is None

    def test_verify_finds_this_node_good(self, hypervisor: Hypervisor, guest: Guest) -> None:
        assert list(hypervisor.verify(guest.hvparams)) == []

    def test_good_parameters_are_good(self, hypervisor: Hypervisor, guest: Guest) -> None:
        assert list(hypervisor.check_parameters(guest.hvparams)) == []

    def test_wrong_parameters_are_named(
        self,
        hypervisor: Hypervisor,
        guest: Guest,
        wrong_hvparams: list[dict[str, object]],
    ) -> None:
        if not wrong_hvparams:
            pytest.skip("the plugin has no parameters that could be wrong")
        for wrong in wrong_hvparams:
            problems = hypervisor.check_parameters({**guest.hvparams, **wrong})
            assert problems, f"nothing wrong found in {wrong}"
            assert any(key in text for text in problems for key in wrong), problems

    def test_resources_add_up(self, hypervisor: Hypervisor, guest: Guest) -> None:
        found = hypervisor.node_resources(guest.hvparams)
        assert 0 < found.memory_free <= found.memory_total
        assert 0 <= found.memory_dom0 <= found.memory_total
        assert found.cpu_total >= 1
        assert found.cpu_nodes >= 1
        assert found.cpu_sockets >= 1

    # -- starting --------------------------------------------------------------------------------

    def test_started_guest_is_there(self, hypervisor: Hypervisor, guest: Guest) -> None:
        hypervisor.start_instance(guest, False)
        state = hypervisor.instance_state(guest.name)
        assert state is not None
        assert (state.name, state.state) == (guest.name, STATE_RUNNING)
        assert [item.name for item in hypervisor.list_instances()] == [guest.name]

    def test_started_guest_has_its_size(self, hypervisor: Hypervisor, guest: Guest) -> None:
        hypervisor.start_instance(guest, False)
        state = hypervisor.instance_state(guest.name)
        assert state is not None
        assert guest.minmem <= state.memory <= guest.maxmem
        assert state.vcpus == guest.vcpus

    def test_start_of_running_guest_is_success(self, hypervisor: Hypervisor, guest: Guest) -> None:
        hypervisor.start_instance(guest, False)
        first = hypervisor.instance_state(guest.name)
        hypervisor.start_instance(guest, False)
        second = hypervisor.instance_state(guest.name)
        assert first is not None
        assert second is not None
        assert first.id == second.id, "the guest was started a second time"
        assert len(hypervisor.list_instances()) == 1

    def test_paused_guest_is_there(self, hypervisor: Hypervisor, guest: Guest) -> None:
        hypervisor.start_instance(guest, True)
        assert hypervisor.instance_state(guest.name) is not None

    def test_restarted_daemon_sees_the_guest(
        self, hypervisor: Hypervisor, make: Callable[[], Hypervisor], guest: Guest
    ) -> None:
        hypervisor.start_instance(guest, False)
        other = make()
        assert [item.name for item in other.list_instances()] == [guest.name]
        other.stop_instance(guest.name, True, 5.0)
        assert hypervisor.instance_state(guest.name) is None

    def test_guests_are_listed_by_name(
        self, hypervisor: Hypervisor, guest: Guest, other_guest: Guest
    ) -> None:
        hypervisor.start_instance(other_guest, False)
        hypervisor.start_instance(guest, False)
        assert [item.name for item in hypervisor.list_instances()] == [
            guest.name,
            other_guest.name,
        ]

    def test_start_that_fails_leaves_nothing(
        self, hypervisor: Hypervisor, broken_guest: Guest | None, nics: RecordingNics
    ) -> None:
        if broken_guest is None:
            pytest.skip("the plugin knows no guest that cannot start")
        with pytest.raises(HypervisorError) as caught:
            hypervisor.start_instance(broken_guest, False)
        assert str(caught.value).strip()
        assert hypervisor.instance_state(broken_guest.name) is None
        assert nics.connected == {}

    @pytest.mark.parametrize("name", ["../outside", "a/b", ""])
    def test_names_that_are_paths_are_refused(
        self, hypervisor: Hypervisor, guest: Guest, name: str
    ) -> None:
        with pytest.raises(HypervisorError):
            hypervisor.stop_instance(name, True, 1.0)

    # -- stopping --------------------------------------------------------------------------------

    @pytest.mark.parametrize("force", [True, False])
    def test_stopped_guest_is_gone(
        self, hypervisor: Hypervisor, guest: Guest, force: bool, stop_timeout: float
    ) -> None:
        hypervisor.start_instance(guest, False)
        hypervisor.stop_instance(guest.name, force, stop_timeout)
        assert hypervisor.instance_state(guest.name) is None
        assert list(hypervisor.list_instances()) == []

    def test_stop_of_stopped_guest_is_success(self, hypervisor: Hypervisor, guest: Guest) -> None:
        hypervisor.stop_instance(guest.name, False, 1.0)
        hypervisor.start_instance(guest, False)
        hypervisor.stop_instance(guest.name, True, 1.0)
        hypervisor.stop_instance(guest.name, True, 1.0)
        assert hypervisor.instance_state(guest.name) is None

    def test_stop_leaves_others_alone(
        self, hypervisor: Hypervisor, guest: Guest, other_guest: Guest
    ) -> None:
        hypervisor.start_instance(guest, False)
        hypervisor.start_instance(other_guest, False)
        hypervisor.stop_instance(guest.name, True, 1.0)
        assert [item.name for item in hypervisor.list_instances()] == [other_guest.name]

    def test_guest_starts_again(self, hypervisor: Hypervisor, guest: Guest) -> None:
        for _ in range(2):
            hypervisor.start_instance(guest, False)
            hypervisor.stop_instance(guest.name, True, 1.0)
        hypervisor.start_instance(guest, False)
        assert hypervisor.instance_state(guest.name) is not None

    def test_reboot_keeps_the_guest(self, hypervisor: Hypervisor, guest: Guest) -> None:
        hypervisor.start_instance(guest, False)
        hypervisor.reboot_instance(guest)
        assert hypervisor.instance_state(guest.name) is not None

    def test_reboot_of_stopped_guest_fails(self, hypervisor: Hypervisor, guest: Guest) -> None:
        with pytest.raises(HypervisorError, match=re.escape(guest.name)):
            hypervisor.reboot_instance(guest)

    # -- interfaces ------------------------------------------------------------------------------

    def test_nics_are_connected_and_disconnected(
        self, hypervisor: Hypervisor, guest: Guest, nics: RecordingNics
    ) -> None:
        if not self.MAKES_INTERFACES:
            pytest.skip("the plugin connects no interfaces")
        hypervisor.start_instance(guest, False)
        assert sorted(nics.connected.values()) == [(guest.name, nic.uuid) for nic in guest.nics]
        hypervisor.stop_instance(guest.name, True, 1.0)
        assert nics.connected == {}

    def test_start_fails_when_nics_cannot_be_connected(
        self, hypervisor: Hypervisor, guest: Guest, nics: RecordingNics
    ) -> None:
        if not self.MAKES_INTERFACES:
            pytest.skip("the plugin connects no interfaces")
        nics.refuse_all = True
        with pytest.raises(HypervisorError):
            hypervisor.start_instance(guest, False)
        assert hypervisor.instance_state(guest.name) is None

    # -- console, optional calls -----------------------------------------------------------------

    def test_console_says_how(self, hypervisor: Hypervisor, guest: Guest) -> None:
        console = hypervisor.console(guest, "node1.example.com")
        assert console.instance == guest.name
        needed = {
            "ssh": (console.host, console.user, console.command),
            "vnc": (console.host, console.port),
            "spice": (console.host, console.port),
            "msg": (console.message,),
        }
        assert console.kind in needed
        assert all(needed[console.kind]), f"incomplete: {console}"

    def test_ballooned_guest_has_the_memory(self, hypervisor: Hypervisor, guest: Guest) -> None:
        if "balloon" not in hypervisor.describe().features:
            pytest.skip("no feature balloon")
        hypervisor.start_instance(guest, False)
        hypervisor.balloon_memory(guest, guest.minmem)
        state = hypervisor.instance_state(guest.name)
        assert state is not None
        assert state.memory <= guest.maxmem


def make_guest(
    hypervisor: Hypervisor, name: str, hvparams: dict[str, object], first_nic: int = 0
) -> Guest:
    """A small guest with two NICs of a mode that the recording scripts take."""
    description = hypervisor.describe()
    return Guest(
        name=name,
        uuid=f"5f0f1ea4-0000-4000-8000-{first_nic:012d}",
        hypervisor=description.name,
        maxmem=64,
        minmem=64,
        vcpus=1,
        hvparams={**description.defaults(), **hvparams},
        nics=[
            GuestNic(
                index=index,
                uuid=f"7d0f1e{first_nic + index:02x}-0000-4000-8000-000000000000",
                mac=f"aa:00:00:00:00:{first_nic + index:02x}",
                mode="bridged",
                link="br0",
            )
            for index in range(2)
        ],
    )
