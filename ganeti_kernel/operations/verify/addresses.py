"""What must be unique or reserved: MACs, addresses of NICs, pools, ports, DRBD minors. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator

from ganeti_kernel.config import pools
from ganeti_kernel.constants import PORT_POOL
from ganeti_kernel.errors import AddressPoolError
from ganeti_kernel.objects import ConfigView, Disk, Instance, Network, Nic
from ganeti_kernel.operations.verify.report import Finding

Texts = Iterator[str]


def check_addresses(view: ConfigView) -> Iterator[Finding]:
    """Everything that two objects share and must not, and pools that do not match their NICs."""
    for texts in (_macs(view), _nic_addresses(view), _networks(view), _ports(view), _minors(view)):
        yield from (Finding("ECLUSTERCFG", "", text) for text in texts)


def _nics(view: ConfigView) -> Iterator[tuple[Instance, int, Nic]]:
    for inst in view.instances.values():
        for index, nic in enumerate(inst.nics):
            yield inst, index, nic


def _shared(owners: dict[str, list[str]], what: str) -> Texts:
    for value, names in sorted(owners.items()):
        if len(names) > 1:
            yield f"{what} {value} is used by {', '.join(sorted(names))}"


def _macs(view: ConfigView) -> Texts:
    owners: dict[str, list[str]] = {}
    for inst, index, nic in _nics(view):
        owners.setdefault(nic.mac.lower(), []).append(f"instance {inst.name} (NIC {index})")
    owners.pop("", None)
    yield from _shared(owners, "MAC address")


def _nic_addresses(view: ConfigView) -> Texts:
    """Two NICs with one address in one network or on one link."""
    owners: dict[str, list[str]] = {}
    for inst, index, nic in _nics(view):
        if not nic.ip:
            continue
        network = view.networks.get(nic.network or "")
        filled = view.fill_nic(nic)
        where = f"network {network.name}" if network else f"{filled['mode']} {filled['link']}"
        owners.setdefault(f"{nic.ip} ({where})", []).append(f"instance {inst.name} (NIC {index})")
    yield from _shared(owners, "address")


def _networks(view: ConfigView) -> Texts:
    for network in view.networks.values():
        try:
            yield from _pool(view, network)
        except AddressPoolError as error:
            yield str(error)
    for inst, index, nic in _nics(view):
        own = view.networks.get(nic.network or "")
        node = view.nodes.get(inst.primary_node)
        group = view.node_group(node) if node is not None else None
        if own is not None and group is not None and own.uuid not in group.networks:
            yield (
                f"instance {inst.name} (NIC {index}) is in network {own.name}, which is not "
                f"connected to its node group {group.name}"
            )


def _pool(view: ConfigView, network: Network) -> Texts:
    """Reserved is exactly what NICs use; raises AddressPoolError for a damaged pool."""
    reserved = set(pools.instance_addresses(network))
    used = set()
    for inst, index, nic in _nics(view):
        if nic.network != network.uuid or not nic.ip:
            continue
        used.add(nic.ip)
        if not pools.contains(network, nic.ip):
            yield (
                f"instance {inst.name} (NIC {index}) has address {nic.ip}, which is outside "
                f"network {network.name} ({network.network})"
            )
        elif nic.ip not in reserved and not pools.is_reserved(network, nic.ip):
            yield (
                f"network {network.name}: address {nic.ip} of instance {inst.name} is not reserved"
            )
    for address in sorted(reserved - used, key=ipaddress.ip_address):
        yield f"network {network.name}: address {address} is reserved for no instance"
    if network.gateway:
        if not pools.contains(network, network.gateway):
            yield f"network {network.name}: gateway {network.gateway} is outside {network.network}"
        elif not pools.is_reserved(network, network.gateway, external=True):
            yield f"network {network.name}: gateway {network.gateway} is not reserved"


def _ports(view: ConfigView) -> Texts:
    owners: dict[int, list[str]] = {}
    for inst in view.instances.values():
        if inst.network_port is not None:
            owners.setdefault(inst.network_port, []).append(f"instance {inst.name}")
        for disk in view.instance_disks(inst):
            if _is_pair(disk):
                owners.setdefault(disk.logical_id[2], []).append(f"a disk of instance {inst.name}")
    pool = view.cluster.tcpudp_port_pool
    for port, count in Counter(pool).items():
        if count > 1:
            yield f"port {port} is {count} times in the pool of free ports"
    for port, names in sorted(owners.items()):
        if port in pool:
            names.append("the pool of free ports")
        if len(names) > 1:
            yield f"port {port} is used by {', '.join(sorted(names))}"
        if not PORT_POOL[0] <= port <= PORT_POOL[1]:
            yield f"port {port} of {names[0]} is outside {PORT_POOL[0]} to {PORT_POOL[1]}"
    highest = view.cluster.highest_used_port
    above = [port for port in (*owners, *pool) if highest < port <= PORT_POOL[1]]
    if above:
        yield f"port {max(above)} is in use, above the highest used port on record ({highest})"


def _is_pair(disk: Disk) -> bool:
    """Disks that two nodes mirror: [node, node, port, minor, minor, secret] (upstream 3.0)."""
    return len(disk.logical_id) == 6 and all(isinstance(item, int) for item in disk.logical_id[2:5])


def _minors(view: ConfigView) -> Texts:
    owners: dict[str, list[str]] = {}
    for inst in view.instances.values():
        for disk in view.instance_disks(inst):
            if _is_pair(disk):
                first, second, _port, minor_a, minor_b, _secret = disk.logical_id
                for uuid, minor in ((first, minor_a), (second, minor_b)):
                    node = view.nodes.get(uuid)
                    name = node.name if node is not None else uuid
                    key = f"{minor} on node {name}"
                    owners.setdefault(key, []).append(f"{disk.iv_name} of instance {inst.name}")
    yield from _shared(owners, "DRBD minor")
