"""Fields of networks."""

from __future__ import annotations

from typing import Any, Final

from ganeti_kernel.config import pools
from ganeti_kernel.objects import Network
from ganeti_kernel.query.fields.base import (
    NUMBER,
    OTHER,
    TEXT,
    Field,
    attribute,
    common,
    table,
)
from ganeti_kernel.query.source import QuerySource


def _groups(source: QuerySource, network: Network) -> list[list[Any]]:
    """[name, NIC mode, link, VLAN] of each connected group, by UUID as upstream."""
    out = []
    for _, group in sorted(source.view.nodegroups.items()):
        netparams = group.networks.get(network.uuid)
        if netparams is not None:
            values = [netparams.get(key, "") for key in ("mode", "link", "vlan")]
            out.append([group.name, *values])
    return out


def _instances(source: QuerySource, network: Network) -> list[str]:
    """Names of instances with a NIC in the network, by UUID as upstream."""
    return [
        inst.name
        for _, inst in sorted(source.view.instances.items())
        if any(nic.network == network.uuid for nic in inst.nics)
    ]


NETWORK: Final = table(
    common("network"),
    [
        Field("name", "Network", TEXT, "Name of the network", attribute("name")),
        Field("network", "Subnet", TEXT, "IPv4 subnet", attribute("network")),
        Field("gateway", "Gateway", OTHER, "IPv4 gateway", attribute("gateway")),
        Field("network6", "IPv6Subnet", OTHER, "IPv6 subnet", attribute("network6")),
        Field("gateway6", "IPv6Gateway", OTHER, "IPv6 gateway", attribute("gateway6")),
        Field(
            "mac_prefix",
            "MacPrefix",
            OTHER,
            "Beginning of MAC addresses made for the network",
            attribute("mac_prefix"),
        ),
        Field(
            "free_count",
            "FreeCount",
            NUMBER,
            "How many addresses are free",
            lambda _source, network: pools.free_count(network),
        ),
        Field(
            "reserved_count",
            "ReservedCount",
            NUMBER,
            "How many addresses are taken",
            lambda _source, network: pools.reserved_count(network),
        ),
        Field(
            "map",
            "Map",
            TEXT,
            "One character an address: X taken, . free",
            lambda _source, network: pools.usage_map(network),
        ),
        Field(
            "external_reservations",
            "ExternalReservations",
            TEXT,
            "Addresses reserved from outside the cluster",
            lambda _source, network: ", ".join(pools.external_addresses(network)),
        ),
        Field(
            "group_list",
            "GroupList",
            OTHER,
            "Connected node groups: name, NIC mode, link, VLAN",
            _groups,
        ),
        Field(
            "group_cnt",
            "NodeGroups",
            NUMBER,
            "Number of connected node groups",
            lambda source, network: len(_groups(source, network)),
        ),
        Field("inst_list", "InstanceList", OTHER, "Instances with a NIC in it", _instances),
        Field(
            "inst_cnt",
            "Instances",
            NUMBER,
            "Number of instances with a NIC in it",
            lambda source, network: len(_instances(source, network)),
        ),
    ],
)
