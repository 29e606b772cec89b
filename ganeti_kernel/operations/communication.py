"""The network over which instances reach the metadata service on their node.

Facts (addresses, mode, link, prefix) are upstream 3.0's; whoever sets it by name gets it made, and
every node group, a later one too, is connected to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ganeti_kernel.objects import ConfigView, NodeGroup

NETWORK: Final = "169.254.0.0/16"
NETWORK6: Final = "fe80::/10"
MAC_PREFIX: Final = "52:54:00"
MODE: Final = "routed"
LINK: Final = "communication_rt"


def setting_up(view: ConfigView, name: str) -> list[dict[str, Any]]:
    """Opcodes that make the network if there is none of this name, and connect groups to it."""
    if not name:
        return []
    network = view.find_network(name)
    if network is not None:
        groups: Iterable[NodeGroup] = (
            group for group in view.nodegroups.values() if network.uuid not in group.networks
        )
        return connecting(name, groups)
    add = {
        "OP_ID": "OP_NETWORK_ADD",
        "network_name": name,
        "network": NETWORK,
        "network6": NETWORK6,
        "mac_prefix": MAC_PREFIX,
        "conflicts_check": True,
        "tags": [],
    }
    return [add, *connecting(name, view.nodegroups.values())]


def connecting(name: str, groups: Iterable[NodeGroup]) -> list[dict[str, Any]]:
    """Opcodes that connect node groups to the network."""
    return [
        {
            "OP_ID": "OP_NETWORK_CONNECT",
            "group_name": group.name,
            "network_name": name,
            "network_mode": MODE,
            "network_link": LINK,
            "conflicts_check": True,
        }
        for group in sorted(groups, key=lambda group: group.name)
    ]
