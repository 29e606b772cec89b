"""Opcodes on backups, OS definitions, providers and tags, and queries that run as jobs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from ganeti_kernel.jobs.opcodes.base import InstanceOpcode, Name, Natural, Opcode


class OpBackupExport(InstanceOpcode, tag="OP_BACKUP_EXPORT", kw_only=True, frozen=True):
    """Export an instance to a node (local) or another cluster (remote)."""

    compress: str = "none"
    shutdown_timeout: Natural = 120
    target_node: Name | list[Any]
    target_node_uuid: Name | None = None
    shutdown: bool = True
    remove_instance: bool = False
    ignore_remove_failures: bool = False
    mode: Literal["local", "remote"] = "local"
    x509_key_name: list[Any] | None = None
    destination_x509_ca: Name | None = None
    zero_free_space: bool = False
    zeroing_timeout_fixed: int | None = None
    zeroing_timeout_per_mib: float | None = None
    long_sleep: bool = False


class OpBackupPrepare(InstanceOpcode, tag="OP_BACKUP_PREPARE", kw_only=True, frozen=True):
    """Prepare a remote export: keys and the handshake."""

    mode: Literal["local", "remote"]


class OpBackupRemove(InstanceOpcode, tag="OP_BACKUP_REMOVE", kw_only=True, frozen=True):
    """Remove exports of an instance."""


class OpExtStorageDiagnose(Opcode, tag="OP_EXT_STORAGE_DIAGNOSE", kw_only=True, frozen=True):
    """Report ExtStorage providers on all nodes."""

    output_fields: list[Name]
    names: list[Name] = []


class OpOsDiagnose(Opcode, tag="OP_OS_DIAGNOSE", kw_only=True, frozen=True):
    """Report OS definitions on all nodes."""

    output_fields: list[Name]
    names: list[Name] = []


class OpQuery(Opcode, tag="OP_QUERY", kw_only=True, frozen=True):
    """Query resources with fields and a filter."""

    SUMMARY: ClassVar[str] = "what"
    what: Name
    use_locking: bool = False
    fields: list[Name]
    qfilter: list[Any] | None = None


class OpQueryFields(Opcode, tag="OP_QUERY_FIELDS", kw_only=True, frozen=True):
    """Return field definitions."""

    SUMMARY: ClassVar[str] = "what"
    what: Name
    fields: list[Name] | None = None


class OpTagsDel(Opcode, tag="OP_TAGS_DEL", kw_only=True, frozen=True):
    """Remove tags."""

    kind: Literal["cluster", "instance", "network", "node", "nodegroup"]
    tags: list[str]
    name: str | None = None


class OpTagsGet(Opcode, tag="OP_TAGS_GET", kw_only=True, frozen=True):
    """Return tags."""

    SUMMARY: ClassVar[str] = "name"
    kind: Literal["cluster", "instance", "network", "node", "nodegroup"]
    use_locking: bool = False
    name: str | None = None


class OpTagsSearch(Opcode, tag="OP_TAGS_SEARCH", kw_only=True, frozen=True):
    """Search tags by a regular expression."""

    SUMMARY: ClassVar[str] = "pattern"
    pattern: Name


class OpTagsSet(Opcode, tag="OP_TAGS_SET", kw_only=True, frozen=True):
    """Add tags."""

    kind: Literal["cluster", "instance", "network", "node", "nodegroup"]
    tags: list[str]
    name: str | None = None
