"""The whole configuration as one immutable, indexed value.

Every reader (operations, queries, confd, ssconf) takes a view; a change makes a new one. Indexes
are built when first asked for and live as long as the view.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

from ganeti_kernel.objects import params
from ganeti_kernel.objects.cluster import Cluster, FilterRule, Network, Node, NodeGroup
from ganeti_kernel.objects.document import Document
from ganeti_kernel.objects.instance import Disk, Instance, Nic
from ganeti_kernel.objects.secrets import SecretRules

Named = TypeVar("Named", Node, NodeGroup, Instance, Network)


class ConfigView:
    """An immutable snapshot of the configuration; all mappings are keyed by UUID."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        nodes: Mapping[str, Node] | None = None,
        nodegroups: Mapping[str, NodeGroup] | None = None,
        instances: Mapping[str, Instance] | None = None,
        networks: Mapping[str, Network] | None = None,
        disks: Mapping[str, Disk] | None = None,
        filters: Mapping[str, FilterRule] | None = None,
        version: int = 0,
        serial_no: int = 1,
        ctime: float = 0.0,
        mtime: float = 0.0,
        document: Document | None = None,
        secrets: SecretRules | None = None,
    ) -> None:
        """`document` is the JSON text the view was read from, if it was; `secrets` what queries
        that hand out whole objects must hide."""
        self.cluster = cluster
        self.nodes: Mapping[str, Node] = nodes or {}
        self.nodegroups: Mapping[str, NodeGroup] = nodegroups or {}
        self.instances: Mapping[str, Instance] = instances or {}
        self.networks: Mapping[str, Network] = networks or {}
        self.disks: Mapping[str, Disk] = disks or {}
        self.filters: Mapping[str, FilterRule] = filters or {}
        self.version = version
        self.serial_no = serial_no
        self.ctime = ctime
        self.mtime = mtime
        self.secrets = secrets or SecretRules()
        self._document = document

    @cached_property
    def document(self) -> Document:
        """The configuration as JSON: the text it was read from, else made from the objects."""
        return self._document or Document.of(self)

    # -- look-up by name -----------------------------------------------------------------------

    @cached_property
    def _node_names(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes.values()}

    @cached_property
    def _group_names(self) -> dict[str, NodeGroup]:
        return {group.name: group for group in self.nodegroups.values()}

    @cached_property
    def _instance_names(self) -> dict[str, Instance]:
        return {inst.name: inst for inst in self.instances.values() if inst.name}

    @cached_property
    def _network_names(self) -> dict[str, Network]:
        return {network.name: network for network in self.networks.values()}

    def find_node(self, ident: str) -> Node | None:
        """Find a node by UUID, name, or a name's unambiguous beginning (up to a dot)."""
        return _find(ident, self.nodes, self._node_names)

    def find_group(self, ident: str) -> NodeGroup | None:
        """Find a node group by UUID or exact name."""
        return self.nodegroups.get(ident) or self._group_names.get(ident)

    def find_instance(self, ident: str) -> Instance | None:
        """Find an instance by UUID, name, or a name's unambiguous beginning (up to a dot)."""
        return _find(ident, self.instances, self._instance_names)

    def find_network(self, ident: str) -> Network | None:
        """Find a network by UUID or exact name."""
        return self.networks.get(ident) or self._network_names.get(ident)

    # -- relations -----------------------------------------------------------------------------

    @cached_property
    def master(self) -> Node | None:
        return self.nodes.get(self.cluster.master_node)

    @cached_property
    def group_members(self) -> dict[str, list[Node]]:
        """Node group UUID -> its nodes, by name."""
        out: dict[str, list[Node]] = {uuid: [] for uuid in self.nodegroups}
        for node in sorted(self.nodes.values(), key=lambda item: item.name):
            out.setdefault(node.group, []).append(node)
        return out

    @cached_property
    def primary_instances(self) -> dict[str, list[Instance]]:
        """Node UUID -> instances whose primary it is."""
        out: dict[str, list[Instance]] = {}
        for inst in self.instances.values():
            out.setdefault(inst.primary_node, []).append(inst)
        return out

    @cached_property
    def secondary_instances(self) -> dict[str, list[Instance]]:
        """Node UUID -> instances that mirror their disks to it."""
        out: dict[str, list[Instance]] = {}
        for inst in self.instances.values():
            for uuid in self.secondary_nodes(inst):
                out.setdefault(uuid, []).append(inst)
        return out

    @cached_property
    def drbd_mirrored(self) -> dict[str, list[Instance]]:
        """Node UUID -> instances with a DRBD disk whose other side is on it.

        Only the disks themselves count, not devices nested in others, and a disk that does not
        touch the primary node at all counts for its first node (upstream 3.0's confd).
        """
        out: dict[str, list[Instance]] = {}
        for inst in self.instances.values():
            mirrors = {
                disk.logical_id[1 if disk.logical_id[0] == inst.primary_node else 0]
                for disk in self.instance_disks(inst)
                if disk.dev_type == "drbd" and len(disk.logical_id) > 1
            }
            for uuid in mirrors:
                out.setdefault(uuid, []).append(inst)
        return out

    def instance_disks(self, inst: Instance) -> list[Disk]:
        """The instance's disks in order; a missing one is left out."""
        return [self.disks[uuid] for uuid in inst.disks if uuid in self.disks]

    def instance_nodes(self, inst: Instance) -> list[str]:
        """UUIDs of all nodes the instance touches, the primary first."""
        return [inst.primary_node, *self.secondary_nodes(inst)]

    def secondary_nodes(self, inst: Instance) -> list[str]:
        """UUIDs of nodes other than the primary that hold disk data."""
        out: list[str] = []
        for disk in self.instance_disks(inst):
            for uuid in _disk_nodes(disk):
                if uuid != inst.primary_node and uuid not in out:
                    out.append(uuid)
        return out

    def disk_template(self, inst: Instance) -> str:
        """The template of all disks: "diskless" without any, "mixed" when they differ."""
        kinds = {disk.dev_type for disk in self.instance_disks(inst)}
        if not kinds:
            return "diskless"
        return kinds.pop() if len(kinds) == 1 else "mixed"

    def node_group(self, node: Node) -> NodeGroup | None:
        return self.nodegroups.get(node.group)

    @cached_property
    def nics_by_ip(self) -> dict[tuple[str, str], Instance]:
        """(link, ip) -> instance. The link is the NIC's own over the cluster's default."""
        out: dict[tuple[str, str], Instance] = {}
        for inst in self.instances.values():
            for nic in inst.nics:
                if nic.ip:
                    link = str(params.fill_nic(self.cluster, nic).get("link", ""))
                    out[link, nic.ip] = inst
        return out

    @cached_property
    def macs(self) -> frozenset[str]:
        return frozenset(
            nic.mac.lower() for inst in self.instances.values() for nic in inst.nics if nic.mac
        )

    # -- filled parameters ---------------------------------------------------------------------

    def fill_hv(self, inst: Instance) -> dict[str, Any]:
        return params.fill_hv(self.cluster, inst.hypervisor, inst.os, inst.hvparams)

    def fill_be(self, inst: Instance) -> dict[str, Any]:
        return params.fill_be(self.cluster, inst.beparams)

    def fill_nic(self, nic: Nic) -> dict[str, Any]:
        return params.fill_nic(self.cluster, nic)

    def fill_nd(self, node: Node) -> dict[str, Any]:
        return params.fill_nd(self.cluster, self.node_group(node), node)

    def fill_disk(self, template: str, group: NodeGroup | None) -> dict[str, Any]:
        return params.fill_disk(self.cluster, template, group)

    def fill_os(self, inst: Instance) -> dict[str, Any]:
        return params.fill_os(self.cluster, inst.os, inst.osparams)

    def objects(self) -> Iterator[tuple[str, str, Any]]:
        """All objects but the cluster as (table name in `config.data`, UUID, object)."""
        for table in ("nodes", "nodegroups", "instances", "networks", "disks", "filters"):
            for uuid, value in getattr(self, table).items():
                yield table, uuid, value


def _disk_nodes(disk: Disk) -> Iterator[str]:
    yield from disk.nodes
    for child in disk.children:
        yield from _disk_nodes(child)


def _find(ident: str, by_uuid: Mapping[str, Named], by_name: Mapping[str, Named]) -> Named | None:
    found = by_uuid.get(ident) or by_name.get(ident)
    if found is not None or not ident:
        return found
    matches = [name for name in by_name if name.startswith(ident + ".")]
    return by_name[matches[0]] if len(matches) == 1 else None
