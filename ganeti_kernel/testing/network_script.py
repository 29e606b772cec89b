"""The suite for NetworkScript plugins."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import msgspec
import pytest

from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.objects.guest import GuestNic
from ganeti_kernel.specs.network_script import NetworkScript, NicRequest
from ganeti_kernel.testing.plugin import PluginContract

TAP = "tap0"
OTHER_TAP = "tap1"


class NetworkScriptContract(PluginContract):
    """Connects real tap interfaces in a network namespace; needs root.

    To fill in: `plugin_class`, `nic` (a NIC that can be connected) and `is_connected`, which looks
    at the system without the plugin's help. May be filled in: `network` (makes what the script
    needs in the empty namespace), `wrong_nics` (NICs that cannot be connected).
    """

    CONTRACT = NetworkScript
    FEATURES = {"needs-address": ()}  # as in the base class

    # -- fixtures --------------------------------------------------------------------------------

    @pytest.fixture
    def nic(self) -> GuestNic:
        raise NotImplementedError("fill in the fixture nic: a NIC that your script can connect")

    @pytest.fixture
    def is_connected(self) -> Callable[[NicRequest], bool]:
        raise NotImplementedError("fill in the fixture is_connected: look at the system itself")

    @pytest.fixture
    def network(self) -> None:
        """Nothing is needed."""

    @pytest.fixture
    def wrong_nics(self) -> list[GuestNic]:
        return []

    @pytest.fixture
    def taps(self, ganeti_netns: None) -> None:
        for name in (TAP, OTHER_TAP):
            run_ip("tuntap", "add", "dev", name, "mode", "tap")

    @pytest.fixture
    def script(self, plugin: NetworkScript, taps: None, network: None) -> NetworkScript:
        return plugin

    @pytest.fixture
    def wanted(self, nic: GuestNic) -> NicRequest:
        return NicRequest(instance="inst1.example.com", interface=TAP, nic=nic)

    @pytest.fixture
    def other(self, nic: GuestNic) -> NicRequest:
        nic = msgspec.structs.replace(nic, index=1, uuid=nic.uuid[::-1], mac="aa:00:00:00:00:77")
        if nic.ip is not None:
            nic = msgspec.structs.replace(nic, ip=f"{nic.ip}0")
        return NicRequest(instance="inst2.example.com", interface=OTHER_TAP, nic=nic)

    # -- tests -----------------------------------------------------------------------------------

    def test_up_connects(
        self,
        script: NetworkScript,
        wanted: NicRequest,
        is_connected: Callable[[NicRequest], bool],
    ) -> None:
        assert not is_connected(wanted)
        script.up(wanted)
        assert is_connected(wanted)

    def test_up_is_repeatable(
        self,
        script: NetworkScript,
        wanted: NicRequest,
        is_connected: Callable[[NicRequest], bool],
    ) -> None:
        script.up(wanted)
        script.up(wanted)
        assert is_connected(wanted)

    def test_up_after_restart_of_the_daemon(
        self,
        script: NetworkScript,
        make: Callable[[], NetworkScript],
        wanted: NicRequest,
        is_connected: Callable[[NicRequest], bool],
    ) -> None:
        script.up(wanted)
        make().down(wanted)
        assert not is_connected(wanted)
        make().up(wanted)
        assert is_connected(wanted)

    def test_down_disconnects(
        self,
        script: NetworkScript,
        wanted: NicRequest,
        is_connected: Callable[[NicRequest], bool],
    ) -> None:
        script.up(wanted)
        script.down(wanted)
        assert not is_connected(wanted)

    def test_down_is_repeatable(self, script: NetworkScript, wanted: NicRequest) -> None:
        script.down(wanted)
        script.up(wanted)
        script.down(wanted)
        script.down(wanted)

    def test_down_of_interface_that_is_gone(
        self, script: NetworkScript, wanted: NicRequest
    ) -> None:
        script.up(wanted)
        run_ip("link", "del", TAP)
        before = system_state()
        script.down(wanted)
        script.down(wanted)
        assert TAP not in system_state(), before

    def test_down_leaves_nothing_behind(self, script: NetworkScript, wanted: NicRequest) -> None:
        run_ip("link", "set", TAP, "up")
        before = system_state()
        script.up(wanted)
        script.down(wanted)
        run_ip("link", "set", TAP, "up")
        assert system_state() == before

    def test_up_of_missing_interface_is_named(
        self, script: NetworkScript, wanted: NicRequest
    ) -> None:
        lost = msgspec.structs.replace(wanted, interface="tap77")
        with pytest.raises(HypervisorError, match="tap77"):
            script.up(lost)

    def test_others_are_left_alone(
        self,
        script: NetworkScript,
        wanted: NicRequest,
        other: NicRequest,
        is_connected: Callable[[NicRequest], bool],
    ) -> None:
        script.up(wanted)
        assert not is_connected(other)
        script.up(other)
        script.down(wanted)
        assert is_connected(other)

    def test_wrong_nics_are_explained(
        self,
        script: NetworkScript,
        wanted: NicRequest,
        wrong_nics: list[GuestNic],
        is_connected: Callable[[NicRequest], bool],
    ) -> None:
        if not wrong_nics:
            pytest.skip("the script connects any NIC")
        for wrong in wrong_nics:
            asked = msgspec.structs.replace(wanted, nic=wrong)
            with pytest.raises(HypervisorError, match=re.escape(wanted.instance)):
                script.up(asked)
            assert not is_connected(wanted)

    def test_phases_are_taken(
        self,
        script: NetworkScript,
        wanted: NicRequest,
        is_connected: Callable[[NicRequest], bool],
    ) -> None:
        """On a migration's target a script is called before and after the transfer."""
        for phase in ("pre", "post"):
            script.up(msgspec.structs.replace(wanted, phase=phase))
        assert is_connected(wanted)


def run_ip(*arguments: str) -> str:
    """Run iproute2's `ip` in the test's namespace and return what it prints."""
    return subprocess.run(
        ["ip", *arguments], check=True, capture_output=True, text=True, timeout=10
    ).stdout


def system_state() -> str:
    """Rules, routes and neighbours, and which interfaces belong to which bridge."""
    parts = [
        ("rule",),
        ("-6", "rule"),
        ("route", "show", "table", "all"),
        ("neigh", "show", "proxy"),
    ]
    text = "".join(run_ip(*part) for part in parts)
    masters = re.findall(r"\d+: (\S+?)[@:].* master (\S+)", run_ip("link"))
    # The kernel adds and removes multicast routes of IPv6 with the link, in its own time.
    lines = [line for line in text.splitlines() if "ff00::/8" not in line and "fe80:" not in line]
    return "\n".join([*lines, *(f"{port} in {bridge}" for port, bridge in masters)])
