"""What an allocator is told: upstream's IAllocator document, version 2. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ganeti_kernel.objects import ConfigView, Instance, Node, NodeGroup
from ganeti_kernel.operations.hookenv import BRIDGED_MODES
from ganeti_kernel.operations.ipolicy import policy_of
from ganeti_kernel.rpc.results import NodeInfo

VERSION: Final = 2


def document(
    view: ConfigView,
    infos: Mapping[str, NodeInfo],
    running: Mapping[str, Mapping[str, int]],
    request: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole document. `infos`: node UUID -> what it has; `running`: node UUID -> instance
    name -> memory it uses now (MiB); `request`: the request with its type."""
    cluster = view.cluster
    return {
        "version": VERSION,
        "cluster_name": cluster.cluster_name,
        "cluster_tags": list(cluster.tags),
        "enabled_hypervisors": list(cluster.enabled_hypervisors),
        "ipolicy": policy_of(view, None),
        "nodegroups": {uuid: _group(view, group) for uuid, group in view.nodegroups.items()},
        "nodes": {
            node.name: _node(view, node, infos.get(node.uuid), running.get(node.uuid, {}))
            for node in view.nodes.values()
        },
        "instances": {
            inst.name: _instance(view, inst) for inst in view.instances.values() if inst.name
        },
        "request": dict(request),
    }


def _group(view: ConfigView, group: NodeGroup) -> dict[str, Any]:
    return {
        "name": group.name,
        "alloc_policy": group.alloc_policy,
        "networks": list(group.networks),
        "ipolicy": policy_of(view, group),
        "tags": list(group.tags),
    }


def _node(
    view: ConfigView, node: Node, info: NodeInfo | None, running: Mapping[str, int]
) -> dict[str, Any]:
    static = {
        "tags": list(node.tags),
        "primary_ip": node.primary_ip,
        "secondary_ip": node.secondary_ip,
        "offline": node.offline,
        "drained": node.drained,
        "master_candidate": node.master_candidate,
        "group": node.group,
        "master_capable": node.master_capable,
        "vm_capable": node.vm_capable,
        "ndparams": view.fill_nd(node),
    }
    if node.offline or not node.vm_capable or info is None or not info.hypervisors:
        # One that does not answer is as good as offline: nothing can be placed there.
        return static | {"offline": static["offline"] or (info is None and node.vm_capable)}
    return static | _dynamic(view, node, info, running)


def _dynamic(
    view: ConfigView, node: Node, info: NodeInfo, running: Mapping[str, int]
) -> dict[str, Any]:
    resources = next(iter(info.hypervisors.values()))
    space = next((unit for unit in info.storage if unit is not None), None)
    primaries = view.primary_instances.get(node.uuid, [])
    memory = {inst.name: int(view.fill_be(inst)["maxmem"]) for inst in primaries}
    up = {inst.name for inst in primaries if inst.admin_state == "up"}
    # What instances that should run may still take is not free any more.
    promised = sum(max(0, memory[name] - running.get(name, 0)) for name in up)
    return {
        "total_memory": resources.memory_total,
        "reserved_memory": resources.memory_dom0,
        "free_memory": resources.memory_free - promised,
        "total_disk": space.total if space else 0,
        "free_disk": space.free if space else 0,
        "total_spindles": 0,
        "free_spindles": 0,
        "total_cpus": resources.cpu_total,
        "reserved_cpus": resources.cpu_dom0,
        "i_pri_memory": sum(memory.values()),
        "i_pri_up_memory": sum(memory[name] for name in up),
    }


def _instance(view: ConfigView, inst: Instance) -> dict[str, Any]:
    be = view.fill_be(inst)
    disks = view.instance_disks(inst)
    return {
        "tags": list(inst.tags),
        "admin_state": inst.admin_state,
        "vcpus": be["vcpus"],
        "memory": be["maxmem"],
        "spindle_use": be["spindle_use"],
        "os": inst.os,
        "nodes": [view.nodes[uuid].name for uuid in view.instance_nodes(inst)],
        "nics": [_nic(view, nic) for nic in inst.nics],
        "disks": [
            {"size": disk.size, "mode": disk.mode, "spindles": disk.spindles} for disk in disks
        ],
        "disk_template": view.disk_template(inst),
        "disks_active": inst.disks_active,
        "hypervisor": inst.hypervisor,
        "disk_space_total": sum(disk.size for disk in disks),
    }


def _nic(view: ConfigView, nic: Any) -> dict[str, Any]:
    filled = view.fill_nic(nic)
    out = {"mac": nic.mac, "ip": nic.ip, "mode": filled["mode"], "link": filled["link"]}
    return out | ({"bridge": filled["link"]} if filled["mode"] in BRIDGED_MODES else {})


def allocate_request(
    name: str,
    *,
    template: str,
    hypervisor: str,
    os_name: str,
    be: Mapping[str, Any],
    disks: Sequence[Mapping[str, Any]],
    nics: Sequence[Mapping[str, Any]],
    tags: Sequence[str],
    group: str | None,
    required_nodes: int,
) -> dict[str, Any]:
    """The request for a new instance. `disks`: size (MiB) and mode each; `nics`: network UUIDs."""
    return {
        "type": "allocate",
        "name": name,
        "disk_template": template,
        "group_name": group,
        "tags": list(tags),
        "os": os_name,
        "vcpus": be["vcpus"],
        "memory": be["maxmem"],
        "spindle_use": be["spindle_use"],
        "disks": [dict(disk) for disk in disks],
        "disk_space_total": sum(int(disk["size"]) for disk in disks),
        "nics": [dict(nic) for nic in nics],
        "required_nodes": required_nodes,
        "hypervisor": hypervisor,
    }


def relocate_request(view: ConfigView, inst: Instance) -> dict[str, Any]:
    """The request for another node for an instance that is there already."""
    away = view.secondary_nodes(inst) or [inst.primary_node]
    return {
        "type": "relocate",
        "name": inst.name,
        "disk_space_total": sum(disk.size for disk in view.instance_disks(inst)),
        "required_nodes": 1,
        "relocate_from": [view.nodes[uuid].name for uuid in away if uuid in view.nodes],
    }
