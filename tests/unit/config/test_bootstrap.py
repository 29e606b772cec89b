"""The first configuration of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.config import bootstrap, datafile, verify
from ganeti_kernel.config.writer import load_view
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.objects import to_wire
from ganeti_kernel.specs.store import Store


def arguments(**more: Any) -> dict[str, Any]:
    return {
        "cluster_name": "cluster.example.com",
        "node_name": "node1.example.com",
        "primary_ip": "10.99.0.11",
        "master_ip": "10.99.0.10",
        "master_netdev": "br0",
        "master_netmask": 24,
        "hvparams": {"fake": {"migration_mode": "live"}},
        "enabled_hypervisors": ["fake"],
        "enabled_disk_templates": ["file", "diskless"],
        "now": 1000.0,
        **more,
    }


def test_new_cluster_is_sound_and_has_upstreams_fields(recorded: Path) -> None:
    theirs = datafile.parse((recorded / "config/config.data.after_init.json").read_bytes())
    ours = bootstrap.initial_view(
        **arguments(
            candidate_cert="33:7B",
            nicparams={"link": "br0"},
            diskparams=theirs.cluster.diskparams,
            hvparams=theirs.cluster.hvparams,
            enabled_disk_templates=theirs.cluster.enabled_disk_templates,
            default_iallocator="hail",
        )
    )
    assert verify.problems(ours) == []
    same = (
        "cluster_name",
        "master_ip",
        "master_netdev",
        "master_netmask",
        "mac_prefix",
        "highest_used_port",
        "enabled_hypervisors",
        "hvparams",
        "beparams",
        "nicparams",
        "ndparams",
        "diskparams",
        "enabled_disk_templates",
        "candidate_pool_size",
        "max_running_jobs",
        "compression_tools",
    )
    for name in same:
        assert getattr(ours.cluster, name) == getattr(theirs.cluster, name), name
    policy = theirs.cluster.ipolicy
    assert {key: ours.cluster.ipolicy[key] for key in ("minmax", "std", "vcpu-ratio")} == {
        key: policy[key] for key in ("minmax", "std", "vcpu-ratio")
    }
    assert sorted(ours.cluster.ipolicy["disk-templates"]) == sorted(policy["disk-templates"])
    node, their_node = ours.master, theirs.master
    assert node is not None
    assert their_node is not None
    unlike = ("uuid", "group", "ctime", "mtime")
    assert {k: v for k, v in to_wire(node).items() if k not in unlike} == {
        k: v for k, v in to_wire(their_node).items() if k not in unlike
    }
    assert [group.name for group in ours.nodegroups.values()] == ["default"]
    assert ours.version == theirs.version
    assert ours.cluster.candidate_certs == {node.uuid: "33:7B"}


def test_new_cluster_can_be_stored(empty_store: Store) -> None:
    view = bootstrap.initial_view(**arguments())
    bootstrap.store_view(empty_store, view)
    assert to_wire(load_view(empty_store)[0].cluster) == to_wire(view.cluster)
    entry = empty_store.get("meta/cluster")
    assert entry is not None
    assert b"cluster.example.com" in entry.value


def test_bad_arguments() -> None:
    with pytest.raises(ConfigurationError, match="at least one enabled hypervisor"):
        bootstrap.initial_view(**arguments(enabled_hypervisors=[]))
    with pytest.raises(ConfigurationError, match="hypervisor xen is enabled but not known"):
        bootstrap.initial_view(**arguments(enabled_hypervisors=["xen"]))
