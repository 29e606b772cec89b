"""Mode bridged: the contract on real taps and bridges, VLAN texts."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest
from ganeti_networks_bridged import BridgedScript, script, vlan
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


class FakeLink(dict[str, object]):
    def get_attr(self, name: str) -> object:
        return self.get(name)


class RecordingNetlink:
    """Links of a node, and what is done with their VLANs; kernels without filtering exist."""

    def __init__(self, links: list[dict[str, object]]) -> None:
        self.links = [FakeLink(link) for link in links]
        self.calls: list[tuple[str, int, int, tuple[str, ...]]] = []

    def get_links(self) -> list[FakeLink]:
        return self.links

    def vlan_filter(self, action: str, index: int, vlan_info: dict[str, object]) -> None:
        vid, flags = vlan_info["vid"], vlan_info["flags"]
        assert isinstance(vid, int)
        assert isinstance(flags, list)
        self.calls.append((action, index, vid, tuple(flags)))


def link(index: int, kind: str, master: int = 0, vid: int = 0, below: int = 0) -> dict[str, object]:
    data = FakeLink({"IFLA_VLAN_ID": vid})
    info = FakeLink({"IFLA_INFO_KIND": kind, "IFLA_INFO_DATA": data})
    return {
        "index": index,
        "IFLA_IFNAME": f"if{index}",
        "IFLA_LINKINFO": info if kind else None,
        "IFLA_MASTER": master,
        "IFLA_LINK": below,
    }


BRIDGE, TAP, UPLINK, OTHER_TAP = 10, 11, 12, 13
LINKS = [link(BRIDGE, "bridge"), link(TAP, "tun", BRIDGE), link(UPLINK, "", BRIDGE)]
LINKS += [link(OTHER_TAP, "tun", BRIDGE), link(14, "")]


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (
            "100",
            [
                ("del", TAP, 1, ()),
                ("add", TAP, 100, ("pvid", "untagged")),
                ("add", UPLINK, 100, ()),
            ],
        ),
        (
            ":100:200",
            [
                ("del", TAP, 1, ()),
                ("add", TAP, 100, ()),
                ("add", TAP, 200, ()),
                ("add", UPLINK, 100, ()),
                ("add", UPLINK, 200, ()),
            ],
        ),
        (
            "1:7",
            [
                ("add", TAP, 1, ("pvid", "untagged")),
                ("add", TAP, 7, ()),
                ("add", UPLINK, 1, ()),
                ("add", UPLINK, 7, ()),
            ],
        ),
    ],
)
def test_which_ports_carry_which_vlans(
    text: str, calls: list[tuple[str, int, int, tuple[str, ...]]]
) -> None:
    netlink = RecordingNetlink(LINKS)
    script._set_vlans(netlink, BRIDGE, TAP, vlan.parse(text))
    assert netlink.calls == calls


@pytest.mark.parametrize(
    ("below", "refused"), [("", True), ("veth", False)], ids=["hardware", "veth"]
)
def test_vlan_of_a_classic_interface_is_refused(below: str, refused: bool) -> None:
    netlink = RecordingNetlink([link(20, below), link(21, "vlan", vid=100, below=20)])
    asked = NicRequest(instance="inst1", interface="tap0", nic=NIC)
    script._check_not_classic(netlink, asked, vlan.parse("99"))
    if not refused:
        script._check_not_classic(netlink, asked, vlan.parse("100"))
        return
    with pytest.raises(HypervisorError, match="VLAN 100 belongs to interface if21"):
        script._check_not_classic(netlink, asked, vlan.parse("100"))
