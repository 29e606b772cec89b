"""The plugin class: an interface becomes a port of the bridge that the NIC's link names."""

from __future__ import annotations

from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.network_script import NetworkScript, NicRequest
from ganeti_networks_bridged import __version__, vlan

DESCRIPTION = Description(
    name="bridged",
    version=__version__,
    summary="Makes interfaces ports of a Linux bridge, with VLANs where it filters them",
)
GUEST_KINDS = ("tun", "veth")
"""Bridge ports of these kinds belong to guests; the others lead outside."""


class BridgedScript(NetworkScript):
    """The bridge must exist; making bridges is the administrator's."""

    API_VERSION = 1

    @hookimpl
    def describe(self) -> Description:
        return DESCRIPTION

    @hookimpl
    def up(self, request: NicRequest) -> None:
        try:
            vlans = vlan.parse(request.nic.vlan)
        except ValueError as error:
            raise HypervisorError(f"{_who(request)}: {error}") from error
        try:
            with IPRoute() as netlink:
                _connect(netlink, request, vlans)
        except NetlinkError as error:
            raise HypervisorError(
                f"{_who(request)}: cannot connect {request.interface}"
                f" to {request.nic.link}: {error.args[-1]}"
            ) from error

    @hookimpl
    def down(self, request: NicRequest) -> None:
        try:
            with IPRoute() as netlink:
                for index in netlink.link_lookup(ifname=request.interface):
                    netlink.link("set", index=index, state="down", master=0)
        except NetlinkError as error:
            raise HypervisorError(
                f"{_who(request)}: cannot disconnect {request.interface}: {error.args[-1]}"
            ) from error


def _connect(netlink: Any, request: NicRequest, vlans: vlan.Vlans) -> None:
    link = request.nic.link
    tap = _link(netlink, request.interface)
    if tap is None:
        raise HypervisorError(
            f"{_who(request)}: interface {request.interface} does not exist on this node"
        )
    bridge = _link(netlink, link)
    if bridge is None or _kind(bridge) != "bridge":
        raise HypervisorError(
            f"{_who(request)}: {link!r} is no bridge on this node;"
            f" make it (ip link add {link or 'NAME'} type bridge) or give the NIC another link"
        )
    if vlans.all() and not _filters_vlans(bridge):
        raise HypervisorError(
            f"{_who(request)}: bridge {link} does not filter VLANs, but the NIC has"
            f" VLAN {request.nic.vlan!r}; switch it on (ip link set {link} type bridge"
            " vlan_filtering 1) or clear the NIC's VLAN"
        )
    _check_not_classic(netlink, request, vlans)
    # A bridge takes the lowest MAC of its ports for its own; fe: keeps a guest's from being it.
    address = "fe" + str(tap.get_attr("IFLA_ADDRESS"))[2:]
    index, mtu = tap["index"], bridge.get_attr("IFLA_MTU")
    netlink.link("set", index=index, address=address, mtu=mtu)
    netlink.link("set", index=index, master=bridge["index"], state="up")
    if vlans.all():
        _set_vlans(netlink, bridge["index"], index, vlans)


def _set_vlans(netlink: Any, bridge: int, tap: int, vlans: vlan.Vlans) -> None:
    """The interface carries the NIC's VLANs, and ports that lead outside carry them tagged."""
    if vlans.untagged != 1:
        # A new port is in VLAN 1 by itself.
        netlink.vlan_filter("del", index=tap, vlan_info={"vid": 1, "flags": []})
    if vlans.untagged is not None:
        flags = ["pvid", "untagged"]
        netlink.vlan_filter("add", index=tap, vlan_info={"vid": vlans.untagged, "flags": flags})
    for vid in vlans.tagged:
        netlink.vlan_filter("add", index=tap, vlan_info={"vid": vid, "flags": []})
    for port in netlink.get_links():
        if port.get_attr("IFLA_MASTER") == bridge and _kind(port) not in GUEST_KINDS:
            for vid in vlans.all():
                info = {"vid": vid, "flags": []}
                netlink.vlan_filter("add", index=port["index"], vlan_info=info)


def _check_not_classic(netlink: Any, request: NicRequest, vlans: vlan.Vlans) -> None:
    """Refuse a VLAN that a classic VLAN interface takes off before the bridge sees it."""
    if not vlans.all():
        return
    kinds = {link["index"]: _kind(link) for link in netlink.get_links()}
    for link in netlink.get_links():
        if _kind(link) != "vlan" or kinds.get(link.get_attr("IFLA_LINK")) == "veth":
            continue
        vid = link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA").get_attr("IFLA_VLAN_ID")
        if vid in vlans.all():
            raise HypervisorError(
                f"{_who(request)}: VLAN {vid} belongs to interface"
                f" {link.get_attr('IFLA_IFNAME')} on this node; use another VLAN"
            )


def _link(netlink: Any, name: str) -> Any:
    found = netlink.link_lookup(ifname=name) if name else []
    return netlink.get_links(found[0])[0] if found else None


def _kind(link: Any) -> str:
    info = link.get_attr("IFLA_LINKINFO")
    return str(info.get_attr("IFLA_INFO_KIND")) if info is not None else ""


def _filters_vlans(bridge: Any) -> bool:
    data = bridge.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    return data is not None and bool(data.get_attr("IFLA_BR_VLAN_FILTERING"))


def _who(request: NicRequest) -> str:
    return f"NIC {request.nic.index} of {request.instance}"
