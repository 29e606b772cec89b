"""Opcodes on instances."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from ganeti_kernel.jobs.opcodes.base import (
    DiskIndex,
    InstanceOpcode,
    Name,
    Natural,
    NicParams,
    Opcode,
    Params,
    Positive,
)


class OpInstanceActivateDisks(
    InstanceOpcode, tag="OP_INSTANCE_ACTIVATE_DISKS", kw_only=True, frozen=True
):
    """Activate an instance's disks."""

    ignore_size: bool = False
    wait_for_sync: bool = False


class OpInstanceChangeGroup(
    InstanceOpcode, tag="OP_INSTANCE_CHANGE_GROUP", kw_only=True, frozen=True
):
    """Move an instance to another node group."""

    early_release: bool = False
    iallocator: Name | None = None
    target_groups: list[Name] | None = None


class OpInstanceConsole(InstanceOpcode, tag="OP_INSTANCE_CONSOLE", kw_only=True, frozen=True):
    """Return how to reach the console."""


class OpInstanceCreate(Opcode, tag="OP_INSTANCE_CREATE", kw_only=True, frozen=True):
    """Create or import an instance."""

    SUMMARY: ClassVar[str] = "instance_name"
    instance_name: str
    force_variant: bool = False
    wait_for_sync: bool = True
    name_check: bool = False
    ignore_ipolicy: bool = False
    opportunistic_locking: bool = False
    beparams: Params = {}
    disks: list[Params]
    disk_template: Name | None = None
    group_name: Name | None = None
    file_driver: Name | None = None
    file_storage_dir: Name | None = None
    hvparams: Params = {}
    hypervisor: Name | None = None
    iallocator: Name | None = None
    identify_defaults: bool = False
    ip_check: bool = False
    conflicts_check: bool = True
    mode: Literal["create", "import", "remote-import"]
    nics: list[NicParams]
    no_install: bool | None = None
    osparams: Params = {}
    osparams_private: Params | None = None
    osparams_secret: Params | None = None
    os_type: Name | None = None
    pnode: Name | None = None
    pnode_uuid: Name | None = None
    snode: Name | None = None
    snode_uuid: Name | None = None
    source_handshake: list[Any] | None = None
    source_instance_name: Name | None = None
    source_shutdown_timeout: Natural = 120
    source_x509_ca: Name | None = None
    src_node: Name | None = None
    src_node_uuid: Name | None = None
    src_path: Name | None = None
    compress: str = "none"
    start: bool = True
    forthcoming: bool = False
    commit: bool = False
    tags: list[Name] = []
    instance_communication: bool = False
    helper_startup_timeout: int | None = None
    helper_shutdown_timeout: int | None = None


class OpInstanceDeactivateDisks(
    InstanceOpcode, tag="OP_INSTANCE_DEACTIVATE_DISKS", kw_only=True, frozen=True
):
    """Deactivate an instance's disks."""

    force: bool = False


class OpInstanceFailover(InstanceOpcode, tag="OP_INSTANCE_FAILOVER", kw_only=True, frozen=True):
    """Stop an instance and start it on another node."""

    shutdown_timeout: Natural = 120
    ignore_consistency: bool = False
    target_node: Name | None = None
    target_node_uuid: Name | None = None
    ignore_ipolicy: bool = False
    cleanup: bool = False
    iallocator: Name | None = None


class OpInstanceGrowDisk(InstanceOpcode, tag="OP_INSTANCE_GROW_DISK", kw_only=True, frozen=True):
    """Grow a disk; `amount` is MiB."""

    wait_for_sync: bool = True
    disk: DiskIndex
    amount: Natural
    absolute: bool = False
    ignore_ipolicy: bool = False


class OpInstanceMigrate(InstanceOpcode, tag="OP_INSTANCE_MIGRATE", kw_only=True, frozen=True):
    """Move a running instance to another node."""

    mode: Literal["live", "non-live"] | None = None
    live: bool | None = None
    target_node: Name | None = None
    target_node_uuid: Name | None = None
    allow_runtime_changes: bool = True
    ignore_ipolicy: bool = False
    cleanup: bool = False
    iallocator: Name | None = None
    allow_failover: bool = False
    ignore_hvversions: bool = False


class OpInstanceMove(InstanceOpcode, tag="OP_INSTANCE_MOVE", kw_only=True, frozen=True):
    """Copy an instance to another node."""

    shutdown_timeout: Natural = 120
    ignore_ipolicy: bool = False
    target_node: Name
    target_node_uuid: Name | None = None
    compress: str = "none"
    ignore_consistency: bool = False


