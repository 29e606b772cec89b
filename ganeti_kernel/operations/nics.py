"""What a user asks of NICs, turned into NICs with addresses reserved for the job."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ganeti_kernel.config.reservations import MAC
from ganeti_kernel.errors import (
    ECODE_INVAL,
    ECODE_NOTUNIQUE,
    ECODE_STATE,
    GenericError,
    OpPrereqError,
)
from ganeti_kernel.jobs.operation import JobContext
from ganeti_kernel.objects import Network, Nic, NodeGroup
from ganeti_kernel.operations import facts, finding

KEYS: Final = ("bridge", "ip", "link", "mac", "mode", "name", "network", "vlan")
_NOTHING: Final = (None, "", "none")


def prepare(
    context: JobContext,
    group: NodeGroup,
    asked: Sequence[Mapping[str, Any]],
    *,
    conflicts_check: bool,
    own_address: str | None = None,
) -> list[Nic]:
    """Check the NICs and reserve their addresses; refuses, naming the NIC and what to do.

    `own_address` is what the instance's name resolves to, for `ip=auto`.
    """
    return [
        _prepare(context, group, index, dict(item), conflicts_check, own_address)
        for index, item in enumerate(asked)
    ]


def _prepare(
    context: JobContext,
    group: NodeGroup,
    index: int,
    asked: dict[str, Any],
    conflicts_check: bool,
    own_address: str | None,
) -> Nic:
    unknown = sorted(set(asked) - set(KEYS))
    if unknown:
        finding.refuse(f"NIC {index}: unknown setting {unknown[0]!r}; there are {', '.join(KEYS)}")
    network = _network(context, group, index, asked)
    params = _parameters(context, group, index, asked, network)
    address = _address(context, group, index, asked, network, conflicts_check, own_address)
    mode = params.get("mode") or context.view.cluster.nicparams.get("default", {}).get("mode")
    if mode:
        features = facts.describe("network_script", str(mode)).features
        if "needs-address" in features and address is None:
            finding.refuse(f"NIC {index}: mode {mode} needs an address; add ip=ADDRESS or ip=pool")
    return Nic(
        uuid=str(uuid.uuid4()),
        mac=_mac(context, index, asked, network),
        ip=address,
        name=None if asked.get("name") in _NOTHING else str(asked["name"]),
        network=network.uuid if network is not None else None,
        nicparams=params,
    )


def _network(
    context: JobContext, group: NodeGroup, index: int, asked: Mapping[str, Any]
) -> Network | None:
    name = asked.get("network")
    if name in _NOTHING:
        return None
    network = finding.network(context.view, str(name))
    if network.uuid not in group.networks:
        finding.refuse(
            f"NIC {index}: network {network.name} is not connected to node group {group.name}; "
            f"run gnt-network connect {network.name} {group.name}",
            ECODE_STATE,
        )
    return network


def _parameters(
    context: JobContext,
    group: NodeGroup,
    index: int,
    asked: Mapping[str, Any],
    network: Network | None,
) -> dict[str, Any]:
    own = {key: asked[key] for key in ("mode", "link", "vlan") if asked.get(key) not in _NOTHING}
    if asked.get("bridge") not in _NOTHING:
        if "link" in own:
            finding.refuse(f"NIC {index}: bridge and link mean the same; give one of them")
        own["link"] = asked["bridge"]
    if network is None:
        return own
    if own:
        finding.refuse(
            f"NIC {index}: the network says mode, link and vlan; leave {', '.join(sorted(own))} out"
        )
    params = dict(group.networks[network.uuid])
    values = [str(params.get(key, "")) for key in ("link", "mode", "vlan")]
    context.log(f" - INFO: NIC/{index} inherits netparams {values}")
    return params


def _address(
    context: JobContext,
    group: NodeGroup,
    index: int,
    asked: Mapping[str, Any],
    network: Network | None,
    conflicts_check: bool,
    own_address: str | None,
) -> str | None:
    wanted = asked.get("ip")
    if wanted in _NOTHING:
        return None
    if wanted == "auto":
        if own_address is None:
            finding.refuse(f"NIC {index}: ip=auto needs --name-check")
        wanted = own_address
    if wanted == "pool":
        if network is None:
            finding.refuse(f"NIC {index}: ip=pool needs a network; add network=NAME")
        return _reserve(context, index, network, None)
    address = _parse_address(index, str(wanted))
    if network is not None:
        return _reserve(context, index, network, address)
    if conflicts_check:
        _refuse_foreign(context, group, index, address)
    return address


def _parse_address(index: int, text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise OpPrereqError(f"NIC {index}: '{text}' is not an IP address", ECODE_INVAL) from None


def _reserve(context: JobContext, index: int, network: Network, address: str | None) -> str:
    try:
        return context.reservations.reserve("ip", network.uuid, address)
    except GenericError as error:
        if address is None:
            text = (
                f"NIC {index}: network {network.name} has no free address ({error}); release one, "
                f"or name another network"
            )
        else:
            text = (
                f"IP address {address} already in use or does not belong to network {network.name}"
            )
        raise OpPrereqError(text, ECODE_NOTUNIQUE) from None


def _refuse_foreign(context: JobContext, group: NodeGroup, index: int, address: str) -> None:
    for uuid_ in group.networks:
        network = context.view.networks.get(uuid_)
        if network and ipaddress.ip_address(address) in ipaddress.ip_network(network.network):
            finding.refuse(
                f"NIC {index}: address {address} belongs to network {network.name}; add "
                f"network={network.name}, or --no-conflicts-check",
                ECODE_STATE,
            )


def _mac(context: JobContext, index: int, asked: Mapping[str, Any], network: Network | None) -> str:
    wanted = str(asked.get("mac") or "auto").lower()
    if wanted in ("auto", "generate"):
        own = network.mac_prefix if network is not None else None
        return context.reservations.reserve("mac", own or context.view.cluster.mac_prefix)
    if MAC.fullmatch(wanted) is None:
        finding.refuse(f"NIC {index}: '{wanted}' is not a MAC address (aa:bb:cc:dd:ee:ff)")
    try:
        return context.reservations.reserve("mac", "", wanted)
    except GenericError:
        raise OpPrereqError(
            f"NIC {index}: MAC address {wanted} already in use in cluster", ECODE_NOTUNIQUE
        ) from None
