"""An instance's NICs and disks: whole lists, and one column for each place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ganeti_kernel.config.ports import is_drbd
from ganeti_kernel.constants import MAX_DISKS, MAX_NICS
from ganeti_kernel.objects import Disk, Instance, Nic
from ganeti_kernel.query.fields.base import NUMBER, OTHER, TEXT, UNIT, Field, Getter, at
from ganeti_kernel.query.source import QuerySource

DRBD_META_SIZE: Final = 128
"""MiB that a mirrored disk needs beside its data (upstream 3.0)."""


def _each_nic(pick: Callable[[QuerySource, Nic], Any]) -> Getter:
    return lambda source, inst: [pick(source, nic) for nic in inst.nics]


def _each_disk(pick: Callable[[Disk], Any]) -> Getter:
    return lambda source, inst: [pick(disk) for disk in source.view.instance_disks(inst)]


def _nicparam(name: str) -> Callable[[QuerySource, Nic], Any]:
    return lambda source, nic: source.view.fill_nic(nic)[name]


def _bridge(source: QuerySource, nic: Nic) -> Any:
    filled = source.view.fill_nic(nic)
    return filled["link"] if filled["mode"] == "bridged" else None


def _network_name(source: QuerySource, nic: Nic) -> Any:
    network = source.view.networks.get(nic.network or "")
    return network.name if network else None


def disk_usage(source: QuerySource, inst: Instance) -> int:
    """MiB on one node, with what the mirror needs beside the data."""
    return sum(
        disk.size + (DRBD_META_SIZE if is_drbd(disk) else 0)
        for disk in source.view.instance_disks(inst)
    )


NIC_LISTS: Final[tuple[tuple[str, str, str, str, Getter], ...]] = (
    ("ip", "nic.ips", "NIC_IPs", "NicIP", _each_nic(lambda _source, nic: nic.ip)),
    ("mac", "nic.macs", "NIC_MACs", "NicMAC", _each_nic(lambda _source, nic: nic.mac)),
    ("name", "nic.names", "NIC_Names", "NicName", _each_nic(lambda _source, nic: nic.name)),
    ("uuid", "nic.uuids", "NIC_UUIDs", "NicUUID", _each_nic(lambda _source, nic: nic.uuid)),
    ("mode", "nic.modes", "NIC_modes", "NicMode", _each_nic(_nicparam("mode"))),
    ("link", "nic.links", "NIC_links", "NicLink", _each_nic(_nicparam("link"))),
    ("vlan", "nic.vlans", "NIC_VLANs", "NicVLAN", _each_nic(_nicparam("vlan"))),
    ("bridge", "nic.bridges", "NIC_bridges", "NicBridge", _each_nic(_bridge)),
    (
        "network",
        "nic.networks",
        "NIC_networks",
        "NicNetwork",
        _each_nic(lambda _source, nic: nic.network),
    ),
    (
        "network.name",
        "nic.networks.names",
        "NIC_networks_names",
        "NicNetworkName",
        _each_nic(_network_name),
    ),
)
"""Part of the column's name, the whole list's name and title, title of a single one, values."""

DISK_LISTS: Final[tuple[tuple[str, str, str, str, str, Getter], ...]] = (
    ("size", "disk.sizes", "Disk_sizes", "Disk", UNIT, _each_disk(lambda disk: disk.size)),
    (
        "spindles",
        "disk.spindles",
        "Disk_spindles",
        "DiskSpindles",
        NUMBER,
        _each_disk(lambda disk: disk.spindles),
    ),
    ("name", "disk.names", "Disk_names", "DiskName", TEXT, _each_disk(lambda disk: disk.name)),
    ("uuid", "disk.uuids", "Disk_UUIDs", "DiskUUID", TEXT, _each_disk(lambda disk: disk.uuid)),
)


def _nic_fields() -> list[Field]:
    out = []
    for part, plural, title, single, values in NIC_LISTS:
        what = part.replace(".", " ")
        out.append(Field(plural, title, OTHER, f"The {what} of each NIC", values))
        out += [
            Field(
                f"nic.{part}/{index}",
                f"{single}/{index}",
                TEXT,
                f"The {what} of NIC {index}",
                at(values, index),
            )
            for index in range(MAX_NICS)
        ]
    return out


def _disk_fields() -> list[Field]:
    out = []
    for part, plural, title, single, kind, values in DISK_LISTS:
        out.append(Field(plural, title, OTHER, f"The {part} of each disk", values))
        out += [
            Field(
                f"disk.{part}/{index}",
                f"{single}/{index}",
                kind,
                f"The {part} of disk {index}",
                at(values, index),
            )
            for index in range(MAX_DISKS)
        ]
    return out


OLD_NAMES: Final = {
    "sda_size": "disk.size/0",
    "sdb_size": "disk.size/1",
    "ip": "nic.ip/0",
    "mac": "nic.mac/0",
    "bridge": "nic.bridge/0",
    "nic_mode": "nic.mode/0",
    "nic_link": "nic.link/0",
    "nic_network": "nic.network/0",
}
"""Columns that upstream keeps under the names they had before there were several."""


def device_fields() -> list[Field]:
    """Make all columns about NICs and disks."""
    fields = [*_nic_fields(), *_disk_fields()]
    by_name = {field.name: field for field in fields}
    old = [
        Field(old, by_name[new].title, by_name[new].kind, by_name[new].doc, by_name[new].get)
        for old, new in OLD_NAMES.items()
    ]
    return [
        *fields,
        *old,
        Field("nic.count", "NICs", NUMBER, "Number of NICs", lambda _source, inst: len(inst.nics)),
        Field(
            "disk.count", "Disks", NUMBER, "Number of disks", lambda _source, inst: len(inst.disks)
        ),
        Field("disk_usage", "DiskUsage", UNIT, "Room its disks need on a node", disk_usage),
        Field(
            "custom_nicparams",
            "CustomNicParameters",
            OTHER,
            "Parameters set on each NIC itself",
            _each_nic(lambda _source, nic: nic.nicparams),
        ),
    ]