class OpInstanceMultiAlloc(Opcode, tag="OP_INSTANCE_MULTI_ALLOC", kw_only=True, frozen=True):
    """Create several instances where an allocator puts them."""

    opportunistic_locking: bool = False
    iallocator: Name | None = None
    instances: list[Any] = []


class OpInstanceQueryData(Opcode, tag="OP_INSTANCE_QUERY_DATA", kw_only=True, frozen=True):
    """Return what is known of instances."""

    use_locking: bool = False
    instances: list[Name] = []
    static: bool = False


class OpInstanceReboot(InstanceOpcode, tag="OP_INSTANCE_REBOOT", kw_only=True, frozen=True):
    """Reboot an instance."""

    shutdown_timeout: Natural = 120
    ignore_secondaries: bool = False
    reboot_type: Literal["full", "hard", "soft"]


class OpInstanceRecreateDisks(
    InstanceOpcode, tag="OP_INSTANCE_RECREATE_DISKS", kw_only=True, frozen=True
):
    """Create lost disks again."""

    disks: list[Any] = []
    nodes: list[Name] = []
    node_uuids: list[Name] | None = None
    iallocator: Name | None = None


class OpInstanceReinstall(InstanceOpcode, tag="OP_INSTANCE_REINSTALL", kw_only=True, frozen=True):
    """Run the OS's create script again."""

    force_variant: bool = False
    os_type: Name | None = None
    osparams: Params | None = None
    osparams_private: Params | None = None
    osparams_secret: Params | None = None


class OpInstanceRemove(InstanceOpcode, tag="OP_INSTANCE_REMOVE", kw_only=True, frozen=True):
    """Remove an instance."""

    shutdown_timeout: Natural = 120
    ignore_failures: bool = False


class OpInstanceRename(Opcode, tag="OP_INSTANCE_RENAME", kw_only=True, frozen=True):
    """Rename an instance."""

    instance_name: str
    instance_uuid: Name | None = None
    new_name: Name
    name_check: bool = False
    ip_check: bool = False


class OpInstanceReplaceDisks(
    InstanceOpcode, tag="OP_INSTANCE_REPLACE_DISKS", kw_only=True, frozen=True
):
    """Replace mirrored disks."""

    early_release: bool = False
    ignore_ipolicy: bool = False
    mode: Literal[
        "replace_auto", "replace_new_secondary", "replace_on_primary", "replace_on_secondary"
    ]
    disks: list[DiskIndex] = []
    remote_node: Name | None = None
    remote_node_uuid: Name | None = None
    iallocator: Name | None = None


class OpInstanceSetParams(InstanceOpcode, tag="OP_INSTANCE_SET_PARAMS", kw_only=True, frozen=True):
    """Change an instance. `nics` and `disks`: [operation, index or name, parameters]."""

    force: bool = False
    force_variant: bool = False
    ignore_ipolicy: bool = False
    nics: list[Any] = []
    disks: list[Any] = []
    beparams: Params = {}
    runtime_mem: Positive | None = None
    hvparams: Params = {}
    disk_template: Name | None = None
    ext_params: Params = {}
    file_driver: Name | None = None
    file_storage_dir: Name | None = None
    pnode: Name | None = None
    pnode_uuid: Name | None = None
    remote_node: Name | None = None
    remote_node_uuid: Name | None = None
    iallocator: Name | None = None
    os_name: Name | None = None
    osparams: Params = {}
    osparams_private: Params | None = None
    wait_for_sync: bool = True
    offline: bool | None = None
    conflicts_check: bool = True
    hotplug: bool = True
    instance_communication: bool | None = None
    hotplug_if_possible: bool = False


class OpInstanceShutdown(InstanceOpcode, tag="OP_INSTANCE_SHUTDOWN", kw_only=True, frozen=True):
    """Stop an instance; `timeout` is seconds."""

    force: bool = False
    ignore_offline_nodes: bool = False
    timeout: Natural = 120
    no_remember: bool = False
    admin_state_source: Literal["admin", "user"] | None = None


class OpInstanceStartup(InstanceOpcode, tag="OP_INSTANCE_STARTUP", kw_only=True, frozen=True):
    """Start an instance."""

    force: bool = False
    ignore_offline_nodes: bool = False
    hvparams: Params = {}
    beparams: Params = {}
    no_remember: bool = False
    startup_paused: bool = False
    shutdown_timeout: Natural = 120
