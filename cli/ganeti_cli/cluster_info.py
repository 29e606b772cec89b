"""gnt-cluster info."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from ganeti_cli import master
from ganeti_cli.options import options
from ganeti_cli.output import Pairs, format_time, tree


@click.command()
@click.option("--roman", is_flag=True, help="Accepted; numbers stay Arabic.")
@options()
def info(**_given: Any) -> int:
    """Show the cluster's settings."""
    with master.connect(query=True) as client:
        data = client.query_cluster_info()
    click.echo("\n".join(tree(describe(data))))
    return 0


def _joined(values: Iterable[Any]) -> str:
    return ", ".join(str(value) for value in values)


def describe(data: Mapping[str, Any]) -> Pairs:
    """Lay out the answer of QueryClusterInfo (upstream 3.0's form)."""
    enabled = data["enabled_hypervisors"]
    return Pairs(
        [
            ("Cluster name", data["name"]),
            ("Cluster UUID", data["uuid"]),
            ("Creation time", format_time(data["ctime"])),
            ("Modification time", format_time(data["mtime"])),
            ("Master node", data["master"]),
            ("Architecture (this node)", "{} ({})".format(*data["architecture"])),
            ("Tags", _joined(sorted(data["tags"])) or "(none)"),
            ("Default hypervisor", enabled[0]),
            ("Enabled hypervisors", _joined(enabled)),
            ("Hypervisor parameters", {name: data["hvparams"].get(name, {}) for name in enabled}),
            ("OS-specific hypervisor parameters", data["os_hvp"]),
            ("OS parameters", data["osparams"]),
            ("Hidden OSes", _joined(data["hidden_os"])),
            ("Blacklisted OSes", _joined(data["blacklisted_os"])),
            ("Cluster parameters", _parameters(data)),
            ("Default node parameters", data["ndparams"]),
            ("Default instance parameters", data["beparams"]),
            ("Default nic parameters", data["nicparams"]),
            ("Default disk parameters", data["diskparams"]),
            ("Instance policy - limits for instances", _policy(data["ipolicy"])),
            ("Data collectors", _collectors(data.get("data_collectors") or {})),
        ]
    )


def _parameters(data: Mapping[str, Any]) -> Pairs:
    return Pairs(
        [
            ("candidate pool size", data["candidate_pool_size"]),
            ("maximal number of jobs running simultaneously", data["max_running_jobs"]),
            (
                "maximal number of jobs simultaneously tracked by the scheduler",
                data["max_tracked_jobs"],
            ),
            ("mac prefix", data["mac_prefix"]),
            ("master netdev", data["master_netdev"]),
            ("master netmask", data["master_netmask"]),
            ("use external master IP address setup script", data["use_external_mip_script"]),
            ("lvm volume group", data["volume_group_name"]),
            ("lvm reserved volumes", _joined(data["reserved_lvs"] or []) or "(none)"),
            ("drbd usermode helper", data["drbd_usermode_helper"]),
            ("file storage path", data["file_storage_dir"]),
            ("shared file storage path", data["shared_file_storage_dir"]),
            ("gluster storage path", data["gluster_storage_dir"]),
            ("maintenance of node health", data["maintain_node_health"]),
            ("uid pool", _joined(data["uid_pool"])),
            ("default instance allocator", data["default_iallocator"]),
            ("default instance allocator parameters", data["default_iallocator_params"]),
            ("primary ip version", data["primary_ip_version"]),
            ("preallocation wipe disks", data["prealloc_wipe_disks"]),
            ("enabled disk templates", _joined(data["enabled_disk_templates"])),
            ("install image", data["install_image"]),
            ("instance communication network", data["instance_communication_network"]),
            ("zeroing image", data["zeroing_image"]),
            ("compression tools", data["compression_tools"]),
            ("enabled user shutdown", data["enabled_user_shutdown"]),
        ]
    )


def _policy(policy: Mapping[str, Any]) -> Pairs:
    bounds = [
        Pairs([(f"{side}/{index}", limits[side]) for side in ("min", "max")])
        for index, limits in enumerate(policy["minmax"])
    ]
    return Pairs(
        [
            ("bounds specs", bounds),
            ("std", policy.get("std", {})),
            ("allowed disk templates", _joined(policy.get("disk-templates", []))),
            ("spindle-ratio", policy["spindle-ratio"]),
            ("vcpu-ratio", policy["vcpu-ratio"]),
        ]
    )


def _collectors(collectors: Mapping[str, Any]) -> Pairs:
    return Pairs(
        [
            (
                name,
                Pairs(
                    [
                        ("active", settings["active"]),
                        ("interval", f"{settings['interval'] / 1e6:.3f}s"),
                    ]
                ),
            )
            for name, settings in sorted(collectors.items())
        ]
    )
