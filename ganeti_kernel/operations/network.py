"""Networks: adding, removing, connecting to node groups."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ganeti_kernel.config import pools
from ganeti_kernel.config.changes import Draft, new_uuid
from ganeti_kernel.errors import (
    ECODE_EXISTS,
    ECODE_INVAL,
    ECODE_STATE,
    AddressPoolError,
    TagError,
)
from ganeti_kernel.jobs.opcodes import (
    OpNetworkAdd,
    OpNetworkConnect,
    OpNetworkDisconnect,
    OpNetworkRemove,
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
from ganeti_kernel.objects import ConfigView, Network, Node, NodeGroup
from ganeti_kernel.operations import facts, finding, network_values
from ganeti_kernel.operations.config_objects import add_object, drop_object
from ganeti_kernel.operations.hookenv import network_variables
from ganeti_kernel.operations.no_return import NO_RETURN
from ganeti_kernel.operations.tags import check_tag


def name_is_free(view: ConfigView, name: str) -> None:
    """Refuse a name that a network has already."""
    known = next((net for net in view.networks.values() if net.name == name), None)
    if known is not None:
        finding.refuse(
            f"Desired network name '{name}' already exists as a network (UUID: {known.uuid})",
            ECODE_EXISTS,
        )


def make_network(op: OpNetworkAdd) -> Network:
    """Build the network with its pool; refuses what is no sound network, naming the value."""
    try:
        subnet = ipaddress.IPv4Network(op.network)
    except ValueError as error:
        finding.refuse(f"Parameter 'OP_NETWORK_ADD.network' fails validation: {error}")
    gateway = network_values.address(op.gateway, "gateway", 4)
    if gateway is not None and ipaddress.IPv4Address(gateway) not in subnet:
        finding.refuse(f"gateway {gateway} is outside network {subnet}")
    network6 = network_values.network6(op.network6)
    gateway6 = network_values.address(op.gateway6, "gateway6", 6)
    network_values.check_gateway6(gateway6, network6)
    for tag in op.tags:
        try:
            check_tag(tag)
        except TagError as error:
            finding.refuse(f"'{tag}' is not a tag: {error}")
    network = Network(
        uuid=new_uuid(),
        name=op.network_name,
        network=str(subnet),
        gateway=gateway,
        network6=network6,
        gateway6=gateway6,
        mac_prefix=network_values.mac_prefix(op.mac_prefix),
        tags=sorted(set(op.tags)),
    )
    try:
        return pools.with_pool(network)
    except AddressPoolError as error:
        finding.refuse(str(error))


def own_addresses(view: ConfigView, network: Network) -> Iterator[tuple[str, str]]:
    """Addresses of nodes and of the master inside a network: (owner, address)."""
    owners = [("the cluster's master address", view.cluster.master_ip)]
    for node in view.nodes.values():
        owners += [(f"node {node.name}", node.primary_ip), (f"node {node.name}", node.secondary_ip)]
    seen = set()
    for owner, address in owners:
        if address and address not in seen and pools.contains(network, address):
            seen.add(address)
            yield owner, address


@operation
class NetworkAdd(Operation[OpNetworkAdd]):
    """Add a network."""

    OPCODE = OpNetworkAdd
    HOOKS_PATH = "network-add"
    KEPT = {"network": Network}
    OBJECT_TYPE = "NETWORK"

    def check(self) -> None:
        op, view = self.op, self.context.view
        name_is_free(view, op.network_name)
        self.network = make_network(op)
        if op.conflicts_check:
            for owner, address in own_addresses(view, self.network):
                self._reserve(address, f"{owner} ({address})", fatal=False)
        for address in op.add_reserved_ips or ():
            self._reserve(address, f"reserved address {address}", fatal=True)

    def _reserve(self, address: str, what: str, *, fatal: bool) -> None:
        try:
            self.network = pools.reserve(self.network, address, external=True)
        except AddressPoolError as error:
            if fatal:
                finding.refuse(f"cannot reserve {what}: {error}", ECODE_INVAL)
            self.context.warn(f"Cannot reserve IP address of {what}: {error}")

    def plan(self) -> Sequence[StepPlan]:
        return [add_object(self.network)]

    def hooks_environment(self) -> Mapping[str, str]:
        return dict(network_variables(self.network))


@operation
class NetworkRemove(Operation[OpNetworkRemove]):
    """Remove a network that no group is connected to."""

    OPCODE = OpNetworkRemove
    HOOKS_PATH = "network-remove"
    KEPT = {"network": Network}
    OBJECT_TYPE = "NETWORK"

    def locks(self) -> Sequence[Lock]:
        network = finding.network(self.context.view, self.op.network_name)
        return [Lock("network", network.uuid, exclusive=True)]

    def check(self) -> None:
        view = self.context.view
        self.network = finding.network(view, self.op.network_name)
        groups = [
            group.name for group in view.nodegroups.values() if self.network.uuid in group.networks
        ]
        if groups:
            finding.refuse(
                f"Network '{self.network.name}' is connected to the following node groups: "
                f"{', '.join(sorted(groups))}; run gnt-network disconnect first",
                ECODE_STATE,
            )

    def plan(self) -> Sequence[StepPlan]:
        return [NO_RETURN, drop_object(self.network)]

    def hooks_environment(self) -> Mapping[str, str]:
        return {"NETWORK_NAME": self.network.name}


@step
class SetConnection(Step):
    """Connect a group to a network, or not. Arguments: group, network, params (or null), before."""

    NAME = "config.group-network"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        _connect(context, args["group"], args["network"], args["params"])

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        _connect(context, args["group"], args["network"], args["before"])


def _connect(context: JobContext, group: str, network: str, params: dict[str, Any] | None) -> None:
    def change(draft: Draft) -> None:
        found = draft.view.nodegroups.get(group)
        if found is None:
            return
        networks = {key: value for key, value in found.networks.items() if key != network}
        if params is not None:
            networks[network] = params
        if networks != found.networks:
            draft.replace(found, networks=networks)

    context.update(change)


class _Connection(Operation[Any]):
    OBJECT_TYPE = "NETWORK"
    KEPT = {"group": NodeGroup, "network": Network}

    group: NodeGroup
    network: Network

    def locks(self) -> Sequence[Lock]:
        view = self.context.view
        group = finding.group(view, self.op.group_name)
        network = finding.network(view, self.op.network_name)
        return [
            Lock("nodegroup", group.uuid, exclusive=True),
            Lock("network", network.uuid),
        ]

    def check(self) -> None:
        self.group = finding.group(self.context.view, self.op.group_name)
        self.network = finding.network(self.context.view, self.op.network_name)

    @property
    def connected(self) -> bool:
        return self.network.uuid in self.group.networks

    def connection(self, params: dict[str, Any] | None) -> list[StepPlan]:
        args = {
            "group": self.group.uuid,
            "network": self.network.uuid,
            "params": params,
            "before": self.group.networks.get(self.network.uuid),
        }
        return [StepPlan(name=SetConnection.NAME, args=args)]

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        nodes = self.context.view.group_members.get(self.group.uuid, [])
        return nodes, nodes

    def group_instances(self) -> Iterator[tuple[str, int, Any]]:
        """NICs of the group's instances: (instance name, index, NIC)."""
        view = self.context.view
        for node in view.group_members.get(self.group.uuid, ()):
            for inst in view.primary_instances.get(node.uuid, ()):
                for index, nic in enumerate(inst.nics):
                    yield inst.name, index, nic


