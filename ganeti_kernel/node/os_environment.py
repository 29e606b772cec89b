"""The environment of an OS definition's scripts. Pure.

Names and values are upstream 3.0's; nothing of the daemon's own environment gets in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ganeti_kernel.node.os_definitions import API_VARIANTS, OsDefinition, split_name
from ganeti_kernel.objects.guest import Guest, GuestDisk, GuestNic, NicNetwork

SCRIPT_PATH: Final = "/sbin:/bin:/usr/sbin:/usr/bin"

BRIDGED: Final = "bridged"
"""The one NIC mode for which upstream sets NIC_n_BRIDGE beside NIC_n_LINK."""

Environment = dict[str, str]


def core_environment(
    definition: OsDefinition, os_name: str, osparams: Mapping[str, Any], debug: int = 0
) -> Environment:
    """What every script gets, `verify` nothing else. `os_name` is with the variant, if any."""
    env = {
        "PATH": SCRIPT_PATH,
        "OS_API_VERSION": str(definition.api),
        "OS_NAME": definition.name,
        "DEBUG_LEVEL": str(debug),
    }
    if definition.api >= API_VARIANTS and definition.variants:
        env["OS_VARIANT"] = split_name(os_name)[1] or definition.variants[0]
    for name, value in osparams.items():
        env[f"OSP_{name.upper().replace('-', '_')}"] = str(value)
    return env


def guest_environment(
    definition: OsDefinition,
    guest: Guest,
    osparams: Mapping[str, Any],
    backend: Callable[[GuestDisk], str],
    debug: int = 0,
) -> Environment:
    """What scripts get that work on a guest, whose disks have their devices.

    `backend(disk)` is "block", or "file:<driver>" for disks that are files.
    """
    env = core_environment(definition, guest.os, osparams, debug)
    env |= {
        "INSTANCE_NAME": guest.name,
        "INSTANCE_OS": guest.os,
        "INSTANCE_UUID": guest.uuid,
        "INSTANCE_CTIME": str(guest.ctime),
        "INSTANCE_MTIME": str(guest.mtime),
        "INSTANCE_PRIMARY_NODE": guest.primary_node,
        "INSTANCE_SECONDARY_NODES": " ".join(guest.secondary_nodes),
        "HYPERVISOR": guest.hypervisor,
        "DISK_COUNT": str(len(guest.disks)),
        "NIC_COUNT": str(len(guest.nics)),
    }
    for index, disk in enumerate(guest.disks):
        env.update((f"DISK_{index}_{key}", value) for key, value in _disk(guest, disk, backend))
    for index, nic in enumerate(guest.nics):
        env.update((f"NIC_{index}_{key}", value) for key, value in _nic(guest, nic))
    env.update((f"INSTANCE_BE_{key}", str(value)) for key, value in guest.beparams.items())
    env.update((f"INSTANCE_HV_{key}", str(value)) for key, value in guest.hvparams.items())
    return env


def transfer_environment(action: str, guest: Guest, disk: GuestDisk) -> Environment:
    """What an export or import script gets besides, for the one disk it works on."""
    prefix = action.upper()
    env = {f"{prefix}_INDEX": str(disk.index)}
    if disk.device.path:
        env |= {f"{prefix}_DEVICE": disk.device.path, f"{prefix}_DISK_PATH": disk.device.path}
    uri = device_uri(guest, disk)
    if uri:
        env[f"{prefix}_DISK_URI"] = uri
    return env


def _disk(
    guest: Guest, disk: GuestDisk, backend: Callable[[GuestDisk], str]
) -> Iterator[tuple[str, str]]:
    yield "ACCESS", disk.mode
    yield "UUID", disk.uuid
    yield "SIZE", str(disk.size)
    yield "BACKEND_TYPE", backend(disk)
    if disk.name:
        yield "NAME", disk.name
    if disk.device.path:
        yield "PATH", disk.device.path
    uri = device_uri(guest, disk)
    if uri:
        yield "URI", uri
    if guest.hvparams.get("disk_type"):
        yield "FRONTEND_TYPE", str(guest.hvparams["disk_type"])


def device_uri(guest: Guest, disk: GuestDisk) -> str:
    """What the guest's hypervisor opens instead of a device; empty when there is none."""
    return disk.device.uris.get(guest.hypervisor, "")


def _nic(guest: Guest, nic: GuestNic) -> Iterator[tuple[str, str]]:
    yield "MAC", nic.mac
    yield "UUID", nic.uuid
    yield "MODE", nic.mode
    if nic.name:
        yield "NAME", nic.name
    if nic.ip:
        yield "IP", nic.ip
    if nic.link:
        yield "LINK", nic.link
    if nic.mode == BRIDGED:
        yield "BRIDGE", nic.link
    if guest.hvparams.get("nic_type"):
        yield "FRONTEND_TYPE", str(guest.hvparams["nic_type"])
    if nic.network is not None:
        yield from ((f"NETWORK_{key}", value) for key, value in _network(nic.network))


def _network(network: NicNetwork) -> Iterator[tuple[str, str]]:
    yield "NAME", network.name
    yield "UUID", network.uuid
    yield "TAGS", " ".join(network.tags)
    optional = {
        "SUBNET": network.subnet,
        "GATEWAY": network.gateway,
        "SUBNET6": network.subnet6,
        "GATEWAY6": network.gateway6,
        "MAC_PREFIX": network.mac_prefix,
    }
    yield from ((key, value) for key, value in optional.items() if value)
