"""Which OS definitions and ExtStorage providers can be used where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ganeti_kernel.errors import ECODE_INVAL
from ganeti_kernel.jobs.opcodes import OpExtStorageDiagnose, OpOsDiagnose
from ganeti_kernel.jobs.operation import JobContext, Operation, Step, StepPlan, operation, step
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.operations import finding


def usable_nodes(view: ConfigView) -> list[Node]:
    """Online nodes that may run instances, by name."""
    nodes = [node for node in view.nodes.values() if node.vm_capable and not node.offline]
    return sorted(nodes, key=lambda node: node.name)


@step
class Diagnose(Step):
    """Ask all usable nodes. Arguments: call, fields, names, kind ("os" or "extstorage").

    A node that does not answer is left out with a warning.
    """

    NAME = "diagnose"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        answers: dict[str, Sequence[Any]] = {}
        nodes = usable_nodes(context.view)
        results = context.nodes.call_many(nodes, args["call"])
        for uuid in (node.uuid for node in nodes):  # in this order, whoever answers first
            result = results[uuid]
            if result.ok:
                answers[uuid] = result.value
            else:
                name = context.view.nodes[uuid].name
                context.warn(f"node {name} is left out: {result.error}")
        table = _TABLES[args["kind"]](context.view, answers)
        chosen = [name for name in sorted(table) if not args["names"] or name in args["names"]]
        return [[table[name][field] for field in args["fields"]] for name in chosen]


def _by_name(answers: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, list[Any]]]:
    """name -> node UUID -> what the node has under that name, first on the search path first."""
    names = {item.name for items in answers.values() for item in items}
    return {
        name: {
            uuid: [item for item in items if item.name == name] for uuid, items in answers.items()
        }
        for name in names
    }


def _valid(found: Iterable[Sequence[Any]]) -> bool:
    return all(bool(items) and items[0].valid for items in found)


def _common(found: Iterable[Sequence[Any]], pick: Callable[[Any], Sequence[Any]]) -> list[Any]:
    """What every node's first definition has, in the order of the first node."""
    lists = [list(pick(items[0])) for items in found if items]
    return [value for value in lists[0] if all(value in other for other in lists)] if lists else []


def os_table(view: ConfigView, answers: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """Every OS definition with all its query fields (upstream 3.0's meaning of each)."""
    cluster = view.cluster
    out = {}
    for name, nodes in _by_name(answers).items():
        valid = _valid(nodes.values())
        found = list(nodes.values())
        out[name] = {
            "name": name,
            "valid": valid,
            "hidden": name in cluster.hidden_os,
            "blacklisted": name in cluster.blacklisted_os,
            "variants": _common(found, lambda item: item.variants) if valid else [],
            "parameters": _common(found, lambda item: item.parameters) if valid else [],
            "api_versions": _common(found, lambda item: item.api_versions) if valid else [],
            "trusted": all(item.trusted for items in found for item in items[:1]),
            "os_hvp": cluster.os_hvp.get(name, {}),
            "osparams": cluster.osparams.get(name, {}),
            "node_status": {
                uuid: [
                    [
                        item.path,
                        item.valid,
                        item.diagnose,
                        item.variants,
                        item.parameters,
                        item.api_versions,
                        item.trusted,
                    ]
                    for item in items
                ]
                for uuid, items in nodes.items()
            },
        }
    return out


def provider_table(
    view: ConfigView, answers: Mapping[str, Sequence[Any]]
) -> dict[str, dict[str, Any]]:
    """Every provider with all its query fields."""
    out = {}
    for name, nodes in _by_name(answers).items():
        groups = {
            group.name: _valid(
                nodes[node.uuid]
                for node in view.group_members.get(group.uuid, ())
                if node.uuid in nodes
            )
            for group in view.nodegroups.values()
        }
        valid = _valid(nodes.values())
        out[name] = {
            "name": name,
            "node_status": {
                uuid: [[item.path, item.valid, item.message, item.parameters] for item in items]
                for uuid, items in nodes.items()
            },
            "nodegroup_status": groups,
            "parameters": _common(nodes.values(), lambda item: item.parameters) if valid else [],
        }
    return out


_TABLES = {"os": os_table, "extstorage": provider_table}
_FIELDS = {
    "os": (
        "name", "valid", "hidden", "blacklisted", "variants", "api_versions", "parameters",
        "node_status", "os_hvp", "osparams", "trusted",
    ),
    "extstorage": ("name", "node_status", "nodegroup_status", "parameters"),
}  # fmt: skip


class _Diagnosis(Operation[Any]):
    RETURNS_OUTCOME = True
    KIND = ""
    CALL = ""

    def check(self) -> None:
        unknown = [field for field in self.op.output_fields if field not in _FIELDS[self.KIND]]
        if unknown:
            known = ", ".join(_FIELDS[self.KIND])
            finding.refuse(f"unknown output field '{unknown[0]}' (known: {known})", ECODE_INVAL)

    def plan(self) -> Sequence[StepPlan]:
        args = {
            "kind": self.KIND,
            "call": self.CALL,
            "fields": list(self.op.output_fields),
            "names": list(self.op.names),
        }
        return [StepPlan(name=Diagnose.NAME, args=args)]


@operation
class OsDiagnose(_Diagnosis):
    """Say for each OS definition and node whether it can be installed."""

    OPCODE = OpOsDiagnose
    KIND = "os"
    CALL = "os_diagnose"


@operation
class ExtStorageDiagnose(_Diagnosis):
    """Say for each ExtStorage provider and node whether it can be used."""

    OPCODE = OpExtStorageDiagnose
    KIND = "extstorage"
    CALL = "extstorage_diagnose"
