"""Which node a new instance goes to: the one that is named, or the one an allocator chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ganeti_kernel.errors import (
    ECODE_NORES,
    ECODE_STATE,
    ECODE_TEMP_NORES,
    OpExecError,
    OpPrereqError,
    PluginError,
)
from ganeti_kernel.jobs.opcodes import OpInstanceCreate
from ganeti_kernel.jobs.operation import ALL, JobContext, Lock, Pick
from ganeti_kernel.objects import ConfigView, Instance, Node
from ganeti_kernel.operations import allocation, facts, finding
from ganeti_kernel.operations.diagnose import usable_nodes
from ganeti_kernel.rpc.results import StorageUnit


def allocator_for(view: ConfigView, given: str | None, instead: str = "") -> str:
    """The allocator to ask: the one given, else (None or ".") the cluster's.

    `instead`: how to do without one, for the refusal when there is none.
    """
    name = view.cluster.default_iallocator if given in (None, ".") else given
    if not name:
        finding.refuse(
            f"no node is named and the cluster has no default allocator; give {instead}-I NAME"
        )
    return name


def allocator_name(context: JobContext, op: OpInstanceCreate) -> str | None:
    """The allocator to ask, None when a node is named; refuses when there is neither."""
    if op.opportunistic_locking and op.pnode is not None:
        finding.refuse(
            "Opportunistic locking is only available in combination with an instance allocator"
        )
    if op.pnode is not None:
        if op.iallocator is not None:
            finding.refuse("a node and an allocator cannot both be given; leave -n or -I out")
        return None
    return allocator_for(context.view, op.iallocator, "-n NODE or ")


def named_node(context: JobContext, op: OpInstanceCreate) -> Node:
    """The node that was named; refuses one that cannot take an instance."""
    assert op.pnode is not None
    node = finding.usable_node(context.view, op.pnode)
    if op.snode is not None:
        finding.refuse("a secondary node goes only with mirrored disk templates")
    if op.group_name is not None and finding.group(context.view, op.group_name).uuid != node.group:
        finding.refuse(f"node {node.name} is not in node group {op.group_name}")
    return node


def other_node(
    context: JobContext, inst: Instance, named: str | None, allocator: str | None
) -> Node:
    """The node an instance moves to: the one that is named, or the one an allocator chooses.

    Refuses the node it is on, and one that cannot take it.
    """
    view = context.view
    if named is not None and allocator is not None:
        finding.refuse("a node and an allocator cannot both be given; leave -n or -I out")
    if named is not None:
        node = finding.usable_node(view, named)
        if node.uuid == inst.primary_node:
            finding.refuse(f"instance {inst.name} is on node {node.name} already", ECODE_STATE)
        return node
    name = allocator_for(view, allocator, "-n NODE or ")
    template = view.disk_template(inst)
    request = allocation.relocate_request(view, inst)
    directory = facts.storage_directory(view.cluster, facts.describe("disk_template", template))
    unit = StorageUnit(template=template, directory=directory)
    return allocate(context, name, request, unit, inst.hypervisor)


def node_locks(uuid: str) -> list[Lock]:
    """What has to be held of a node to place an instance on it."""
    return [Lock("node", uuid), Lock("node-res", uuid, exclusive=True)]


def pick_nodes(view: ConfigView, group: str | None) -> Pick | None:
    """Any node that an allocator may choose (in this node group); None when there is none."""
    nodes = usable_nodes(view)
    if group is not None:
        wanted = finding.group(view, group).uuid
        nodes = [node for node in nodes if node.group == wanted]
    return Pick([node_locks(node.uuid) for node in nodes]) if nodes else None


def is_held(context: JobContext, node: Node) -> bool:
    """Whether an instance may be placed on this node with the locks the job has."""
    return any(lock.level == "node-res" and lock.name in (node.uuid, ALL) for lock in context.held)


def keep_only(context: JobContext, node: Node) -> None:
    """Give back the locks of the nodes that were not chosen."""
    others = [lock for lock in context.held if lock.level not in ("node", "node-res")]
    context.keep_locks([*others, *node_locks(node.uuid)])


def allocate(
    context: JobContext,
    name: str,
    request: Mapping[str, Any],
    unit: StorageUnit,
    hypervisor: str,
    *,
    opportunistic: bool = False,
) -> Node:
    """Ask an allocator for one node of those whose locks are held.

    `unit`: the storage whose room counts. `opportunistic`: some nodes may be missing because they
    are busy, so that a refusal may be different later.
    """
    view = context.view
    nodes = [node for node in usable_nodes(view) if is_held(context, node)]
    refusal = ECODE_TEMP_NORES if opportunistic else ECODE_NORES
    chosen = ask(context, name, request, unit, hypervisor, nodes, refusal)
    if not isinstance(chosen, list) or not all(isinstance(item, str) for item in chosen):
        raise OpExecError(f"allocator {name} gave no list of nodes: {chosen!r}")
    if len(chosen) != request["required_nodes"]:
        raise OpExecError(f"allocator {name} gave {len(chosen)} nodes: {', '.join(chosen)}")
    node = finding.usable_node(view, chosen[0])
    context.log(
        f" - INFO: Selected nodes for instance {request['name']} via iallocator "
        f"{name}: {', '.join(chosen)}"
    )
    return node


def ask(
    context: JobContext,
    name: str,
    request: Mapping[str, Any],
    unit: StorageUnit | None,
    hypervisor: str,
    nodes: Sequence[Node],
    refusal: str = ECODE_NORES,
) -> Any:
    """An allocator's result for a request, with the figures of these nodes.

    `refusal`: the error's code when the allocator finds no place.
    """
    view = context.view
    params = {hypervisor: view.cluster.hvparams.get(hypervisor, {})}
    units = [] if unit is None else [unit]
    infos = context.nodes.call_many(nodes, "node_info", hypervisors=params, storage=units)
    states = context.nodes.call_many(nodes, "instances_list", hypervisors=params)
    running = {
        uuid: {item.name: item.memory for item in answer.value.get(hypervisor, ())}
        for uuid, answer in states.items()
        if answer.ok
    }
    known = {uuid: answer.value for uuid, answer in infos.items() if answer.ok}
    document = allocation.document(view, known, running, request)
    return _answer(name, document, view.cluster.default_iallocator_params, refusal)


def _answer(
    name: str, document: Mapping[str, Any], options: Mapping[str, Any], refusal: str
) -> Any:
    try:
        plugin = facts.registry().get("allocator", name)
    except PluginError as error:
        raise OpPrereqError(str(error), ECODE_STATE) from None
    answer = plugin.allocate(document, {key: str(value) for key, value in options.items()})
    if not answer.get("success"):
        raise OpPrereqError(
            f"Can't compute nodes using iallocator '{name}': {answer.get('info')}", refusal
        )
    return answer.get("result")
