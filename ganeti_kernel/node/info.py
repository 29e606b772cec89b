"""Calls about the node itself."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ganeti_kernel.errors import GenericError, ParameterError
from ganeti_kernel.node.context import NodeContext, bounded
from ganeti_kernel.node.registry import node_call
from ganeti_kernel.plugins.kinds import KINDS
from ganeti_kernel.rpc.calls import HOUR
from ganeti_kernel.rpc.results import NodeInfo, PluginRow, StorageUnit
from ganeti_kernel.specs.disk_template import StorageSpace
from ganeti_kernel.specs.hypervisor import NodeResources
from ganeti_kernel.version import PROTOCOL_VERSION

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
PATIENCE: Final = 20.0
"""Seconds for one plugin's answer, so that one that hangs costs only its own part."""


@node_call("version")
def version(_context: NodeContext) -> int:
    """Version of the node protocol (upstream's number)."""
    return PROTOCOL_VERSION


@node_call("test_delay")
def delay(_context: NodeContext, duration: float) -> None:
    """Do nothing for `duration` seconds."""
    if not 0 <= duration <= HOUR:
        raise ParameterError(f"a delay must be 0 to {HOUR:g} seconds, not {duration:g}")
    time.sleep(duration)


@node_call("node_info")
def node_info(
    context: NodeContext,
    hypervisors: dict[str, dict[str, Any]] = {},  # noqa: B006 # read only
    storage: list[StorageUnit] = [],  # noqa: B006 # read only
) -> NodeInfo:
    """What the node has: memory and processors per hypervisor, room per storage unit.

    A plugin that fails or hangs costs its own part only; `problems` says why.
    """
    problems: list[str] = []
    resources: dict[str, NodeResources] = {}
    for name, hvparams in hypervisors.items():
        try:
            ask = functools.partial(_resources, context, name, hvparams)
            resources[name] = bounded(f"resources of {name}", PATIENCE, ask)
        except GenericError as error:
            problems.append(f"hypervisor {name}: {error}")
    room: list[StorageSpace | None] = []
    for unit in storage:
        try:
            measure = functools.partial(_space, context, unit)
            room.append(bounded(f"space of {unit}", PATIENCE, measure))
        except GenericError as error:
            room.append(None)
            problems.append(f"disk template {unit.template}: {error}")
    return NodeInfo(
        bootid=BOOT_ID.read_text("ascii").strip(),
        hypervisors=resources,
        storage=room,
        problems=problems,
    )


def _resources(context: NodeContext, name: str, hvparams: Mapping[str, Any]) -> NodeResources:
    with context.hypervisor(name) as plugin:
        return plugin.node_resources(hvparams)


def _space(context: NodeContext, unit: StorageUnit) -> StorageSpace | None:
    with context.template(unit.template) as plugin:
        if "space" not in plugin.describe().features:
            return None
        return plugin.space(unit.params, unit.directory)


@node_call("plugins_list")
def plugins_list(context: NodeContext) -> list[PluginRow]:
    """Every plugin installed here, loaded, with what is wrong with it."""
    context.refresh()
    rows: list[PluginRow] = []
    for kind in KINDS:
        good, broken = context.plugins.load_all(kind)
        problems = {item.name: item.reason for item in broken}
        rows += [
            PluginRow(
                kind=kind,
                name=name,
                distribution=context.plugins.location(kind, name),
                problem=problems.get(name, ""),
            )
            for name in sorted({*good, *problems})
        ]
        rows += [
            PluginRow(
                kind=kind, name=item.name, distribution=item.distribution, problem=item.reason
            )
            for item in context.plugins.broken_sources(kind)
        ]
    return rows
