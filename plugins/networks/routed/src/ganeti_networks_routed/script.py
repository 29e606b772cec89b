"""The plugin class: the node routes the NIC's address to the interface and answers ARP for it.

Source: upstream 3.0's routed set-up.
"""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.network_script import NetworkScript, NicRequest
from ganeti_networks_routed import __version__, table

DESCRIPTION = Description(
    name="routed",
    version=__version__,
    summary="Routes a NIC's address to its interface, in the table its link names",
    features=frozenset({"needs-address"}),
)
STATIC = 4
"""Routing protocol number: made by the administrator, not by the kernel or a daemon."""

SCOPE_LINK = 253
SETTINGS = (
    ("ipv4", "proxy_arp"),
    ("ipv4", "forwarding"),
    ("ipv6", "proxy_ndp"),
    ("ipv6", "forwarding"),
)
SYSCTL = Path("/proc/sys/net")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RoutedScript(NetworkScript):
    """Everything hangs on the interface, except the rules: those are removed by its name."""

    API_VERSION = 1

    @hookimpl
    def describe(self) -> Description:
        return DESCRIPTION

    @hookimpl
    def up(self, request: NicRequest) -> None:
        address = _address(request)
        number = table.number_of(request.nic.link)
        if number is None:
            raise HypervisorError(
                f"{_who(request)}: link {request.nic.link!r} is no routing table: give a number,"
                " a name of /etc/iproute2/rt_tables, or nothing for the main table"
            )
        try:
            with IPRoute() as netlink:
                found = netlink.link_lookup(ifname=request.interface)
                if not found:
                    raise HypervisorError(
                        f"{_who(request)}: interface {request.interface}"
                        " does not exist on this node"
                    )
                _route(netlink, request.interface, found[0], address, number)
        except NetlinkError as error:
            raise HypervisorError(
                f"{_who(request)}: cannot route {address} to {request.interface}: {error.args[-1]}"
            ) from error
        _set_sysctls(request)

    @hookimpl
    def down(self, request: NicRequest) -> None:
        try:
            with IPRoute() as netlink:
                _purge_rules(netlink, request.interface)
                for index in netlink.link_lookup(ifname=request.interface):
                    # Its routes go with the link's state.
                    netlink.link("set", index=index, state="down")
        except NetlinkError as error:
            raise HypervisorError(
                f"{_who(request)}: cannot disconnect {request.interface}: {error.args[-1]}"
            ) from error


def _address(request: NicRequest) -> Address:
    if not request.nic.ip:
        raise HypervisorError(
            f"{_who(request)}: mode routed needs an IP address; give the NIC one (ip=…)"
        )
    try:
        return ipaddress.ip_address(request.nic.ip)
    except ValueError:
        raise HypervisorError(f"{_who(request)}: {request.nic.ip!r} is not an IP address") from None


def _route(netlink: Any, interface: str, index: int, address: Address, number: int) -> None:
    netlink.link("set", index=index, state="up")
    _purge_rules(netlink, interface)
    if number != table.MAIN:
        netlink.rule("add", iifname=interface, table=number, family=_family(address))
    netlink.route(
        "replace",
        dst=f"{address}/{address.max_prefixlen}",
        oif=index,
        table=number,
        proto=STATIC,
        scope=SCOPE_LINK if address.version == 4 else 0,
        family=_family(address),
    )


def _purge_rules(netlink: Any, interface: str) -> None:
    for family in (socket.AF_INET, socket.AF_INET6):
        for rule in netlink.get_rules(family=family):
            if rule.get_attr("FRA_IIFNAME") == interface:
                netlink.rule(
                    "del",
                    iifname=interface,
                    table=rule.get_attr("FRA_TABLE"),
                    priority=rule.get_attr("FRA_PRIORITY"),
                    family=family,
                )


def _set_sysctls(request: NicRequest) -> None:
    """Let the node answer ARP and NDP for other hosts, and forward."""
    for family, name in SETTINGS:
        path = SYSCTL / family / "conf" / request.interface / name
        try:
            path.write_text("1\n")
        except FileNotFoundError:
            continue  # the node has no IPv6
        except OSError as error:
            raise HypervisorError(
                f"{_who(request)}: cannot set {path}: {error.strerror}"
            ) from error


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _who(request: NicRequest) -> str:
    return f"NIC {request.nic.index} of {request.instance}"
