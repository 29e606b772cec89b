"""Instance, NIC and disk, as `config.data` holds them (upstream 3.0)."""

from __future__ import annotations

from typing import Any

import msgspec

from ganeti_kernel.objects.cluster import Params, Tagged


class Nic(msgspec.Struct, kw_only=True, frozen=True):
    """A network interface. `network` is a network's UUID; `nicparams` mode, link and vlan."""

    uuid: str = ""
    mac: str = ""
    ip: str | None = None
    name: str | None = None
    network: str | None = None
    nicparams: Params = {}


class Disk(msgspec.Struct, kw_only=True, frozen=True):
    """A disk. `size` is MiB; what `logical_id` holds depends on the template (`dev_type`).

    `nodes` lists the UUIDs of nodes that hold the data, empty when storage is shared.
    """

    dev_type: str = ""
    logical_id: list[Any] = []
    children: list[Disk] = []
    nodes: list[str] = []
    iv_name: str = ""
    size: int = 0
    mode: str = "rw"
    name: str | None = None
    spindles: int | None = None
    params: Params = {}
    uuid: str = ""
    serial_no: int = 1
    ctime: float = 0.0
    mtime: float = 0.0
    forthcoming: bool | None = None
    instance: str | None = None


class Instance(Tagged, kw_only=True, frozen=True):
    """A guest. `primary_node` is a node's UUID, `disks` lists disks' UUIDs.

    `admin_state` is what should be ("up", "down", "offline"). A `forthcoming` instance is only
    a reservation; its other fields may be empty.
    """

    name: str = ""
    primary_node: str = ""
    os: str = ""
    hypervisor: str = ""
    hvparams: Params = {}
    beparams: Params = {}
    osparams: Params = {}
    osparams_private: Params = {}
    admin_state: str = "down"
    admin_state_source: str = "admin"
    nics: list[Nic] = []
    disks: list[str] = []
    disks_active: bool = False
    network_port: int | None = None
    forthcoming: bool | None = None
