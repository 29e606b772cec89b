"""Opcodes on networks."""

from __future__ import annotations

from typing import ClassVar

from ganeti_kernel.jobs.opcodes.base import Name, Opcode


class OpNetworkAdd(Opcode, tag="OP_NETWORK_ADD", kw_only=True, frozen=True):
    """Add a network."""

    SUMMARY: ClassVar[str] = "network_name"
    network_name: Name
    network: str
    gateway: str | None = None
    network6: str | None = None
    gateway6: str | None = None
    mac_prefix: Name | None = None
    add_reserved_ips: list[str] | None = None
    conflicts_check: bool = True
    tags: list[Name] = []


class OpNetworkConnect(Opcode, tag="OP_NETWORK_CONNECT", kw_only=True, frozen=True):
    """Connect a network to a node group."""

    SUMMARY: ClassVar[str] = "network_name"
    group_name: Name
    network_name: Name
    network_mode: Name
    network_link: Name
    network_vlan: str = ""
    conflicts_check: bool = True


class OpNetworkDisconnect(Opcode, tag="OP_NETWORK_DISCONNECT", kw_only=True, frozen=True):
    """Disconnect a network from a node group."""

    SUMMARY: ClassVar[str] = "network_name"
    group_name: Name
    network_name: Name


class OpNetworkRemove(Opcode, tag="OP_NETWORK_REMOVE", kw_only=True, frozen=True):
    """Remove a network."""

    SUMMARY: ClassVar[str] = "network_name"
    network_name: Name
    force: bool = False


class OpNetworkRename(Opcode, tag="OP_NETWORK_RENAME", kw_only=True, frozen=True):
    """Rename a network."""

    network_name: Name
    new_name: Name


class OpNetworkSetParams(Opcode, tag="OP_NETWORK_SET_PARAMS", kw_only=True, frozen=True):
    """Change a network."""

    SUMMARY: ClassVar[str] = "network_name"
    network_name: Name
    gateway: str | None = None
    network6: str | None = None
    gateway6: str | None = None
    mac_prefix: Name | None = None
    add_reserved_ips: list[str] | None = None
    remove_reserved_ips: list[str] | None = None
