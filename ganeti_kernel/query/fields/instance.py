"""Fields of instances."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from ganeti_kernel.objects import Instance, Node, to_wire
from ganeti_kernel.query.fields.base import (
    BOOL,
    NUMBER,
    OTHER,
    TEXT,
    UNIT,
    Field,
    Getter,
    attribute,
    common,
    or_unavailable,
    table,
)
from ganeti_kernel.query.fields.devices import device_fields
from ganeti_kernel.query.fields.hvparams import (
    BE_FIELDS,
    beparams,
    custom_hvparams,
    hv_fields,
    hvparams,
)
from ganeti_kernel.query.source import CONSOLE, INSTANCE_STATE, Missing, QuerySource
from ganeti_kernel.specs.base import Parameter
from ganeti_kernel.specs.hypervisor import STATE_SHUTDOWN, InstanceState

LIVE: Final = frozenset({INSTANCE_STATE})


# -- where it is -------------------------------------------------------------------------------


def _primary(source: QuerySource, inst: Instance) -> Node | None:
    return source.view.nodes.get(inst.primary_node)


def _of_primary(pick: Callable[[QuerySource, Node], Any]) -> Getter:
    def get(source: QuerySource, inst: Instance) -> Any:
        node = _primary(source, inst)
        return or_unavailable(pick(source, node) if node else None)

    return get


def _of_secondaries(pick: Callable[[QuerySource, Node], Any]) -> Getter:
    def get(source: QuerySource, inst: Instance) -> Any:
        nodes = (source.view.nodes.get(uuid) for uuid in source.view.secondary_nodes(inst))
        return [pick(source, node) for node in nodes if node]

    return get


def _group_name(source: QuerySource, node: Node) -> Any:
    group = source.view.node_group(node)
    return group.name if group else None


# -- how it is ---------------------------------------------------------------------------------


def guest_of(source: QuerySource, inst: Instance) -> InstanceState | Missing | None:
    """The guest on its primary node, None when there is none, Missing when nobody knows."""
    node = _primary(source, inst)
    if node is None:
        return Missing.UNAVAIL
    if node.offline:
        return Missing.OFFLINE
    guests = source.live.guests.get(node.uuid)
    return Missing.NODATA if guests is None else guests.get(inst.name)


def status(source: QuerySource, inst: Instance) -> str:
    """The words are upstream 3.0's."""
    guest = guest_of(source, inst)
    if guest is Missing.OFFLINE:
        return "ERROR_nodeoffline"
    if guest in (Missing.NODATA, Missing.UNAVAIL):
        return "ERROR_nodedown"
    if isinstance(guest, InstanceState):
        return _status_of_guest(source, inst, guest)
    if _runs_elsewhere(source, inst):
        return "ERROR_wrongnode"
    if inst.admin_state == "up":
        return "ERROR_down"
    if inst.admin_state == "offline":
        return "ADMIN_offline"
    return "USER_down" if inst.admin_state_source == "user" else "ADMIN_down"


def _status_of_guest(source: QuerySource, inst: Instance, guest: InstanceState) -> str:
    if guest.state == STATE_SHUTDOWN:
        if inst.admin_state == "up":
            allowed = source.view.cluster.enabled_user_shutdown
            return "USER_down" if allowed else "ERROR_down"
        return "USER_down" if inst.admin_state_source == "user" else "ADMIN_down"
    return "running" if inst.admin_state == "up" else "ERROR_up"


def _runs_elsewhere(source: QuerySource, inst: Instance) -> bool:
    return any(
        guests is not None and inst.name in guests
        for uuid, guests in source.live.guests.items()
        if uuid != inst.primary_node
    )


def _running(source: QuerySource, inst: Instance) -> Any:
    guest = guest_of(source, inst)
    if isinstance(guest, Missing):
        return guest
    return guest is not None and guest.state != STATE_SHUTDOWN


def _of_guest(pick: Callable[[InstanceState], Any]) -> Getter:
    def get(source: QuerySource, inst: Instance) -> Any:
        guest = guest_of(source, inst)
        if isinstance(guest, Missing):
            return guest
        return Missing.UNAVAIL if guest is None else pick(guest)

    return get


def _console(source: QuerySource, inst: Instance) -> Any:
    node = _primary(source, inst)
    if node is not None and node.offline:
        return Missing.OFFLINE
    console = source.live.consoles.get(inst.uuid)
    return Missing.NODATA if console is None else to_wire(console)


STATUS_DOC: Final = (
    "running; ADMIN_down, USER_down or ADMIN_offline when it should not run and does not; "
    "ERROR_up when it should not run but does; ERROR_down when it should run but does not; "
    "ERROR_wrongnode when it runs on another node than its primary; ERROR_nodedown and "
    "ERROR_nodeoffline when its primary node does not answer or is marked offline"
)

