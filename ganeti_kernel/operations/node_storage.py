"""Storage units of nodes, and the volumes in them: listing, changing, repairing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from ganeti_kernel.config.order import natural_key
from ganeti_kernel.errors import ECODE_INVAL, ECODE_NOENT, ECODE_STATE, PluginError
from ganeti_kernel.jobs.opcodes import (
    OpNodeModifyStorage,
    OpNodeQueryStorage,
    OpNodeQueryvols,
    OpRepairNodeStorage,
)
from ganeti_kernel.jobs.operation import (
    JobContext,
    Lock,
    Operation,
    Step,
    StepPlan,
    operation,
    step,
)
from ganeti_kernel.objects import ConfigView, Disk, Node
from ganeti_kernel.operations import facts, finding
from ganeti_kernel.operations.guests import build_guest
from ganeti_kernel.operations.no_return import NO_RETURN
from ganeti_kernel.rpc.results import StorageUnit
from ganeti_kernel.specs import Description
from ganeti_kernel.specs.disk_template import SYNC_FAULTY, UnitState, Volume

STORAGE_FIELDS: Final = ("node", "type", "name", "size", "used", "free", "allocatable")
VOLUME_FIELDS: Final = ("node", "phys", "vg", "name", "size", "instance")
CHANGEABLE: Final = ("allocatable",)

UNITS: Final = "units:"
"""Beginning of a template's feature that names a type of its storage units."""


def enabled(view: ConfigView) -> Iterator[Description]:
    """The enabled disk templates that can be used here, in the cluster's order."""
    for name in view.cluster.enabled_disk_templates:
        try:
            yield facts.registry().describe("disk_template", name)
        except PluginError:
            continue  # `gnt-plugins list` says why; it has no units as long as that lasts


def as_unit(view: ConfigView, found: Description) -> StorageUnit:
    """What a node must know to list a template's units."""
    return StorageUnit(
        template=found.name,
        params=view.cluster.diskparams.get(found.name, {}),
        directory=facts.storage_directory(view.cluster, found),
    )


def types_of(view: ConfigView) -> dict[str, Description]:
    """Storage types that enabled templates list, the default one first."""
    out: dict[str, Description] = {}
    for found in enabled(view):
        kinds = {name.removeprefix(UNITS) for name in found.features if name.startswith(UNITS)}
        for kind in sorted(kinds, reverse=True):  # a volume group before its physical volumes
            out.setdefault(kind, found)
    return out


def choose_type(view: ConfigView, wanted: str | None) -> tuple[str, Description]:
    """A storage type and the template that has it; refuses, naming what there is."""
    there = types_of(view)
    kind = wanted or next(iter(there), None)
    if kind is None or kind not in there:
        what = f"storage units of type '{kind}'" if kind else "storage units"
        finding.refuse(
            f"No enabled disk template has {what} (types that can be used: "
            f"{', '.join(there) or 'none'})",
            ECODE_INVAL,
        )
    return kind, there[kind]


class _Listing(Operation[Any]):
    """A question to nodes that changes nothing; all nodes when none is named."""

    RETURNS_OUTCOME = True
    FIELDS: tuple[str, ...] = ()

    def asked(self) -> list[Node]:
        view = self.context.view
        if self.op.nodes:
            return [finding.node(view, name) for name in self.op.nodes]
        return sorted(view.nodes.values(), key=lambda node: natural_key(node.name))

    def locks(self) -> Sequence[Lock]:
        return [Lock("node", node.uuid) for node in self.asked()]

    def check(self) -> None:
        unknown = sorted(set(self.op.output_fields) - set(self.FIELDS))
        if unknown:
            finding.refuse(
                f"Unknown output fields selected: {', '.join(unknown)} (there are: "
                f"{', '.join(self.FIELDS)})"
            )


def _answers(
    context: JobContext, uuids: Sequence[str], call: str, **args: Any
) -> Iterator[tuple[Node, Any]]:
    """What nodes answer, in the order asked; one that is offline or silent is a warning."""
    nodes = [context.view.nodes[uuid] for uuid in uuids if uuid in context.view.nodes]
    online = [node for node in nodes if not node.offline]
    results = context.nodes.call_many(online, call, **args)
    for node in nodes:
        answer = results.get(node.uuid)
        if answer is not None and answer.ok:
            yield node, answer.value
        elif not node.offline:
            reason = answer.error if answer is not None else "no answer"
            context.warn(f"Can't get storage data from node {node.name}: {reason}")


