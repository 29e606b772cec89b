"""A guest as a node sees it: parameters filled in, disks with paths, NICs with networks.

The master builds it without device paths; the node adds them once the disks are active.
"""

from __future__ import annotations

from typing import Any

import msgspec


class BlockDevice(msgspec.Struct, kw_only=True, frozen=True):
    """An active disk on this node.

    `path` is a block device or file (None: only userspace access); `uris` maps a hypervisor's
    name to what that hypervisor opens.
    """

    path: str | None = None
    uris: dict[str, str] = {}


class GuestDisk(msgspec.Struct, kw_only=True, frozen=True):
    """A disk with everything a driver needs; no look-up in the configuration is necessary.

    `size` is MiB; `params` are the template's parameters (cluster, group) with the disk's own on
    top; `mode` is "rw" or "ro"; `index` the position in the instance, `instance` its name.
    """

    uuid: str
    index: int
    dev_type: str
    logical_id: list[Any]
    size: int
    mode: str = "rw"
    name: str | None = None
    instance: str = ""
    params: dict[str, Any] = {}
    children: list[GuestDisk] = []
    device: BlockDevice = BlockDevice()


class NicNetwork(msgspec.Struct, kw_only=True, frozen=True):
    """What a network script may want to know of a NIC's network."""

    name: str
    uuid: str
    subnet: str
    gateway: str | None = None
    subnet6: str | None = None
    gateway6: str | None = None
    mac_prefix: str | None = None
    tags: list[str] = []


class GuestNic(msgspec.Struct, kw_only=True, frozen=True):
    """A NIC with its parameters filled in. `mode` names the network script that serves it."""

    index: int
    uuid: str
    mac: str
    mode: str
    link: str = ""
    vlan: str = ""
    ip: str | None = None
    name: str | None = None
    network: NicNetwork | None = None


class Guest(msgspec.Struct, kw_only=True, frozen=True):
    """An instance with all parameters filled in.

    Memory is MiB; `network_port` is the TCP port of its VNC or SPICE screen.
    """

    name: str
    uuid: str
    hypervisor: str
    os: str = ""
    maxmem: int = 128
    minmem: int = 128
    vcpus: int = 1
    hvparams: dict[str, Any] = {}
    beparams: dict[str, Any] = {}
    disks: list[GuestDisk] = []
    nics: list[GuestNic] = []
    tags: list[str] = []
    primary_node: str = ""
    secondary_nodes: list[str] = []
    ctime: float = 0.0
    mtime: float = 0.0
    serial_no: int = 1
    disk_template: str = ""
    network_port: int | None = None