LIVE_FIELDS: Final = [
    Field("oper_state", "Running", BOOL, "Whether it runs now", _running, LIVE),
    Field("oper_ram", "Memory", UNIT, "Memory it has now", _of_guest(lambda g: g.memory), LIVE),
    Field(
        "oper_vcpus", "VCPUs", NUMBER, "Processors it has now", _of_guest(lambda g: g.vcpus), LIVE
    ),
    Field("status", "Status", TEXT, STATUS_DOC, status, LIVE),
    Field("console", "Console", OTHER, "How to reach its console", _console, frozenset({CONSOLE})),
]

STATIC_FIELDS: Final = [
    Field("name", "Instance", TEXT, "Name of the instance", attribute("name")),
    Field("os", "OS", TEXT, "OS definition it was made with", attribute("os")),
    Field("hypervisor", "Hypervisor", TEXT, "Name of its hypervisor", attribute("hypervisor")),
    Field(
        "network_port",
        "Network_port",
        OTHER,
        "TCP port of its graphical console",
        attribute("network_port"),
    ),
    Field(
        "disk_template",
        "Disk_template",
        TEXT,
        "Template of its disks",
        lambda source, inst: source.view.disk_template(inst),
    ),
    Field(
        "disks_active",
        "DisksActive",
        BOOL,
        "Whether its disks should be active",
        attribute("disks_active"),
    ),
    Field(
        "forthcoming",
        "Forthcoming",
        BOOL,
        "Whether it is only reserved so far",
        lambda _source, inst: bool(inst.forthcoming),
    ),
    Field(
        "admin_state",
        "InstanceState",
        TEXT,
        "What it should be: up, down or offline",
        attribute("admin_state"),
    ),
    Field(
        "admin_state_source",
        "InstanceStateSource",
        TEXT,
        "Who last said what it should be",
        attribute("admin_state_source"),
    ),
    Field(
        "admin_up",
        "Autostart",
        BOOL,
        "Whether it should run",
        lambda _source, inst: inst.admin_state == "up",
    ),
    Field(
        "pnode",
        "Primary_node",
        TEXT,
        "Name of its primary node",
        _of_primary(lambda _source, node: node.name),
    ),
    Field(
        "pnode.group",
        "PrimaryNodeGroup",
        TEXT,
        "Name of its primary node's group",
        _of_primary(_group_name),
    ),
    Field(
        "pnode.group.uuid",
        "PrimaryNodeGroupUUID",
        TEXT,
        "UUID of its primary node's group",
        _of_primary(lambda _source, node: node.group),
    ),
    Field(
        "snodes",
        "Secondary_Nodes",
        OTHER,
        "Names of its secondary nodes",
        _of_secondaries(lambda _source, node: node.name),
    ),
    Field(
        "snodes.group",
        "SecondaryNodesGroups",
        OTHER,
        "Names of its secondary nodes' groups",
        _of_secondaries(_group_name),
    ),
    Field(
        "snodes.group.uuid",
        "SecondaryNodesGroupsUUID",
        OTHER,
        "UUIDs of its secondary nodes' groups",
        _of_secondaries(lambda _source, node: node.group),
    ),
    Field(
        "hvparams",
        "HypervisorParameters",
        OTHER,
        "Hypervisor parameters, with all layers filled in",
        hvparams,
    ),
    Field(
        "custom_hvparams",
        "CustomHypervisorParameters",
        OTHER,
        "Hypervisor parameters set on the instance itself",
        custom_hvparams,
    ),
    Field(
        "beparams",
        "BackendParameters",
        OTHER,
        "Backend parameters, with all layers filled in",
        beparams,
    ),
    Field(
        "custom_beparams",
        "CustomBackendParameters",
        OTHER,
        "Backend parameters set on the instance itself",
        attribute("beparams"),
    ),
    Field(
        "osparams",
        "OpSysParameters",
        OTHER,
        "OS parameters, with all layers filled in",
        lambda source, inst: source.view.fill_os(inst),
    ),
    Field(
        "custom_osparams",
        "CustomOpSysParameters",
        OTHER,
        "OS parameters set on the instance itself",
        attribute("osparams"),
    ),
]


def instance_table(parameters: Iterable[Parameter] = ()) -> dict[str, Field]:
    """Make the table; `parameters` are those of the installed hypervisors."""
    return table(
        common("instance"),
        STATIC_FIELDS,
        LIVE_FIELDS,
        device_fields(),
        hv_fields(parameters),
        BE_FIELDS,
    )
