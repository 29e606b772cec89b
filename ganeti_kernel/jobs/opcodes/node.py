"""Opcodes on nodes and their storage."""

from __future__ import annotations

from typing import ClassVar, Literal

from ganeti_kernel.jobs.opcodes.base import Name, NodeOpcode, Opcode, Params


class OpNodeAdd(Opcode, tag="OP_NODE_ADD", kw_only=True, frozen=True):
    """Add a node, or add it again (`readd`)."""

    SUMMARY: ClassVar[str] = "node_name"
    node_name: Name
    hv_state: Params | None = None
    disk_state: Params | None = None
    primary_ip: Name | None = None
    secondary_ip: Name | None = None
    readd: bool = False
    group: Name | None = None
    master_capable: bool | None = None
    vm_capable: bool | None = None
    ndparams: Params | None = None
    node_setup: bool = False


class OpNodeEvacuate(NodeOpcode, tag="OP_NODE_EVACUATE", kw_only=True, frozen=True):
    """Move instances away from a node."""

    early_release: bool = False
    remote_node: Name | None = None
    remote_node_uuid: Name | None = None
    iallocator: Name | None = None
    mode: Literal["all", "primary-only", "secondary-only"]
    ignore_soft_errors: bool | None = None


class OpNodeMigrate(NodeOpcode, tag="OP_NODE_MIGRATE", kw_only=True, frozen=True):
    """Migrate all instances away from a node."""

    mode: Literal["live", "non-live"] | None = None
    live: bool | None = None
    target_node: Name | None = None
    target_node_uuid: Name | None = None
    allow_runtime_changes: bool = True
    ignore_ipolicy: bool = False
    iallocator: Name | None = None


class OpNodeModifyStorage(NodeOpcode, tag="OP_NODE_MODIFY_STORAGE", kw_only=True, frozen=True):
    """Change a storage unit."""

    storage_type: Name
    name: Name | None = None
    changes: Params


class OpNodePowercycle(NodeOpcode, tag="OP_NODE_POWERCYCLE", kw_only=True, frozen=True):
    """Reset a node hard."""

    force: bool = False


class OpNodeQueryvols(Opcode, tag="OP_NODE_QUERYVOLS", kw_only=True, frozen=True):
    """List volumes on nodes."""

    output_fields: list[Name]
    nodes: list[Name] = []


class OpNodeQueryStorage(Opcode, tag="OP_NODE_QUERY_STORAGE", kw_only=True, frozen=True):
    """List storage units on nodes."""

    output_fields: list[Name]
    storage_type: Name | None = None
    nodes: list[Name] = []
    name: Name | None = None


class OpNodeRemove(NodeOpcode, tag="OP_NODE_REMOVE", kw_only=True, frozen=True):
    """Remove a node."""


class OpNodeSetParams(NodeOpcode, tag="OP_NODE_SET_PARAMS", kw_only=True, frozen=True):
    """Change parameters or the role of a node."""

    force: bool = False
    hv_state: Params | None = None
    disk_state: Params | None = None
    master_candidate: bool | None = None
    offline: bool | None = None
    drained: bool | None = None
    auto_promote: bool = False
    master_capable: bool | None = None
    vm_capable: bool | None = None
    secondary_ip: Name | None = None
    ndparams: Params | None = None
    powered: bool | None = None


class OpOobCommand(Opcode, tag="OP_OOB_COMMAND", kw_only=True, frozen=True):
    """Run an out-of-band command; times are seconds."""

    node_names: list[Name] = []
    node_uuids: list[Name] | None = None
    command: Literal["health", "power-cycle", "power-off", "power-on", "power-status"]
    timeout: int = 60
    ignore_status: bool = False
    power_delay: float = 2.0


class OpRepairNodeStorage(NodeOpcode, tag="OP_REPAIR_NODE_STORAGE", kw_only=True, frozen=True):
    """Repair a storage unit."""

    storage_type: Name
    name: Name | None = None
    ignore_consistency: bool = False


class OpRestrictedCommand(Opcode, tag="OP_RESTRICTED_COMMAND", kw_only=True, frozen=True):
    """Run a command that the administrator allows."""

    use_locking: bool = False
    nodes: list[Name]
    node_uuids: list[Name] | None = None
    command: Name
