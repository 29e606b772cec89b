"""What must hold between the objects of a configuration: names unique, references resolved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from ganeti_kernel.config.changes import Ident, describe, lookup
from ganeti_kernel.objects import ConfigView, Instance, Node, NodeGroup


def problems(view: ConfigView) -> list[str]:
    """Return everything that is wrong with a whole configuration, one line each."""
    everything = [("cluster", "cluster"), *((table, uuid) for table, uuid, _ in view.objects())]
    return problems_of(view, everything)


def problems_of(
    view: ConfigView, idents: Iterable[Ident], before: ConfigView | None = None
) -> list[str]:
    """Return what is wrong with these objects after a change, one line each.

    An object that is gone is checked for others that still need it; its name is in `before`.
    """
    chosen = list(idents)
    out = list(_duplicate_names(view, {table for table, _ in chosen}))
    for ident in chosen:
        value = lookup(view, ident)
        if value is None:
            found, name = _dangling(view, ident), describe(before or view, ident)
        else:
            found, name = _missing(view, ident, value), describe(view, ident)
        out += [f"{name}: {text}" for text in found]
    return out


def _duplicate_names(view: ConfigView, tables: set[str]) -> Iterator[str]:
    for table, noun in (
        ("nodes", "nodes"),
        ("nodegroups", "node groups"),
        ("instances", "instances"),
        ("networks", "networks"),
    ):
        if table in tables:
            names = Counter(item.name for item in getattr(view, table).values() if item.name)
            for name, count in names.items():
                if count > 1:
                    yield f"{count} {noun} are called {name}"


def _missing(view: ConfigView, ident: Ident, value: Any) -> Iterator[str]:
    """What the object refers to and is not there."""
    table, uuid = ident
    if table == "cluster":
        if value.master_node not in view.nodes:
            yield f"its master node {value.master_node} does not exist"
        return
    if value.uuid != uuid:
        yield f"it is kept under UUID {uuid} but calls itself {value.uuid}"
    if isinstance(value, Node) and value.group not in view.nodegroups:
        yield f"its node group {value.group} does not exist"
    if isinstance(value, NodeGroup):
        for network in value.networks:
            if network not in view.networks:
                yield f"it is connected to network {network}, which does not exist"
    if isinstance(value, Instance):
        yield from _instance_problems(view, value)


def _instance_problems(view: ConfigView, inst: Instance) -> Iterator[str]:
    if inst.primary_node not in view.nodes and not (inst.forthcoming and not inst.primary_node):
        yield f"its primary node {inst.primary_node or '(none)'} does not exist"
    for disk in inst.disks:
        if disk not in view.disks:
            yield f"its disk {disk} does not exist"
    for nic in inst.nics:
        if nic.network is not None and nic.network not in view.networks:
            yield f"its NIC {nic.uuid} is in network {nic.network}, which does not exist"


def _dangling(view: ConfigView, ident: Ident) -> Iterator[str]:
    """Who still refers to an object that is gone."""
    table, uuid = ident
    if table == "nodes":
        if view.cluster.master_node == uuid:
            yield "it is the master"
        for inst in view.instances.values():
            if uuid in view.instance_nodes(inst):
                yield f"instance {inst.name} is on it"
    elif table == "nodegroups":
        for node in view.group_members.get(uuid, ()):
            yield f"node {node.name} is in it"
    elif table == "networks":
        for group in view.nodegroups.values():
            if uuid in group.networks:
                yield f"node group {group.name} is connected to it"
        for inst in view.instances.values():
            if any(nic.network == uuid for nic in inst.nics):
                yield f"instance {inst.name} has a NIC in it"
    elif table == "disks":
        for inst in view.instances.values():
            if uuid in inst.disks:
                yield f"instance {inst.name} uses it"
