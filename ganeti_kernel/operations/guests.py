"""From configuration objects to what a node is told: guests and disks with parameters filled in."""

from __future__ import annotations

from ganeti_kernel.objects import (
    ConfigView,
    Disk,
    Guest,
    GuestDisk,
    GuestNic,
    Instance,
    Network,
    Nic,
    NicNetwork,
    NodeGroup,
)


def build_guest(view: ConfigView, inst: Instance, disks: list[Disk] | None = None) -> Guest:
    """Build the node's view of an instance; `disks` overrides those of the configuration."""
    be = view.fill_be(inst)
    node = view.nodes.get(inst.primary_node)
    group = view.node_group(node) if node is not None else None
    own = view.instance_disks(inst) if disks is None else disks
    return Guest(
        name=inst.name,
        uuid=inst.uuid,
        hypervisor=inst.hypervisor,
        os=inst.os,
        maxmem=int(be["maxmem"]),
        minmem=int(be["minmem"]),
        vcpus=int(be["vcpus"]),
        hvparams=view.fill_hv(inst),
        beparams=be,
        disks=[build_disk(view, inst.name, disk, index, group) for index, disk in enumerate(own)],
        nics=[build_nic(view, nic, index) for index, nic in enumerate(inst.nics)],
        tags=list(inst.tags),
        # UUIDs: OS scripts get them as INSTANCE_PRIMARY_NODE and so on (recorded of upstream 3.0)
        primary_node=inst.primary_node,
        secondary_nodes=view.secondary_nodes(inst),
        ctime=inst.ctime,
        mtime=inst.mtime,
        serial_no=inst.serial_no,
        disk_template=own[0].dev_type if own else "diskless",
    )


def build_disk(
    view: ConfigView, owner: str, disk: Disk, index: int, group: NodeGroup | None
) -> GuestDisk:
    """Build the node's view of a disk; the disk's own parameters win over the template's."""
    return GuestDisk(
        uuid=disk.uuid,
        index=index,
        dev_type=disk.dev_type,
        logical_id=list(disk.logical_id),
        size=disk.size,
        mode=disk.mode,
        name=disk.name,
        instance=owner,
        params=view.fill_disk(disk.dev_type, group) | disk.params,
        children=[
            build_disk(view, owner, child, number, group)
            for number, child in enumerate(disk.children)
        ],
    )


def build_nic(view: ConfigView, nic: Nic, index: int) -> GuestNic:
    """Build the node's view of a NIC."""
    filled = view.fill_nic(nic)
    network = view.networks.get(nic.network or "")
    return GuestNic(
        index=index,
        uuid=nic.uuid,
        mac=nic.mac,
        mode=str(filled["mode"]),
        link=str(filled["link"] or ""),
        vlan=str(filled["vlan"] or ""),
        ip=nic.ip,
        name=nic.name,
        network=None if network is None else build_network(network),
    )


def build_network(network: Network) -> NicNetwork:
    return NicNetwork(
        name=network.name,
        uuid=network.uuid,
        subnet=network.network,
        gateway=network.gateway,
        subnet6=network.network6,
        gateway6=network.gateway6,
        mac_prefix=network.mac_prefix,
        tags=list(network.tags),
    )
