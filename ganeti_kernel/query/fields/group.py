"""Fields of node groups."""

from __future__ import annotations

from typing import Any, Final

from ganeti_kernel.config.order import natural_key
from ganeti_kernel.objects import Node, NodeGroup, params
from ganeti_kernel.query.fields.base import (
    NUMBER,
    OTHER,
    TEXT,
    Field,
    attribute,
    common,
    table,
    whole,
    whole_numbers,
)
from ganeti_kernel.query.fields.ndparams import ndp_fields
from ganeti_kernel.query.source import QuerySource


def _nodes(source: QuerySource, group: NodeGroup) -> list[Node]:
    """The group's nodes, by UUID as upstream lists them."""
    return sorted(source.view.group_members.get(group.uuid, []), key=lambda node: node.uuid)


def _instances(source: QuerySource, group: NodeGroup) -> list[str]:
    primaries = source.view.primary_instances
    names = [inst.name for node in _nodes(source, group) for inst in primaries.get(node.uuid, ())]
    return sorted(names, key=natural_key)


def _ndparams(source: QuerySource, group: NodeGroup) -> dict[str, Any]:
    cluster = source.view.cluster
    return params.fill(params.ND_DEFAULTS, cluster.ndparams, group.ndparams)


def _diskparams(source: QuerySource, group: NodeGroup) -> dict[str, Any]:
    cluster = source.view.cluster
    templates = cluster.diskparams.keys() | group.diskparams.keys()
    return {name: source.view.fill_disk(name, group) for name in sorted(templates)}


GROUP: Final = table(
    common("node group"),
    ndp_fields(_ndparams),
    [
        Field("name", "Group", TEXT, "Name of the node group", attribute("name")),
        Field(
            "alloc_policy",
            "AllocPolicy",
            TEXT,
            "Whether new instances are placed here: preferred, last_resort or unallocable",
            attribute("alloc_policy"),
        ),
        Field(
            "node_cnt",
            "Nodes",
            NUMBER,
            "Number of nodes",
            lambda source, group: len(_nodes(source, group)),
        ),
        Field(
            "node_list",
            "NodeList",
            OTHER,
            "Names of the nodes",
            lambda source, group: [node.name for node in _nodes(source, group)],
        ),
        Field(
            "pinst_cnt",
            "Instances",
            NUMBER,
            "Number of instances whose primary node is in the group",
            lambda source, group: len(_instances(source, group)),
        ),
        Field(
            "pinst_list",
            "InstanceList",
            OTHER,
            "Instances whose primary node is in the group",
            _instances,
        ),
        Field(
            "ipolicy",
            "InstancePolicy",
            OTHER,
            "Bounds for instances, with the cluster's filled in",
            lambda source, group: whole(params.fill_ipolicy(source.view.cluster, group)),
        ),
        Field(
            "custom_ipolicy",
            "CustomInstancePolicy",
            OTHER,
            "Bounds for instances set on the group itself",
            whole_numbers(attribute("ipolicy")),
        ),
        Field(
            "ndparams",
            "NDParams",
            OTHER,
            "Node parameters, with the cluster's filled in",
            whole_numbers(_ndparams),
        ),
        Field(
            "custom_ndparams",
            "CustomNDParams",
            OTHER,
            "Node parameters set on the group itself",
            whole_numbers(attribute("ndparams")),
        ),
        Field(
            "diskparams",
            "DiskParameters",
            OTHER,
            "Disk parameters by template, with the cluster's filled in",
            _diskparams,
        ),
        Field(
            "custom_diskparams",
            "CustomDiskParameters",
            OTHER,
            "Disk parameters set on the group itself",
            attribute("diskparams"),
        ),
    ],
)
