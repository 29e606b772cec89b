"""Mode routed: the contract on real taps, rules and routes; names of tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from ganeti_networks_routed import RoutedScript, table

from ganeti_kernel.objects import GuestNic
from ganeti_kernel.specs.network_script import NetworkScript, NicRequest
from ganeti_kernel.testing.network_script import NetworkScriptContract, run_ip

NIC = GuestNic(
    index=0,
    uuid="7d0f1ea4-1",
    mac="aa:00:00:00:00:01",
    mode="routed",
    link="100",
    ip="203.0.113.6",
)


class Routed(NetworkScriptContract):
    @pytest.fixture
    def plugin_class(self) -> type[RoutedScript]:
        return RoutedScript

    @pytest.fixture
    def is_connected(self) -> Callable[[NicRequest], bool]:
        return lambda request: has_route(request)

    @pytest.fixture
    def wrong_nics(self, nic: GuestNic) -> list[GuestNic]:
        return [
            msgspec.structs.replace(nic, ip=None),
            msgspec.structs.replace(nic, ip="203.0.113.999"),
            msgspec.structs.replace(nic, link="no-such-table"),
            msgspec.structs.replace(nic, link="0"),
        ]


@pytest.mark.root
class TestRoutedWithTable(Routed):
    @pytest.fixture
    def nic(self) -> GuestNic:
        return NIC

    def test_packets_of_the_interface_use_the_table(
        self, script: NetworkScript, wanted: NicRequest
    ) -> None:
        script.up(wanted)
        script.up(wanted)
        assert run_ip("rule").count("iif tap0 lookup 100") == 1
        assert "203.0.113.6 dev tap0 proto static" in run_ip("route", "show", "table", "100")

    def test_node_answers_for_others(self, script: NetworkScript, wanted: NicRequest) -> None:
        script.up(wanted)
        for setting in ("proxy_arp", "forwarding"):
            assert Path(f"/proc/sys/net/ipv4/conf/tap0/{setting}").read_text() == "1\n"


@pytest.mark.root
class TestRoutedInMainTable(Routed):
    @pytest.fixture
    def nic(self) -> GuestNic:
        return msgspec.structs.replace(NIC, link="")

    def test_no_rule_is_made(self, script: NetworkScript, wanted: NicRequest) -> None:
        script.up(wanted)
        assert "tap0" not in run_ip("rule")


@pytest.mark.root
class TestRoutedV6(Routed):
    @pytest.fixture
    def nic(self) -> GuestNic:
        return msgspec.structs.replace(NIC, ip="2001:db8::6")

    @pytest.fixture
    def wrong_nics(self, nic: GuestNic) -> list[GuestNic]:
        return [msgspec.structs.replace(nic, ip="2001:db8::zz")]


def has_route(request: NicRequest) -> bool:
    family = "-6" if ":" in str(request.nic.ip) else "-4"
    link = request.nic.link or "main"
    # A table that holds nothing does not exist: asking for all never fails.
    routes = run_ip(family, "route", "show", "table", "all").splitlines()
    where = f"dev {request.interface} " + ("" if link == "main" else f"table {link} ")
    up = "UP" in run_ip("link", "show", request.interface).split(">")[0].split("<")[1].split(",")
    return up and any(
        line.startswith(f"{request.nic.ip} {where}") and "proto static" in line for line in routes
    )


@pytest.mark.parametrize(
    ("link", "number"),
    [
        ("", 254),
        ("100", 100),
        ("main", 254),
        ("mine", 1234),
        ("other", None),
        ("0", None),
        ("4294967296", None),
        ("-1", None),
        ("٣", None),
    ],
)
def test_which_table_a_link_names(tmp_path: Path, link: str, number: int | None) -> None:
    names = tmp_path / "rt_tables"
    names.write_text("# comment\n255\tlocal\n1234 mine # my own\nbroken line here\n\nx y\n")
    assert table.number_of(link, [tmp_path / "missing", names]) == number
