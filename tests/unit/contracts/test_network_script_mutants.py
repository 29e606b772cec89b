"""The network script suite notices a script that breaks a promise."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import msgspec
import pytest
from ganeti_networks_bridged import BridgedScript

from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.objects import GuestNic
from ganeti_kernel.specs import PluginContext, hookimpl
from ganeti_kernel.specs.network_script import NicRequest
from ganeti_kernel.testing.mutants import run_suite
from ganeti_kernel.testing.network_script import NetworkScriptContract, run_ip

pytestmark = pytest.mark.root

NIC = GuestNic(index=0, uuid="7d0f1ea4-1", mac="aa:00:00:00:00:01", mode="bridged", link="br0")


class Suite(NetworkScriptContract):
    @pytest.fixture
    def plugin_class(self, mutant: type[BridgedScript]) -> type[BridgedScript]:
        return mutant

    @pytest.fixture
    def nic(self) -> GuestNic:
        return NIC

    @pytest.fixture
    def network(self, ganeti_netns: None) -> None:
        run_ip("link", "add", "br0", "type", "bridge")

    @pytest.fixture
    def is_connected(self) -> Callable[[NicRequest], bool]:
        return lambda request: bool(
            re.search(r"[<,]UP[,>].* master br0 ", run_ip("link", "show", request.interface))
        )

    @pytest.fixture
    def wrong_nics(self) -> list[GuestNic]:
        return [msgspec.structs.replace(NIC, link="nobridge")]


class DoesNothing(BridgedScript):
    @hookimpl
    def up(self, request: NicRequest) -> None:
        """Forgets to connect."""


class LeavesItDown(BridgedScript):
    @hookimpl
    def up(self, request: NicRequest) -> None:
        super().up(request)
        run_ip("link", "set", request.interface, "down")


class UpOnlyOnce(BridgedScript):
    @hookimpl
    def up(self, request: NicRequest) -> None:
        if "master" in run_ip("link", "show", request.interface):
            raise HypervisorError(f"{request.interface} is connected already")
        super().up(request)


class DownForgets(BridgedScript):
    @hookimpl
    def down(self, request: NicRequest) -> None:
        """Leaves the interface where it is."""


class DownNeedsTheInterface(BridgedScript):
    @hookimpl
    def down(self, request: NicRequest) -> None:
        run_ip("link", "show", request.interface)
        super().down(request)


class DownTakesAll(BridgedScript):
    @hookimpl
    def down(self, request: NicRequest) -> None:
        for name in ("tap0", "tap1"):
            super().down(msgspec.structs.replace(request, interface=name))


class LeavesARule(BridgedScript):
    @hookimpl
    def up(self, request: NicRequest) -> None:
        super().up(request)
        run_ip("rule", "add", "iif", request.interface, "lookup", "100")


class RemembersInItself(BridgedScript):
    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self.mine: list[str] = []

    @hookimpl
    def up(self, request: NicRequest) -> None:
        super().up(request)
        self.mine.append(request.interface)

    @hookimpl
    def down(self, request: NicRequest) -> None:
        if request.interface in self.mine:
            super().down(request)


class OtherError(BridgedScript):
    @hookimpl
    def up(self, request: NicRequest) -> None:
        subprocess.run(
            ["ip", "link", "set", request.interface, "up", "master", "br0"],
            check=True,
            capture_output=True,
        )


class MakesBridges(BridgedScript):
    """Makes what is missing instead of saying so."""

    @hookimpl
    def up(self, request: NicRequest) -> None:
        if request.nic.link != "br0":
            run_ip("link", "add", request.nic.link, "type", "bridge")
        super().up(request)


class OnlyOutsideMigrations(BridgedScript):
    @hookimpl
    def up(self, request: NicRequest) -> None:
        if not request.phase:
            super().up(request)


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (DoesNothing, "test_up_connects"),
        (LeavesItDown, "test_up_connects"),
        (UpOnlyOnce, "test_up_is_repeatable"),
        (DownForgets, "test_down_disconnects"),
        (DownNeedsTheInterface, "test_down_of_interface_that_is_gone"),
        (DownTakesAll, "test_others_are_left_alone"),
        (LeavesARule, "test_down_leaves_nothing_behind"),
        (LeavesARule, "test_down_of_interface_that_is_gone"),
        (RemembersInItself, "test_up_after_restart_of_the_daemon"),
        (OtherError, "test_up_of_missing_interface_is_named"),
        (MakesBridges, "test_wrong_nics_are_explained"),
        (OnlyOutsideMigrations, "test_phases_are_taken"),
    ],
)
def test_mutant_is_caught(ganeti_netns: None, mutant: type[BridgedScript], caught_by: str) -> None:
    assert run_suite(Suite, mutant, only=caught_by).failed == {caught_by}


def test_good_plugin_passes(ganeti_netns: None) -> None:
    outcome = run_suite(Suite, BridgedScript)
    assert outcome.failed == set(), outcome.report
    assert len(outcome.passed) > 12
