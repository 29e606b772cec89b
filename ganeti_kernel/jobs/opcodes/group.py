"""Opcodes on node groups."""

from __future__ import annotations

from typing import Literal

from ganeti_kernel.jobs.opcodes.base import GroupOpcode, Name, Opcode, Params


class OpGroupAdd(GroupOpcode, tag="OP_GROUP_ADD", kw_only=True, frozen=True):
    """Add a node group."""

    alloc_policy: Literal["last_resort", "preferred", "unallocable"] | None = None
    ndparams: Params | None = None
    diskparams: dict[str, Params] | None = None
    hv_state: Params | None = None
    disk_state: Params | None = None
    ipolicy: Params | None = None


class OpGroupAssignNodes(GroupOpcode, tag="OP_GROUP_ASSIGN_NODES", kw_only=True, frozen=True):
    """Move nodes to a node group."""

    force: bool = False
    nodes: list[Name]
    node_uuids: list[Name] | None = None


class OpGroupEvacuate(GroupOpcode, tag="OP_GROUP_EVACUATE", kw_only=True, frozen=True):
    """Move all instances out of a node group."""

    early_release: bool = False
    iallocator: Name | None = None
    target_groups: list[Name] | None = None
    sequential: bool = False
    force_failover: bool = False


class OpGroupRemove(GroupOpcode, tag="OP_GROUP_REMOVE", kw_only=True, frozen=True):
    """Remove an empty node group."""


class OpGroupRename(Opcode, tag="OP_GROUP_RENAME", kw_only=True, frozen=True):
    """Rename a node group."""

    group_name: Name
    new_name: Name


class OpGroupSetParams(GroupOpcode, tag="OP_GROUP_SET_PARAMS", kw_only=True, frozen=True):
    """Change parameters of a node group."""

    alloc_policy: Literal["last_resort", "preferred", "unallocable"] | None = None
    ndparams: Params | None = None
    diskparams: dict[str, Params] | None = None
    hv_state: Params | None = None
    disk_state: Params | None = None
    ipolicy: Params | None = None


class OpGroupVerifyDisks(GroupOpcode, tag="OP_GROUP_VERIFY_DISKS", kw_only=True, frozen=True):
    """Find broken disks in a node group."""

    is_strict: bool = True
