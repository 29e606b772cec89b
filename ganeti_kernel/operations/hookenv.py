"""The environment of hooks (upstream 3.0's names, without the GANETI_ prefix). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ganeti_kernel.objects import ConfigView, Disk, Instance, Network, Nic

BRIDGED_MODES = frozenset({"bridged", "openvswitch"})
"""Modes whose link is exported as a bridge too (compatibility names of upstream)."""


def instance_environment(
    view: ConfigView, inst: Instance, disks: Sequence[Disk] | None = None
) -> dict[str, str]:
    """Variables that describe one instance; `disks` those it will have when it is not there yet."""
    be = view.fill_be(inst)
    own = view.instance_disks(inst) if disks is None else disks
    nodes = [view.nodes[uuid].name for uuid in view.instance_nodes(inst) if uuid in view.nodes]
    env = {
        "OP_TARGET": inst.name,
        "INSTANCE_NAME": inst.name,
        "INSTANCE_PRIMARY": nodes[0] if nodes else "",
        "INSTANCE_SECONDARIES": " ".join(nodes[1:]),
        "INSTANCE_OS_TYPE": inst.os,
        "INSTANCE_STATUS": inst.admin_state,
        "INSTANCE_MINMEM": str(be["minmem"]),
        "INSTANCE_MAXMEM": str(be["maxmem"]),
        "INSTANCE_MEMORY": str(be["maxmem"]),
        "INSTANCE_VCPUS": str(be["vcpus"]),
        "INSTANCE_DISK_TEMPLATE": own[0].dev_type if own else "diskless",
        "INSTANCE_HYPERVISOR": inst.hypervisor,
        "INSTANCE_NIC_COUNT": str(len(inst.nics)),
        "INSTANCE_TAGS": " ".join(inst.tags),
    }
    for index, nic in enumerate(inst.nics):
        env |= {f"INSTANCE_NIC{index}_{key}": text for key, text in _nic(view, nic)}
    env["INSTANCE_DISK_COUNT"] = str(len(own))
    for index, disk in enumerate(own):
        env |= {f"INSTANCE_DISK{index}_{key}": text for key, text in _disk(disk)}
    env |= {f"INSTANCE_BE_{key}": str(value) for key, value in be.items()}
    env |= {f"INSTANCE_HV_{key}": str(value) for key, value in view.fill_hv(inst).items()}
    return env


def _nic(view: ConfigView, nic: Nic) -> Iterator[tuple[str, str]]:
    filled = view.fill_nic(nic)
    yield "NAME", nic.name or ""
    yield "UUID", nic.uuid
    yield "IP", nic.ip or ""
    yield "MAC", nic.mac
    for key in ("mode", "link", "vlan"):
        yield key.upper(), str(filled[key] or "")
    if filled["mode"] in BRIDGED_MODES:
        yield "BRIDGE", str(filled["link"])
    network = view.networks.get(nic.network or "")
    if network is not None:
        yield from network_variables(network)


def network_variables(network: Network) -> Iterator[tuple[str, str]]:
    """NETWORK_* of one network; unset values are left out."""
    values: Mapping[str, Any] = {
        "NETWORK_NAME": network.name,
        "NETWORK_UUID": network.uuid,
        "NETWORK_TAGS": " ".join(network.tags),
        "NETWORK_SUBNET": network.network,
        "NETWORK_GATEWAY": network.gateway,
        "NETWORK_SUBNET6": network.network6,
        "NETWORK_GATEWAY6": network.gateway6,
        "NETWORK_MAC_PREFIX": network.mac_prefix,
    }
    for key, value in values.items():
        if value:
            yield key, str(value)


def _disk(disk: Disk) -> Iterator[tuple[str, str]]:
    if disk.name:
        yield "NAME", disk.name
    yield "UUID", disk.uuid
    yield "SIZE", str(disk.size)
    yield "MODE", disk.mode
    yield "DEV_TYPE", disk.dev_type
    if len(disk.logical_id) == 2:
        # Two-part ids: a provider and a volume, or a driver and a path (upstream's two names).
        first = "PROVIDER" if "provider" in disk.params else "DRIVER"
        yield first, str(disk.logical_id[0])
        yield "ID", str(disk.logical_id[1])
