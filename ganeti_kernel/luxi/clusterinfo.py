"""The answers of QueryClusterInfo and QueryConfigValues (upstream 3.0's keys), from a view."""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from ganeti_kernel.errors import OpPrereqError
from ganeti_kernel.objects import Cluster, ConfigView
from ganeti_kernel.version import (
    CONFIG_VERSION,
    EXPORT_VERSION,
    OS_API_VERSIONS,
    PROTOCOL_VERSION,
    SOFTWARE_VERSION,
)

_AS_STORED: Final = (
    "enabled_hypervisors",
    "hvparams",
    "os_hvp",
    "beparams",
    "osparams",
    "ipolicy",
    "nicparams",
    "ndparams",
    "diskparams",
    "candidate_pool_size",
    "max_running_jobs",
    "max_tracked_jobs",
    "mac_prefix",
    "master_netdev",
    "master_netmask",
    "use_external_mip_script",
    "volume_group_name",
    "drbd_usermode_helper",
    "file_storage_dir",
    "shared_file_storage_dir",
    "gluster_storage_dir",
    "maintain_node_health",
    "ctime",
    "mtime",
    "uuid",
    "tags",
    "uid_pool",
    "default_iallocator",
    "default_iallocator_params",
    "reserved_lvs",
    "prealloc_wipe_disks",
    "hidden_os",
    "blacklisted_os",
    "enabled_disk_templates",
    "install_image",
    "instance_communication_network",
    "zeroing_image",
    "compression_tools",
    "enabled_user_shutdown",
    "modify_etc_hosts",
    "modify_ssh_setup",
    "ssh_key_type",
    "ssh_key_bits",
)
"""Fields of the cluster object that the answer holds under their own names."""

_IP_VERSIONS: Final = {2: 4, 10: 6}


def cluster_info(view: ConfigView) -> dict[str, Any]:
    """Return the answer of QueryClusterInfo."""
    cluster = view.cluster
    info: dict[str, Any] = {
        "software_version": SOFTWARE_VERSION,
        "protocol_version": PROTOCOL_VERSION,
        "config_version": CONFIG_VERSION,
        "os_api_version": max(OS_API_VERSIONS),
        "export_version": EXPORT_VERSION,
        "vcs_version": f"ganeti-kernel {SOFTWARE_VERSION}",
        "architecture": [f"{struct.calcsize('P') * 8}bits", platform.machine()],
        "name": cluster.cluster_name,
        "master": _master_name(view),
        "default_hypervisor": next(iter(cluster.enabled_hypervisors), ""),
        "primary_ip_version": _IP_VERSIONS.get(cluster.primary_ip_family, 4),
        "enabled_data_collectors": _collectors(cluster, "active", True),
        "data_collector_interval": _collectors(cluster, "interval", 5_000_000),
    }
    stored = {name: getattr(cluster, name) for name in _AS_STORED}
    return {**info, **view.secrets.redact(stored)}


def config_values(
    view: ConfigView, fields: Sequence[str], drained: bool, watcher_pause: float | None
) -> list[Any]:
    """Return the answer of QueryConfigValues; raises OpPrereqError for an unknown field."""
    known: dict[str, Callable[[], Any]] = {
        "cluster_name": lambda: view.cluster.cluster_name,
        "master_node": lambda: _master_name(view),
        "drain_flag": lambda: drained,
        "watcher_pause": lambda: watcher_pause,
        "volume_group_name": lambda: view.cluster.volume_group_name,
    }
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise OpPrereqError(
            f"unknown field {', '.join(unknown)}; there are {', '.join(known)}", "wrong_input"
        )
    return [known[name]() for name in fields]


def _master_name(view: ConfigView) -> str:
    return view.master.name if view.master is not None else ""


def _collectors(cluster: Cluster, key: str, default: Any) -> dict[str, Any]:
    return {name: item.get(key, default) for name, item in cluster.data_collectors.items()}