@step
class ListUnits(Step):
    """Arguments: nodes, kind, unit, name (or null for all), fields."""

    NAME = "node.list-storage"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        unit = msgspec.convert(args["unit"], StorageUnit)
        rows = []
        for node, units in _answers(
            context, args["nodes"], "storage_list", kind=args["kind"], unit=unit
        ):
            found = [item for item in units if args["name"] in (None, item.name)]
            for item in sorted(found, key=lambda item: natural_key(item.name)):
                cells = {"node": node.name, "type": args["kind"], **msgspec.to_builtins(item)}
                rows.append([cells[field] for field in args["fields"]])
        return rows


@operation
class NodeQueryStorage(_Listing):
    """List storage units of nodes."""

    OPCODE = OpNodeQueryStorage
    FIELDS = STORAGE_FIELDS

    def check(self) -> None:
        super().check()
        self.kind, self.found = choose_type(self.context.view, self.op.storage_type)

    def plan(self) -> Sequence[StepPlan]:
        args = {
            "nodes": [node.uuid for node in self.asked()],
            "kind": self.kind,
            "unit": msgspec.to_builtins(as_unit(self.context.view, self.found)),
            "name": self.op.name,
            "fields": self.op.output_fields,
        }
        return [StepPlan(name=ListUnits.NAME, args=args)]


def _with_children(disk: Disk) -> Iterator[Disk]:
    yield disk
    for child in disk.children:
        yield from _with_children(child)


def owners(view: ConfigView, shared: frozenset[str]) -> dict[tuple[str | None, str], str]:
    """(node UUID, logical_id as text) -> instance; the node is None for `shared` templates."""
    out: dict[tuple[str | None, str], str] = {}
    for inst in view.instances.values():
        for top in view.instance_disks(inst):
            for disk in _with_children(top):
                nodes: list[str | None] = [*view.instance_nodes(inst)]
                for uuid in [None] if disk.dev_type in shared else nodes:
                    out[uuid, str(list(disk.logical_id))] = inst.name
    return out


@step
class ListVolumes(Step):
    """Arguments: nodes, units, shared (templates whose volumes all nodes reach), fields."""

    NAME = "node.list-volumes"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        units = msgspec.convert(args["units"], list[StorageUnit])
        known = owners(context.view, frozenset(args["shared"]))
        rows = []
        for node, volumes in _answers(context, args["nodes"], "volumes_list", units=units):
            for volume in volumes:
                cells = {
                    "node": node.name,
                    "phys": volume.device or "-",
                    "vg": volume.pool,
                    "name": volume.name,
                    "size": volume.size,
                    "instance": _owner(known, node, volume),
                }
                rows.append([cells[field] for field in args["fields"]])
        return rows


def _owner(known: Mapping[tuple[str | None, str], str], node: Node, volume: Volume) -> str:
    for ident in volume.logical_ids:
        for uuid in (node.uuid, None):
            if (uuid, str(ident)) in known:
                return known[uuid, str(ident)]
    return "-"


@operation
class NodeQueryvols(_Listing):
    """List the volumes that are on nodes, and whose they are."""

    OPCODE = OpNodeQueryvols
    FIELDS = VOLUME_FIELDS

    def plan(self) -> Sequence[StepPlan]:
        view = self.context.view
        found = [item for item in enabled(view) if "volumes" in item.features]
        args = {
            "nodes": [node.uuid for node in self.asked()],
            "units": msgspec.to_builtins([as_unit(view, item) for item in found]),
            "shared": [item.name for item in found if "shared" in item.features],
            "fields": self.op.output_fields,
        }
        return [StepPlan(name=ListVolumes.NAME, args=args)]


