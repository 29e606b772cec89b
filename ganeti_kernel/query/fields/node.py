"""Fields of nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ganeti_kernel.config.order import natural_key
from ganeti_kernel.objects import Instance, Node
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
    whole,
    whole_numbers,
)
from ganeti_kernel.query.fields.ndparams import ndp_fields
from ganeti_kernel.query.source import NODE_INFO, Missing, QuerySource
from ganeti_kernel.rpc.results import NodeInfo
from ganeti_kernel.specs.disk_template import StorageSpace
from ganeti_kernel.specs.hypervisor import NodeResources

LIVE: Final = frozenset({NODE_INFO})


def role(source: QuerySource, node: Node) -> str:
    """One letter: M master, C master candidate, D drained, O offline, R regular."""
    if node.uuid == source.view.cluster.master_node:
        return "M"
    flags = (("C", node.master_candidate), ("D", node.drained), ("O", node.offline))
    return next((letter for letter, flag in flags if flag), "R")


def _names(instances: list[Instance]) -> list[str]:
    return sorted((inst.name for inst in instances), key=natural_key)


def _primaries(source: QuerySource, node: Node) -> list[str]:
    return _names(source.view.primary_instances.get(node.uuid, []))


def _secondaries(source: QuerySource, node: Node) -> list[str]:
    return _names(source.view.secondary_instances.get(node.uuid, []))


def _group(source: QuerySource, node: Node) -> Any:
    group = source.view.node_group(node)
    return or_unavailable(group.name if group else None)


def _powered(source: QuerySource, node: Node) -> Any:
    """Only an out-of-band program knows."""
    known = source.view.fill_nd(node).get("oob_program")
    return node.powered if known else Missing.UNAVAIL


# -- live --------------------------------------------------------------------------------------


def _live(pick: Callable[[NodeInfo], Any]) -> Getter:
    def get(source: QuerySource, node: Node) -> Any:
        if node.offline:
            return Missing.OFFLINE
        if not node.vm_capable:
            return Missing.UNAVAIL
        info = source.live.nodes.get(node.uuid)
        return Missing.NODATA if info is None else pick(info)

    return get


def _resources(pick: Callable[[NodeResources], Any]) -> Getter:
    """Of the hypervisor that was asked; no answer from it is no data."""

    def get(info: NodeInfo) -> Any:
        found = next(iter(info.hypervisors.values()), None)
        return Missing.NODATA if found is None else pick(found)

    return _live(get)


def _space(pick: Callable[[StorageSpace], Any]) -> Getter:
    """Of the first storage unit that was asked; a template without room has none."""

    def get(info: NodeInfo) -> Any:
        if not info.storage:
            return Missing.UNAVAIL
        found = info.storage[0]
        return Missing.UNAVAIL if found is None else pick(found)

    return _live(get)


def _spindles(pick: Callable[[StorageSpace], Any]) -> Getter:
    """Physical disks are counted only where instances do not share them."""

    def get(source: QuerySource, node: Node) -> Any:
        if not node.offline and not source.view.fill_nd(node)["exclusive_storage"]:
            return Missing.UNAVAIL
        return _space(pick)(source, node)

    return get


def _no_figure(_space: StorageSpace) -> Missing:
    """No disk template counts spindles so far."""
    return Missing.UNAVAIL


LIVE_FIELDS: Final = [
    Field(name, title, kind, doc, get, LIVE)
    for name, title, kind, doc, get in (
        ("bootid", "BootID", TEXT, "Changes with each start", _live(lambda info: info.bootid)),
        ("cnodes", "CNodes", NUMBER, "NUMA nodes", _resources(lambda r: r.cpu_nodes)),
        ("cnos", "CNOs", NUMBER, "Processors of the node's own", _resources(lambda r: r.cpu_dom0)),
        ("csockets", "CSockets", NUMBER, "Sockets", _resources(lambda r: r.cpu_sockets)),
        ("ctotal", "CTotal", NUMBER, "Logical processors", _resources(lambda r: r.cpu_total)),
        ("dfree", "DFree", UNIT, "Free room for disks", _space(lambda space: space.free)),
        ("dtotal", "DTotal", UNIT, "Room for disks", _space(lambda space: space.total)),
        ("spfree", "SpFree", NUMBER, "Free physical disks", _spindles(_no_figure)),
        ("sptotal", "SpTotal", NUMBER, "Physical disks", _spindles(_no_figure)),
        ("mfree", "MFree", UNIT, "Memory for new instances", _resources(lambda r: r.memory_free)),
        ("mnode", "MNode", UNIT, "Memory the node uses", _resources(lambda r: r.memory_dom0)),
        ("mtotal", "MTotal", UNIT, "Memory", _resources(lambda r: r.memory_total)),
    )
]

NODE: Final = table(
    common("node"),
    ndp_fields(lambda source, node: source.view.fill_nd(node)),
    LIVE_FIELDS,
    [
        Field("name", "Node", TEXT, "Name of the node", attribute("name")),
        Field("pip", "PrimaryIP", TEXT, "Primary address", attribute("primary_ip")),
        Field(
            "sip",
            "SecondaryIP",
            TEXT,
            "Secondary address, for the copying of disks",
            lambda _source, node: node.secondary_ip or node.primary_ip,
        ),
        Field(
            "master",
            "IsMaster",
            BOOL,
            "Whether it is the master",
            lambda source, node: node.uuid == source.view.cluster.master_node,
        ),
        Field("role", "Role", TEXT, "M master, C candidate, R regular, D drained, O offline", role),
        Field("group", "Group", TEXT, "Name of the node group", _group),
        Field("group.uuid", "GroupUUID", TEXT, "UUID of the node group", attribute("group")),
        Field("powered", "Powered", BOOL, "Whether it is thought to be switched on", _powered),
        Field(
            "ndparams",
            "NodeParameters",
            OTHER,
            "Node parameters, with those of group and cluster filled in",
            lambda source, node: whole(source.view.fill_nd(node)),
        ),
        Field(
            "custom_ndparams",
            "CustomNodeParameters",
            OTHER,
            "Node parameters set on the node itself",
            whole_numbers(attribute("ndparams")),
        ),
        Field(
            "hv_state",
            "HypervisorState",
            OTHER,
            "Figures that override what hypervisors report",
            attribute("hv_state_static"),
        ),
        Field(
            "disk_state",
            "DiskState",
            OTHER,
            "Figures that override what storage reports",
            attribute("disk_state_static"),
        ),
        Field(
            "pinst_cnt",
            "Pinst",
            NUMBER,
            "Number of instances whose primary it is",
            lambda source, node: len(_primaries(source, node)),
        ),
        Field("pinst_list", "PriInstances", OTHER, "Instances whose primary it is", _primaries),
        Field(
            "sinst_cnt",
            "Sinst",
            NUMBER,
            "Number of instances whose secondary it is",
            lambda source, node: len(_secondaries(source, node)),
        ),
        Field("sinst_list", "SecInstances", OTHER, "Instances whose secondary it is", _secondaries),
        Field(
            "drained", "Drained", BOOL, "Whether it takes no new instances", attribute("drained")
        ),
        Field("offline", "Offline", BOOL, "Whether it is not contacted", attribute("offline")),
        Field(
            "master_candidate",
            "MasterC",
            BOOL,
            "Whether it is a master candidate",
            attribute("master_candidate"),
        ),
        Field(
            "master_capable",
            "MasterCapable",
            BOOL,
            "Whether it may become master",
            attribute("master_capable"),
        ),
        Field(
            "vm_capable",
            "VMCapable",
            BOOL,
            "Whether it may host instances",
            attribute("vm_capable"),
        ),
    ],
)
