"""Networks: changing and renaming them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ganeti_kernel.config import pools
from ganeti_kernel.config.changes import Draft
from ganeti_kernel.errors import ECODE_STATE, AddressPoolError
from ganeti_kernel.jobs.opcodes import OpNetworkRename, OpNetworkSetParams
from ganeti_kernel.jobs.operation import (
    JobContext,
    Lock,
    Operation,
    Step,
    StepPlan,
    operation,
    step,
)
from ganeti_kernel.objects import Network, Node
from ganeti_kernel.operations import finding, network_values
from ganeti_kernel.operations.hookenv import network_variables
from ganeti_kernel.operations.network import name_is_free


@step
class SetNetwork(Step):
    """Change a network. Arguments: uuid, fields, before, reserve, release (addresses).

    Addresses are marked one by one: what instances have is not touched, neither way.
    """

    NAME = "config.network-fields"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        _set(context, args["uuid"], args["fields"], args["reserve"], args["release"])

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        _set(context, args["uuid"], args["before"], args["release"], args["reserve"])


def _set(
    context: JobContext,
    uuid: str,
    fields: Mapping[str, Any],
    reserve: Sequence[str],
    release: Sequence[str],
) -> None:
    def change(draft: Draft) -> None:
        found = draft.view.networks.get(uuid)
        if found is not None:
            draft.replace(mark(found, reserve, release), **fields)

    context.update(change)


def mark(network: Network, reserve: Sequence[str], release: Sequence[str]) -> Network:
    """Mark addresses as taken from outside, and others as free; as they are already is success."""
    for address in release:
        if pools.is_reserved(network, address, external=True):
            network = pools.release(network, address, external=True)
    for address in reserve:
        if not pools.is_reserved(network, address, external=True):
            network = pools.reserve(network, address, external=True)
    return network


class _ExistingNetwork(Operation[Any]):
    OBJECT_TYPE = "NETWORK"
    KEPT = {"network": Network}

    network: Network

    def locks(self) -> Sequence[Lock]:
        network = finding.network(self.context.view, self.op.network_name)
        return [Lock("network", network.uuid, exclusive=True)]

    def check(self) -> None:
        self.network = finding.network(self.context.view, self.op.network_name)

    def change(
        self, fields: Mapping[str, Any], reserve: Sequence[str] = (), release: Sequence[str] = ()
    ) -> StepPlan:
        args = {
            "uuid": self.network.uuid,
            "fields": dict(fields),
            "before": {key: getattr(self.network, key) for key in fields},
            "reserve": list(reserve),
            "release": list(release),
        }
        return StepPlan(name=SetNetwork.NAME, args=args)


def _unset(text: str | None) -> str | None:
    return None if text in ("none", "") else text


@operation
class NetworkSetParams(_ExistingNetwork):
    """Change a network: gateway, IPv6, prefix of MAC addresses, reserved addresses."""

    OPCODE = OpNetworkSetParams
    HOOKS_PATH = "network-modify"

    def check(self) -> None:
        super().check()
        op: OpNetworkSetParams = self.op
        if op.gateway is not None and (op.add_reserved_ips or op.remove_reserved_ips):
            finding.refuse(
                "Cannot modify gateway and reserved ips at once; do it with two calls, the "
                "gateway's address is reserved by itself"
            )
        self.fields: dict[str, Any] = {}
        self.reserve: list[str] = []
        self.release: list[str] = []
        if op.gateway is not None:
            self._gateway(network_values.address(_unset(op.gateway), "gateway", 4))
        if op.mac_prefix is not None:
            self.fields["mac_prefix"] = network_values.mac_prefix(_unset(op.mac_prefix))
        self._ipv6()
        self._reserved()

    def _gateway(self, gateway: str | None) -> None:
        network = self.network
        self.fields["gateway"] = gateway
        if gateway == network.gateway:
            return
        if gateway is not None:
            if not pools.contains(network, gateway):
                finding.refuse(f"gateway {gateway} is outside network {network.network}")
            if pools.is_reserved(network, gateway):
                finding.refuse(
                    f"Gateway IP address '{gateway}' is already reserved in network "
                    f"{network.name}; `gnt-network info` shows by whom",
                    ECODE_STATE,
                )
            self.reserve.append(gateway)
        if network.gateway is not None:
            self.release.append(network.gateway)

    def _ipv6(self) -> None:
        op: OpNetworkSetParams = self.op
        if op.network6 is not None:
            self.fields["network6"] = network_values.network6(_unset(op.network6))
        if op.gateway6 is not None:
            gateway = network_values.address(_unset(op.gateway6), "gateway6", 6)
            self.fields["gateway6"] = gateway
        if "network6" in self.fields or "gateway6" in self.fields:
            gateway6 = self.fields.get("gateway6", self.network.gateway6)
            network_values.check_gateway6(
                gateway6, self.fields.get("network6", self.network.network6)
            )

    def _reserved(self) -> None:
        """Addresses that cannot be marked are warnings, as upstream has it."""
        after = self.network
        for text in self.op.add_reserved_ips or ():
            address = str(network_values.address(text, "reserved address", 4))
            try:
                after = pools.reserve(after, address, external=True)
                self.reserve.append(address)
            except AddressPoolError as error:
                self.context.warn(f"Cannot reserve IP address {address}: {error}")
        for text in self.op.remove_reserved_ips or ():
            address = str(network_values.address(text, "reserved address", 4))
            if address == self.network.gateway:
                self.context.warn(
                    f"Cannot release IP address {address}: it is the network's gateway"
                )
                continue
            try:
                after = pools.release(after, address, external=True)
                self.release.append(address)
            except AddressPoolError as error:
                self.context.warn(f"Cannot release IP address {address}: {error}")

    def plan(self) -> Sequence[StepPlan]:
        return [self.change(self.fields, self.reserve, self.release)]

    def hooks_environment(self) -> Mapping[str, str]:
        now = self.context.view.networks.get(self.network.uuid, self.network)
        return dict(network_variables(now))


@operation
class NetworkRename(_ExistingNetwork):
    """Rename a network; the result is its new name (upstream 3.1)."""

    OPCODE = OpNetworkRename
    HOOKS_PATH = "network-rename"

    def locks(self) -> Sequence[Lock]:
        # New names are taken one at a time, so that two networks never get the same.
        return [*super().locks(), Lock("network", "[new]", exclusive=True)]

    def check(self) -> None:
        super().check()
        name_is_free(self.context.view, self.op.new_name)

    def plan(self) -> Sequence[StepPlan]:
        return [self.change({"name": self.op.new_name})]

    def result(self, outcomes: Sequence[Any]) -> Any:
        return self.op.new_name

    def hooks_environment(self) -> Mapping[str, str]:
        return {"OLD_NAME": self.network.name, "NEW_NAME": self.op.new_name}

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        view = self.context.view
        groups = [
            item.uuid for item in view.nodegroups.values() if self.network.uuid in item.networks
        ]
        members = [node for uuid in groups for node in view.group_members.get(uuid, ())]
        nodes = list({node.uuid: node for node in (*self.master, *members)}.values())
        return nodes, nodes
