"""Cluster, node, node group, network and job filter, as `config.data` holds them (upstream 3.0)."""

from __future__ import annotations

from typing import Any

import msgspec

Params = dict[str, Any]


class Common(msgspec.Struct, kw_only=True, frozen=True):
    """Fields that every object of the configuration has.

    `ctime` and `mtime` are seconds since the epoch; `serial_no` grows by one with each change.
    """

    uuid: str
    serial_no: int = 1
    ctime: float = 0.0
    mtime: float = 0.0


class Tagged(Common, kw_only=True, frozen=True):
    tags: list[str] = []


class Node(Tagged, kw_only=True, frozen=True):
    """A machine of the cluster. `group` is the node group's UUID."""

    name: str
    primary_ip: str
    secondary_ip: str = ""
    master_candidate: bool = False
    offline: bool = False
    drained: bool = False
    group: str = ""
    master_capable: bool = True
    vm_capable: bool = True
    ndparams: Params = {}
    powered: bool = True
    hv_state_static: Params | None = None
    disk_state_static: Params | None = None


class NodeGroup(Tagged, kw_only=True, frozen=True):
    """A set of nodes with common parameters. `networks`: network UUID -> NIC parameters."""

    name: str
    members: list[str] = []
    ndparams: Params = {}
    alloc_policy: str = "preferred"
    ipolicy: Params = {}
    diskparams: dict[str, Params] = {}
    networks: dict[str, Params] = {}
    hv_state_static: Params | None = None
    disk_state_static: Params | None = None


class Network(Tagged, kw_only=True, frozen=True):
    """A collision domain with a pool of addresses.

    `network` is IPv4 in CIDR form; `reservations` and `ext_reservations` are strings of "0" and
    "1", one character an address, counted from the network address.
    """

    name: str
    network: str
    network6: str | None = None
    gateway: str | None = None
    gateway6: str | None = None
    mac_prefix: str | None = None
    reservations: str | None = None
    ext_reservations: str | None = None


class FilterRule(Common, kw_only=True, frozen=True):
    """A job filter: the first rule that matches a job decides what becomes of it."""

    watermark: int
    priority: int
    predicates: list[Any]
    action: Any
    reason_trail: list[Any] = []


class Cluster(Tagged, kw_only=True, frozen=True):
    """What holds for the whole cluster. `master_node` is a node's UUID."""

    cluster_name: str
    master_node: str
    master_ip: str
    master_netdev: str = ""
    master_netmask: int = 32
    rsahostkeypub: str = ""
    dsahostkeypub: str | None = None
    highest_used_port: int = 10999
    tcpudp_port_pool: list[int] = []
    mac_prefix: str = "aa:00:00"
    volume_group_name: str | None = None
    reserved_lvs: list[str] = []
    drbd_usermode_helper: str | None = None
    use_external_mip_script: bool = False
    file_storage_dir: str = ""
    shared_file_storage_dir: str = ""
    gluster_storage_dir: str = ""
    enabled_hypervisors: list[str] = []
    hvparams: dict[str, Params] = {}
    os_hvp: dict[str, dict[str, Params]] = {}
    beparams: dict[str, Params] = {}
    osparams: dict[str, Params] = {}
    osparams_private_cluster: dict[str, Params] = {}
    nicparams: dict[str, Params] = {}
    ndparams: Params = {}
    diskparams: dict[str, Params] = {}
    candidate_pool_size: int = 10
    modify_etc_hosts: bool = False
    modify_ssh_setup: bool = False
    maintain_node_health: bool = False
    uid_pool: list[Any] = []
    default_iallocator: str = ""
    default_iallocator_params: Params = {}
    hidden_os: list[str] = []
    blacklisted_os: list[str] = []
    primary_ip_family: int = 2
    prealloc_wipe_disks: bool = False
    ipolicy: Params = {}
    hv_state_static: Params | None = None
    disk_state_static: Params | None = None
    enabled_disk_templates: list[str] = []
    candidate_certs: dict[str, str] = {}
    max_running_jobs: int = 20
    max_tracked_jobs: int = 25
    install_image: str = ""
    instance_communication_network: str = ""
    zeroing_image: str = ""
    compression_tools: list[str] = msgspec.field(
        default_factory=lambda: ["gzip", "gzip-fast", "gzip-slow"]
    )
    enabled_user_shutdown: bool = False
    data_collectors: dict[str, Params] = {}
    ssh_key_type: str = "rsa"
    ssh_key_bits: int = 2048
