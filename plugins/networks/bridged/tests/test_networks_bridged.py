"""Mode bridged: the contract on real taps and bridges, VLAN texts."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest
from ganeti_networks_bridged import BridgedScript, vlan
from ganeti_networks_bridged.vlan import Vlans
from hypothesis import given
from hypothesis import strategies as st

from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.objects import GuestNic
from ganeti_kernel.specs.network_script import NetworkScript, NicRequest
from ganeti_kernel.testing.network_script import NetworkScriptContract, run_ip

NIC = GuestNic(index=0, uuid="7d0f1ea4-1", mac="aa:00:00:00:00:01", mode="bridged", link="br0")


@pytest.mark.root
class TestBridged(NetworkScriptContract):
    @pytest.fixture
    def plugin_class(self) -> type[BridgedScript]:
        return BridgedScript

    @pytest.fixture
    def nic(self) -> GuestNic:
        return NIC

    @pytest.fixture
    def network(self, ganeti_netns: None) -> None:
        run_ip("link", "add", "br0", "mtu", "1400", "type", "bridge")
        run_ip("link", "set", "br0", "up")

    @pytest.fixture
    def is_connected(self) -> Callable[[NicRequest], bool]:
        return lambda request: bool(
            re.search(r"[<,]UP[,>].* master br0 ", run_ip("link", "show", request.interface))
        )

    @pytest.fixture
    def wrong_nics(self) -> list[GuestNic]:
        links = ("nobridge", "", "tap1", "lo")
        return [msgspec.structs.replace(NIC, link=link) for link in links] + [
            msgspec.structs.replace(NIC, vlan=text) for text in ("x", ":", "4095", "7")
        ]

    def test_interface_fits_the_bridge(self, script: NetworkScript, wanted: NicRequest) -> None:
        bridge = run_ip("-o", "link", "show", "br0")
        script.up(wanted)
        tap = run_ip("-o", "link", "show", wanted.interface)
        assert "link/ether fe:" in tap
        assert "mtu 1400" in tap
        assert "link/ether" in bridge

    def test_missing_filtering_is_explained(
        self, script: NetworkScript, wanted: NicRequest
    ) -> None:
        asked = msgspec.structs.replace(wanted, nic=msgspec.structs.replace(NIC, vlan="7"))
        with pytest.raises(HypervisorError, match="vlan_filtering 1"):
            script.up(asked)


@pytest.mark.parametrize(
    ("text", "vlans"),
    [
        ("", Vlans()),
        ("100", Vlans(100)),
        (".100", Vlans(100)),
        (":100", Vlans(None, (100,))),
        (":100:200", Vlans(None, (100, 200))),
        ("5:6", Vlans(5, (6,))),
        (".5:6:7", Vlans(5, (6, 7))),
    ],
)
def test_vlan_texts(text: str, vlans: Vlans) -> None:
    assert vlan.parse(text) == vlans


@given(st.text(alphabet="0123456789.:x ", max_size=20))
def test_any_vlan_text_is_read_or_refused(text: str) -> None:
    try:
        found = vlan.parse(text)
    except ValueError:
        return
    assert all(1 <= vid <= 4094 for vid in found.all())
    assert bool(found.all()) == bool(text)
