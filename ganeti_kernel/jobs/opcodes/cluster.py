"""Opcodes on the whole cluster."""

from __future__ import annotations

from typing import ClassVar, Literal

from ganeti_kernel.jobs.opcodes.base import (
    GroupOpcode,
    Name,
    Natural,
    NicParams,
    Opcode,
    Params,
    Positive,
)


class OpClusterActivateMasterIp(
    Opcode, tag="OP_CLUSTER_ACTIVATE_MASTER_IP", kw_only=True, frozen=True
):
    """Bring the master's address up."""


class OpClusterConfigQuery(Opcode, tag="OP_CLUSTER_CONFIG_QUERY", kw_only=True, frozen=True):
    """Return configuration values."""

    output_fields: list[Name]


class OpClusterConfigRollback(Opcode, tag="OP_CLUSTER_CONFIG_ROLLBACK", kw_only=True, frozen=True):
    """Bring an earlier configuration back (not upstream's)."""

    SUMMARY: ClassVar[str] = "serial"
    serial: Positive
    force: bool = False


class OpClusterDeactivateMasterIp(
    Opcode, tag="OP_CLUSTER_DEACTIVATE_MASTER_IP", kw_only=True, frozen=True
):
    """Take the master's address down."""


class OpClusterDestroy(Opcode, tag="OP_CLUSTER_DESTROY", kw_only=True, frozen=True):
    """Destroy the cluster."""


class OpClusterPostInit(Opcode, tag="OP_CLUSTER_POST_INIT", kw_only=True, frozen=True):
    """Run what follows initialisation (hooks)."""


class OpClusterQuery(Opcode, tag="OP_CLUSTER_QUERY", kw_only=True, frozen=True):
    """Return what is known of the cluster."""


class OpClusterRedistConf(Opcode, tag="OP_CLUSTER_REDIST_CONF", kw_only=True, frozen=True):
    """Send configuration files to all nodes again."""


class OpClusterRename(Opcode, tag="OP_CLUSTER_RENAME", kw_only=True, frozen=True):
    """Rename the cluster."""

    SUMMARY: ClassVar[str] = "name"
    name: Name


class OpClusterRenewCrypto(Opcode, tag="OP_CLUSTER_RENEW_CRYPTO", kw_only=True, frozen=True):
    """Renew keys and certificates."""

    node_certificates: bool = False
    renew_ssh_keys: bool = False
    ssh_key_type: Literal["dsa", "ecdsa", "rsa"] | None = None
    ssh_key_bits: Positive | None = None
    verbose: bool = False
    debug: bool = False


class OpClusterRepairDiskSizes(
    Opcode, tag="OP_CLUSTER_REPAIR_DISK_SIZES", kw_only=True, frozen=True
):
    """Correct recorded disk sizes by the real ones."""

    instances: list[Name] = []


class OpClusterSetParams(Opcode, tag="OP_CLUSTER_SET_PARAMS", kw_only=True, frozen=True):
    """Change parameters of the cluster."""

    force: bool = False
    hv_state: Params | None = None
    disk_state: Params | None = None
    vg_name: str | None = None
    enabled_hypervisors: list[Name] | None = None
    hvparams: dict[str, Params] | None = None
    beparams: Params | None = None
    os_hvp: dict[str, Params] | None = None
    osparams: dict[str, Params] | None = None
    osparams_private_cluster: dict[str, Params] | None = None
    diskparams: dict[str, Params] | None = None
    candidate_pool_size: Positive | None = None
    max_running_jobs: Positive | None = None
    max_tracked_jobs: Positive | None = None
    uid_pool: list[tuple[int, int]] | None = None
    add_uids: list[tuple[int, int]] | None = None
    remove_uids: list[tuple[int, int]] | None = None
    maintain_node_health: bool | None = None
    prealloc_wipe_disks: bool | None = None
    nicparams: NicParams | None = None
    ndparams: Params | None = None
    ipolicy: Params | None = None
    drbd_helper: str | None = None
    default_iallocator: str | None = None
    default_iallocator_params: Params | None = None
    mac_prefix: Name | None = None
    master_netdev: str | None = None
    master_netmask: Natural | None = None
    reserved_lvs: list[Name] | None = None
    hidden_os: list[tuple[Literal["add", "attach", "detach", "remove"], Name]] | None = None
    blacklisted_os: list[tuple[Literal["add", "attach", "detach", "remove"], Name]] | None = None
    use_external_mip_script: bool | None = None
    enabled_disk_templates: list[Name] | None = None
    modify_etc_hosts: bool | None = None
    file_storage_dir: str | None = None
    shared_file_storage_dir: str | None = None
    gluster_storage_dir: str | None = None
    install_image: str | None = None
    instance_communication_network: str | None = None
    zeroing_image: str | None = None
    compression_tools: list[Name] | None = None
    enabled_user_shutdown: bool | None = None
    enabled_data_collectors: dict[str, bool] | None = None
    data_collector_interval: dict[str, int] | None = None


class OpClusterVerify(Opcode, tag="OP_CLUSTER_VERIFY", kw_only=True, frozen=True):
    """Verify the cluster: submits one job per node group."""

    debug_simulate_errors: bool = False
    error_codes: bool = False
    skip_checks: list[Literal["hvparam_assessment", "nplusone_mem"]] = []
    ignore_errors: list[str] = []
    verbose: bool = False
    group_name: Name | None = None
    verify_clutter: bool = False


class OpClusterVerifyConfig(Opcode, tag="OP_CLUSTER_VERIFY_CONFIG", kw_only=True, frozen=True):
    """Verify the configuration."""

    debug_simulate_errors: bool = False
    error_codes: bool = False
    ignore_errors: list[str] = []
    verbose: bool = False


class OpClusterVerifyDisks(Opcode, tag="OP_CLUSTER_VERIFY_DISKS", kw_only=True, frozen=True):
    """Verify disks: submits one job per node group."""

    group_name: Name | None = None
    is_strict: bool = True


class OpClusterVerifyGroup(GroupOpcode, tag="OP_CLUSTER_VERIFY_GROUP", kw_only=True, frozen=True):
    """Verify a node group."""

    debug_simulate_errors: bool = False
    error_codes: bool = False
    skip_checks: list[Literal["hvparam_assessment", "nplusone_mem"]] = []
    ignore_errors: list[str] = []
    verbose: bool = False
    verify_clutter: bool = False
