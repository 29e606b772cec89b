"""Calls about storage units and the volumes in them. Each drives a disk template."""

from __future__ import annotations

from typing import Any

from ganeti_kernel.errors import BlockDeviceError
from ganeti_kernel.node.context import NodeContext, bounded
from ganeti_kernel.node.info import PATIENCE
from ganeti_kernel.node.registry import Arguments, node_call
from ganeti_kernel.rpc.results import StorageUnit
from ganeti_kernel.specs.disk_template import UnitState, Volume


def _unit(args: Arguments) -> str | None:
    """Changes of one storage unit run one after the other."""
    return f"storage unit {args['kind']} {args['name']}"


@node_call("storage_list")
def storage_list(context: NodeContext, kind: str, unit: StorageUnit) -> list[UnitState]:
    """This node's storage units of a type; `unit` says which template lists them, and where."""

    def ask() -> list[UnitState]:
        with context.template(unit.template) as plugin:
            return list(plugin.storage_units(kind, unit.params, unit.directory))

    return bounded(f"storage units {kind} of {unit}", PATIENCE, ask)


def _is_there(context: NodeContext, kind: str, name: str, unit: StorageUnit) -> None:
    names = [item.name for item in storage_list(context, kind, unit)]
    if name not in names:
        raise BlockDeviceError(
            f"node {context.name} has no storage unit {name} of type {kind} (there are: "
            f"{', '.join(names) or 'none'})"
        )


@node_call("storage_change", subject=_unit)
def storage_change(
    context: NodeContext, kind: str, name: str, unit: StorageUnit, changes: dict[str, Any]
) -> None:
    """Change a storage unit that is there."""
    _is_there(context, kind, name, unit)
    with context.template(unit.template) as plugin:
        plugin.change_unit(kind, name, changes)


@node_call("storage_repair", subject=_unit)
def storage_repair(context: NodeContext, kind: str, name: str, unit: StorageUnit) -> None:
    """Make a storage unit that is there consistent again."""
    _is_there(context, kind, name, unit)
    with context.template(unit.template) as plugin:
        plugin.repair_unit(kind, name)


@node_call("volumes_list")
def volumes_list(context: NodeContext, units: list[StorageUnit]) -> list[Volume]:
    """The volumes of several templates on this node."""
    found: list[Volume] = []
    for unit in units:

        def ask(unit: StorageUnit = unit) -> list[Volume]:
            with context.template(unit.template) as plugin:
                return list(plugin.list_volumes(unit.params, unit.directory))

        found += bounded(f"volumes of {unit}", PATIENCE, ask)
    return found