def connection_variables(group: NodeGroup, params: Mapping[str, Any]) -> dict[str, str]:
    """Variables that describe the connection of a group, those of `params` when there are any."""
    own = {f"GROUP_NETWORK_{key.upper()}": str(value) for key, value in params.items()}
    return {"GROUP_NAME": group.name} | own


@operation
class NetworkConnect(_Connection):
    """Connect a network to a node group."""

    OPCODE = OpNetworkConnect
    HOOKS_PATH = "network-connect"

    def check(self) -> None:
        super().check()
        op: OpNetworkConnect = self.op
        if op.network_mode != "pool":
            facts.describe("network_script", op.network_mode)
        if not op.conflicts_check or self.connected:
            return
        users = [
            f"{name}: nic{index}/{nic.ip}"
            for name, index, nic in self.group_instances()
            if nic.ip and pools.contains(self.network, nic.ip)
        ]
        if users:
            finding.refuse(
                f"the following occurrences use IPs from network {self.network.name} that is "
                f"about to be connected to node group {self.group.name}: {', '.join(users)}",
                ECODE_STATE,
            )

    def plan(self) -> Sequence[StepPlan]:
        op: OpNetworkConnect = self.op
        if self.connected:
            self.context.warn(
                f"Network '{self.network.name}' is already mapped to group '{self.group.name}'"
            )
            return []
        params = {"mode": op.network_mode, "link": op.network_link, "vlan": op.network_vlan}
        return self.connection(params)

    def hooks_environment(self) -> Mapping[str, str]:
        op: OpNetworkConnect = self.op
        params = {"mode": op.network_mode, "link": op.network_link, "vlan": op.network_vlan}
        return connection_variables(self.group, params)


@operation
class NetworkDisconnect(_Connection):
    """Disconnect a network from a node group whose instances do not use it."""

    OPCODE = OpNetworkDisconnect
    HOOKS_PATH = "network-disconnect"

    def check(self) -> None:
        super().check()
        users = [
            f"{name}: nic{index}"
            for name, index, nic in self.group_instances()
            if nic.network == self.network.uuid
        ]
        if users and self.connected:
            finding.refuse(
                f"the following occurrences use IPs from network {self.network.name} that is "
                f"about to be disconnected from node group {self.group.name}: {', '.join(users)}",
                ECODE_STATE,
            )

    def plan(self) -> Sequence[StepPlan]:
        if not self.connected:
            self.context.warn(
                f"Network '{self.network.name}' is not mapped to group '{self.group.name}'"
            )
            return []
        return self.connection(None)

    def hooks_environment(self) -> Mapping[str, str]:
        return connection_variables(self.group, self.group.networks.get(self.network.uuid, {}))
