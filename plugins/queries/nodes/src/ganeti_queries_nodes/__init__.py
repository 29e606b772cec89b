"""confd requests about nodes: role, addresses, DRBD minors, instances."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ganeti_kernel.objects import ConfigView, Disk, Instance, Node
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.confd_query import (
    STATUS_ERROR,
    Answer,
    ConfdQuery,
    ok,
    one_string,
    parse_query,
)

VERSION: Final = "0.1.0"

MASTER: Final = 0
CANDIDATE: Final = 1
OFFLINE: Final = 2
DRAINED: Final = 3
REGULAR: Final = 4

# What upstream answers when a node is not there; clients show these texts.
_NO_ROLE: Final = (
    "Failure: prerequisites not met for this operation:\nerror type: ECodeNoEnt, error details:\n{}"
)
_NO_DRBD: Final = 'OpPrereqError "{}" ECodeNoEnt'
_NO_INSTANCES: Final = "Node not found in the configuration: " + _NO_DRBD


class NodeRole(ConfdQuery):
    """Type 1: what a node is. Only the master's full name is answered with "master"."""

    API_VERSION = 1
    NUMBER = 1

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="node-role",
            version=VERSION,
            summary="a node's role: 0 master, 1 candidate, 2 offline, 3 drained, 4 regular",
        )

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        name = one_string(query)
        if isinstance(name, Answer):
            return name
        if view.master is not None and name == view.master.name:
            return ok(MASTER, view.cluster.serial_no)
        node = _node(view, name, _NO_ROLE)
        return node if isinstance(node, Answer) else ok(_role(node), view.cluster.serial_no)


class NodeAddresses(ConfdQuery):
    """Type 4: primary addresses of all nodes."""

    API_VERSION = 1
    NUMBER = 4

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="node-ips", version=VERSION, summary="the primary addresses of all nodes"
        )

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        parse_query(query)
        return ok([node.primary_ip for node in view.nodes.values()], view.cluster.serial_no)


class CandidateAddresses(ConfdQuery):
    """Type 5: primary addresses of the master candidates, the master among them."""

    API_VERSION = 1
    NUMBER = 5

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="candidate-ips",
            version=VERSION,
            summary="the primary addresses of the master candidates",
        )

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        parse_query(query)
        addresses = [node.primary_ip for node in view.nodes.values() if node.master_candidate]
        return ok(addresses, view.cluster.serial_no)


class NodeDrbd(ConfdQuery):
    """Type 7: the DRBD minors of a node, with nested devices.

    Rows are [node, minor, instance, "disk/INDEX", "primary" | "secondary", other node].
    """

    API_VERSION = 1
    NUMBER = 7

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="node-drbd",
            version=VERSION,
            summary="the DRBD minors of a node, and whose they are",
        )

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        name = one_string(query)
        if isinstance(name, Answer):
            return name
        node = _node(view, name, _NO_DRBD)
        if isinstance(node, Answer):
            return node
        return ok(list(_minors(view, node)), node.serial_no)


class NodeInstances(ConfdQuery):
    """Type 8: the instances of a node as two lists, primary and secondary, as whole objects."""

    API_VERSION = 1
    NUMBER = 8

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="node-instances",
            version=VERSION,
            summary="the instances of a node: those it runs, and those it mirrors",
        )

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        name = one_string(query)
        if isinstance(name, Answer):
            return name
        node = _node(view, name, _NO_INSTANCES)
        if isinstance(node, Answer):
            return node
        groups = (view.primary_instances, view.drbd_mirrored)
        lists = [[_whole(view, inst) for inst in group.get(node.uuid, ())] for group in groups]
        return ok(lists, node.serial_no)


def _role(node: Node) -> int:
    if node.drained:
        return DRAINED
    if node.offline:
        return OFFLINE
    return CANDIDATE if node.master_candidate else REGULAR


def _node(view: ConfigView, name: str, failure: str) -> Node | Answer:
    node = view.find_node(name)
    if node is not None:
        return node
    several = bool(name) and any(other.name.startswith(name + ".") for other in view.nodes.values())
    problem = "has multiple matches" if several else "not found"
    return Answer(STATUS_ERROR, failure.format(f"Node name {name} {problem}"), 0)


def _minors(view: ConfigView, node: Node) -> Iterator[list[Any]]:
    for inst in view.instances.values():
        for index, top in enumerate(view.instance_disks(inst)):
            for disk in _nested(top):
                if disk.dev_type != "drbd" or node.uuid not in disk.logical_id[:2]:
                    continue
                if len(disk.logical_id) < 5:
                    continue  # damaged: without minors there is nothing to tell
                first, second, _port, first_minor, second_minor = disk.logical_id[:5]
                here = node.uuid == first
                other = view.nodes.get(second if here else first)
                yield [
                    node.name,
                    first_minor if here else second_minor,
                    inst.name,
                    f"disk/{index}",
                    "primary" if inst.primary_node == node.uuid else "secondary",
                    other.name if other else "",
                ]


def _nested(disk: Disk) -> Iterator[Disk]:
    yield disk
    for child in disk.children:
        yield from _nested(child)


def _whole(view: ConfigView, inst: Instance) -> Any:
    raw = view.document.table("instances")[inst.uuid]
    return view.secrets.redact(msgspec.json.decode(raw)) if view.secrets.everywhere else raw
