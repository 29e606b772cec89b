"""Asks nodes for what a query needs. A node that does not answer costs only its own cells."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from ganeti_kernel.objects import Cluster, ConfigView, Guest, Instance, Node
from ganeti_kernel.query.source import CONSOLE, INSTANCE_STATE, NODE_INFO, Live, Plan
from ganeti_kernel.rpc.results import NodeInfo, StorageUnit
from ganeti_kernel.specs.hypervisor import Console, InstanceState

PATIENCE: Final = 20.0
"""Seconds that a listing waits for a node."""

GuestBuilder = Callable[[ConfigView, Instance], Guest]


class Answer(Protocol):
    """One node's answer: `value` when `ok`."""

    @property
    def ok(self) -> bool: ...

    @property
    def value(self) -> Any: ...


class CallMany(Protocol):
    """Calls nodes in parallel; never raises for one node (NodeClient.call_many)."""

    def __call__(
        self,
        nodes: Iterable[Node],
        name: str,
        args: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Awaitable[Mapping[str, Answer]]: ...


async def gather(
    plan: Plan,
    view: ConfigView,
    call_many: CallMany,
    *,
    storage: Sequence[StorageUnit] = (),
    build_guest: GuestBuilder | None = None,
) -> Live:
    """Gather what the plan says, one round of calls for each kind of data.

    `storage`: units whose room a node tells, the first one is what listings show. `build_guest`
    makes what a console call takes; without it no consoles are asked for. Offline nodes are not
    called.
    """
    nodes = [node for node in plan.nodes if not node.offline and node.vm_capable]
    infos: dict[str, NodeInfo | None] = {}
    guests: dict[str, Mapping[str, InstanceState] | None] = {}
    consoles: dict[str, Console | None] = {}
    if NODE_INFO in plan.needs:
        arguments = {"hypervisors": _default_hypervisor(view.cluster), "storage": list(storage)}
        answers = await call_many(nodes, "node_info", arguments, PATIENCE)
        infos = {uuid: answer.value if answer.ok else None for uuid, answer in answers.items()}
    if INSTANCE_STATE in plan.needs:
        arguments = {"hypervisors": hypervisors_in_use(view, plan.instances)}
        answers = await call_many(nodes, "instances_list", arguments, PATIENCE)
        guests = {uuid: _by_name(answer) for uuid, answer in answers.items()}
    if CONSOLE in plan.needs and build_guest is not None:
        asked = [_console(view, inst, call_many, build_guest) for inst in plan.instances]
        found = await asyncio.gather(*asked)
        consoles = {inst.uuid: item for inst, item in zip(plan.instances, found, strict=True)}
    return Live(gathered=plan.needs, nodes=infos, guests=guests, consoles=consoles)


def hypervisors_in_use(
    view: ConfigView, instances: Iterable[Instance]
) -> dict[str, dict[str, Any]]:
    """Return the instances' hypervisors with the cluster's parameters."""
    names = sorted({inst.hypervisor for inst in instances if inst.hypervisor})
    return {name: view.cluster.hvparams.get(name, {}) for name in names}


def _default_hypervisor(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """The first enabled hypervisor is the one whose figures listings show."""
    return {name: cluster.hvparams.get(name, {}) for name in cluster.enabled_hypervisors[:1]}


def _by_name(answer: Answer) -> dict[str, InstanceState] | None:
    if not answer.ok:
        return None
    return {state.name: state for states in answer.value.values() for state in states}


async def _console(
    view: ConfigView, inst: Instance, call_many: CallMany, build_guest: GuestBuilder
) -> Console | None:
    node = view.nodes.get(inst.primary_node)
    if node is None or node.offline:
        return None
    arguments = {"guest": build_guest(view, inst), "node": node.name}
    answers = await call_many([node], "instance_console", arguments, PATIENCE)
    answer = answers.get(node.uuid)
    found: Console | None = answer.value if answer is not None and answer.ok else None
    return found