class _OneUnit(Operation[Any]):
    """An operation on one storage unit of an online node."""

    OBJECT_TYPE = "NODE"
    FEATURE: str
    VERB: str

    node: Node
    kind: str
    state: UnitState

    def locks(self) -> Sequence[Lock]:
        return [Lock("node", finding.node(self.context.view, self.op.node_name).uuid, True)]

    def check(self) -> None:
        view, name = self.context.view, self.op.name
        self.node = finding.node(view, self.op.node_name)
        if self.node.offline:
            finding.refuse(f"Can't use offline node {self.node.name}", ECODE_STATE)
        self.kind, found = choose_type(view, self.op.storage_type)
        if f"{self.FEATURE}:{self.kind}" not in found.features:
            finding.refuse(
                f"Storage units of type '{self.kind}' can not be {self.VERB}: disk template "
                f"{found.name} has no way to do it"
            )
        self.unit = as_unit(view, found)
        units = self.context.nodes.call(self.node, "storage_list", kind=self.kind, unit=self.unit)
        there = {item.name: item for item in units}
        if name not in there:
            finding.refuse(
                f"Node {self.node.name} has no storage unit '{name}' of type '{self.kind}' "
                f"(there are: {', '.join(sorted(there)) or 'none'})",
                ECODE_NOENT,
            )
        self.state = there[name]

    def arguments(self) -> dict[str, Any]:
        return {
            "node": self.node.uuid,
            "kind": self.kind,
            "name": self.op.name,
            "unit": msgspec.to_builtins(self.unit),
        }


def _call(context: JobContext, call: str, args: Mapping[str, Any], **more: Any) -> None:
    node = context.view.nodes[args["node"]]
    unit = msgspec.convert(args["unit"], StorageUnit)
    context.nodes.call(node, call, kind=args["kind"], name=args["name"], unit=unit, **more)


@step
class ChangeUnit(Step):
    """Arguments: node, kind, name, unit, changes, before."""

    NAME = "node.change-storage"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        _call(context, "storage_change", args, changes=args["changes"])

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        _call(context, "storage_change", args, changes=args["before"])


@operation
class NodeModifyStorage(_OneUnit):
    """Change a storage unit: whether new volumes may be made there."""

    OPCODE = OpNodeModifyStorage
    FEATURE = "units-change"
    VERB = "modified"

    def check(self) -> None:
        op: OpNodeModifyStorage = self.op
        unknown = sorted(set(op.changes) - set(CHANGEABLE))
        if unknown or not op.changes:
            finding.refuse(
                f"what can be changed of a storage unit is {', '.join(CHANGEABLE)}, not "
                f"{', '.join(unknown) or 'nothing'}"
            )
        wrong = [key for key, value in op.changes.items() if not isinstance(value, bool)]
        if wrong:
            finding.refuse(f"'{wrong[0]}' of a storage unit must be true or false")
        super().check()

    def plan(self) -> Sequence[StepPlan]:
        before = {key: getattr(self.state, key) for key in self.op.changes}
        args = self.arguments() | {"changes": self.op.changes, "before": before}
        return [StepPlan(name=ChangeUnit.NAME, args=args)]


@step
class RepairUnit(Step):
    """Arguments: node, kind, name, unit."""

    NAME = "node.repair-storage"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        name = context.view.nodes[args["node"]].name
        context.log(f"Repairing storage unit '{args['name']}' on {name} ...")
        _call(context, "storage_repair", args)


@operation
class RepairNodeStorage(_OneUnit):
    """Make a storage unit consistent; other nodes' copies of its disks must be sound."""

    OPCODE = OpRepairNodeStorage
    FEATURE = "units-repair"
    VERB = "repaired"

    def check(self) -> None:
        super().check()
        for text in self._faulty():
            if not self.op.ignore_consistency:
                finding.refuse(
                    f"{text}, so repairing storage would be unsafe; --ignore-consistency does it "
                    "all the same",
                    ECODE_STATE,
                )
            self.context.warn(text)

    def _faulty(self) -> Iterator[str]:
        """Instances whose only sound copy may be the one on this node."""
        view = self.context.view
        for inst in view.instances.values():
            nodes = view.instance_nodes(inst)
            primary = view.nodes.get(inst.primary_node)
            if self.node.uuid not in nodes or len(nodes) < 2 or primary is None:
                continue
            for disk in build_guest(view, inst).disks:
                status = self.context.nodes.call(primary, "disk_sync", disk=disk)
                if status.degraded or status.state == SYNC_FAULTY:
                    yield f"Instance '{inst.name}' has faulty disks on node '{primary.name}'"
                    break

    def plan(self) -> Sequence[StepPlan]:
        return [NO_RETURN, StepPlan(name=RepairUnit.NAME, args=self.arguments())]
