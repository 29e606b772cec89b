"""TCP ports that instances and mirrored disks use, and the cluster's books about them.

Upstream 3.0 keeps the highest port ever used and a list of free ones below it; both are kept
right here as objects come and go, so that a written `config.data` can be used by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ganeti_kernel.objects import Cluster, ConfigView, Disk, Instance


def ports_of(value: Any) -> set[int]:
    """Return the ports an object uses: an instance's console, a DRBD disk's connection."""
    if isinstance(value, Instance):
        return {value.network_port} if value.network_port is not None else set()
    if isinstance(value, Disk):
        own = {value.logical_id[2]} if is_drbd(value) else set()
        return own.union(*(ports_of(child) for child in value.children))
    return set()


def is_drbd(disk: Disk) -> bool:
    """Say whether `logical_id` is DRBD's: node, node, port, minor, minor, secret."""
    return disk.dev_type in ("drbd", "drbd8") and len(disk.logical_id) >= 5


def used_ports(view: ConfigView) -> set[int]:
    found: set[int] = set()
    for value in (*view.instances.values(), *view.disks.values()):
        found |= ports_of(value)
    return found


def used_minors(view: ConfigView, node: str) -> set[int]:
    """Return the DRBD minors in use on a node (UUID)."""
    found = set()
    pending = list(view.disks.values())
    while pending:
        disk = pending.pop()
        pending += disk.children
        if is_drbd(disk):
            first, second, _, minor_first, minor_second = disk.logical_id[:5]
            found |= {minor_first} if first == node else set()
            found |= {minor_second} if second == node else set()
    return found


def keep_books(cluster: Cluster, before: Iterable[Any], after: Iterable[Any]) -> Cluster:
    """Return the cluster after objects changed from `before` to `after`."""
    old: set[int] = set().union(*(ports_of(value) for value in before))
    new: set[int] = set().union(*(ports_of(value) for value in after))
    if old == new:
        return cluster
    free = (set(cluster.tcpudp_port_pool) | (old - new)) - new
    return msgspec.structs.replace(
        cluster,
        tcpudp_port_pool=sorted(free),
        highest_used_port=max(cluster.highest_used_port, *new, 0),
    )
