from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.node import network
from ganeti_kernel.node.nics import NodeNics
from ganeti_kernel.objects.guest import Guest, GuestNic, NicNetwork


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def nics(node: Any) -> NodeNics:
    made = NodeNics(seconds=5)
    made.use(node.registry)
    return made


@pytest.fixture
def tagged(nic: GuestNic) -> GuestNic:
    net = NicNetwork(name="n", uuid="u", subnet="192.0.2.0/24", tags=["zz", "dhcp", "plain", "aa"])
    return msgspec.structs.replace(nic, network=net)


def test_mode_then_services_and_back(
    node: Any, nics: NodeNics, guest: Guest, nic: GuestNic, tagged: GuestNic, log: list[str]
) -> None:
    node.script("bridged", log)
    node.script("plain", log)  # a mode of the same name as a tag is no service
    node.script("zz", log, service=True)
    node.script("dhcp", log, service=True)
    node.script("other", log, service=True)
    nics.up(guest, tagged, "tap0")
    nics.down(guest, tagged, "tap0")
    assert log == [
        "up bridged tap0",
        "up dhcp tap0",
        "up zz tap0",
        "down zz tap0",
        "down dhcp tap0",
        "down bridged tap0",
    ]
    log.clear()
    nics.up(guest, nic, "tap1")
    assert log == ["up bridged tap1"]


def test_a_failure_on_the_way_up_undoes_what_was_done(
    node: Any,
    nics: NodeNics,
    guest: Guest,
    tagged: GuestNic,
    log: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    node.script("bridged", log)
    node.script("aa", log, service=True)
    node.script("dhcp", log, service=True).failure = HypervisorError("no server")
    node.script("zz", log, service=True)
    with pytest.raises(
        HypervisorError,
        match=r"network script dhcp, up of tap0 \(NIC 0 of inst1\): no server",
    ):
        nics.up(guest, tagged, "tap0")
    assert log == [
        "up bridged tap0",
        "up aa tap0",
        "up dhcp tap0",
        "down dhcp tap0",
        "down aa tap0",
        "down bridged tap0",
    ]
    assert "network script dhcp, down of tap0" in caplog.text


def test_a_failure_on_the_way_down_is_only_logged(
    node: Any,
    nics: NodeNics,
    guest: Guest,
    tagged: GuestNic,
    log: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    node.script("bridged", log)
    node.script("dhcp", log, service=True).failure = ValueError("boom")
    nics.down(guest, tagged, "tap0")
    assert log == ["down dhcp tap0", "down bridged tap0"]
    assert "defect: ValueError('boom')" in caplog.text


def test_modes_that_cannot_be_served(
    node: Any, nics: NodeNics, guest: Guest, nic: GuestNic, log: list[str]
) -> None:
    with pytest.raises(HypervisorError, match="network_script 'bridged' is not installed"):
        nics.up(guest, nic, "tap0")
    nics.down(guest, nic, "tap0")
    node.script("bridged", log, service=True)
    with pytest.raises(HypervisorError, match="'bridged' is a service for network tags, not a NIC"):
        nics.up(guest, nic, "tap0")
    with pytest.raises(HypervisorError, match="this is not a node daemon"):
        NodeNics().up(guest, nic, "tap0")
    assert log == []


def test_a_script_that_hangs(
    node: Any, guest: Guest, nic: GuestNic, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    script = node.script("bridged", log)
    monkeypatch.setattr(script, "up", lambda _request: gate.wait(20))
    nics = NodeNics(seconds=0.05)
    nics.use(node.registry)
    try:
        with pytest.raises(HypervisorError, match=r"it did not answer within 0\.05 seconds"):
            nics.up(guest, nic, "tap0")
    finally:
        gate.set()
    assert log == ["down bridged tap0"]


def test_modes_of_this_node(node: Any, log: list[str]) -> None:
    node.script("bridged", log)
    node.script("routed", log)
    node.script("dhcp", log, service=True)
    assert network.nic_modes(node.context) == ["bridged", "routed"]


@pytest.mark.parametrize("name", ["lo", "", "no/such", "x" * 40, "nosuchdev"])
def test_what_is_no_bridge(node: Any, name: str) -> None:
    assert network.bridges_exist(node.context, [name]) == [name]
