"""Changing a node: its role, what it may do, its parameters."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import ECODE_INVAL, ECODE_NOTUNIQUE, ECODE_STATE
from ganeti_kernel.jobs.opcodes import OpNodeSetParams
from ganeti_kernel.jobs.operation import ALL, Lock, Operation, StepPlan, operation
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.operations import candidates, finding
from ganeti_kernel.operations.inherited import (
    merge_disk_state,
    merge_hv_state,
    merge_ndparams,
)

ROLES: Final = ("master_candidate", "offline", "drained")
FLAGS: Final = (*ROLES, "master_capable", "vm_capable")


def new_flags(node: Node, wanted: Mapping[str, bool | None]) -> dict[str, bool]:
    """The flags a node will have; refuses what contradicts itself. Pure.

    A node has at most one of the roles candidate, offline and drained: taking one leaves the
    others, and a node that is not master capable cannot be a candidate (upstream 3.0).
    """
    if not any(value is not None for value in wanted.values()):
        return {key: getattr(node, key) for key in FLAGS}
    if sum(wanted.get(role) is True for role in ROLES) > 1:
        finding.refuse("Can't set the node into more than one state at the same time")
    flags = {
        key: getattr(node, key) if wanted.get(key) is None else bool(wanted[key]) for key in FLAGS
    }
    if wanted.get("master_candidate") and not flags["master_capable"]:
        finding.refuse(
            f"Node {node.name} is not master capable, cannot make it a master candidate",
            ECODE_STATE,
        )
    for role in ("offline", "drained", "master_candidate"):
        if wanted.get(role):
            flags |= {other: other == role for other in ROLES}
    if not flags["master_capable"]:
        flags["master_candidate"] = False
    return flags


@operation
class NodeSetParams(Operation[OpNodeSetParams]):
    """Change a node. The pool of candidates is kept full where that is allowed."""

    OPCODE = OpNodeSetParams
    HOOKS_PATH = "node-modify"
    KEPT = {"node": Node}
    OBJECT_TYPE = "NODE"

    node: Node

    def locks(self) -> Sequence[Lock]:
        node = finding.node(self.context.view, self.op.node_name)
        roles = any(getattr(self.op, key) is not None for key in FLAGS)
        # Roles are counted over all nodes, and another node may have to be promoted.
        wide = Lock("node", ALL if roles else node.uuid, exclusive=True)
        return [wide, Lock("node-res", node.uuid)]

    def check(self) -> None:
        op, view = self.op, self.context.view
        self.node = node = finding.node(view, op.node_name)
        wanted = {key: getattr(op, key) for key in FLAGS}
        self.fields: dict[str, Any] = dict(new_flags(node, wanted))
        self._check_master(wanted)
        self._check_instances()
        self._check_powered()
        if op.secondary_ip is not None:
            self.fields["secondary_ip"] = self._secondary(op.secondary_ip)
        if op.ndparams:
            self.fields["ndparams"] = merge_ndparams(node.ndparams, op.ndparams, of_node=True)
        if op.hv_state:
            state = merge_hv_state(node.hv_state_static, op.hv_state)
            self.fields["hv_state_static"] = state
        if op.disk_state:
            state = merge_disk_state(node.disk_state_static, op.disk_state)
            self.fields["disk_state_static"] = state
        if node.offline and not self.fields["offline"]:
            self._check_answers()
        self._plan_pool(wanted)
        self.fields = {
            key: value for key, value in self.fields.items() if value != getattr(node, key)
        }

    def _check_master(self, wanted: Mapping[str, bool | None]) -> None:
        master = self.node.uuid == self.context.view.cluster.master_node
        if master and any(wanted[role] is not None for role in ROLES):
            finding.refuse("The master role can be changed only via master-failover", ECODE_INVAL)
        if master and wanted["master_capable"] is False:
            finding.refuse(
                f"Node {self.node.name} is the master node and must stay master capable",
                ECODE_INVAL,
            )

    def _check_instances(self) -> None:
        if self.node.vm_capable and not self.fields["vm_capable"]:
            names = users(self.context.view, self.node)
            if names:
                finding.refuse(
                    f"Node {self.node.name} hosts instances ({', '.join(names)}), cannot unset "
                    "the vm_capable flag",
                    ECODE_STATE,
                )

    def _check_powered(self) -> None:
        if self.op.powered is None:
            return
        if not self.context.view.fill_nd(self.node)["oob_program"]:
            finding.refuse(
                f"Node {self.node.name} has no oob_program: its power state cannot be set",
                ECODE_STATE,
            )
        if not self.op.powered and not self.fields["offline"]:
            finding.refuse(f"Node {self.node.name} is not offline, cannot be powered off")
        self.fields["powered"] = self.op.powered

    def _secondary(self, text: str) -> str:
        view = self.context.view
        try:
            address = str(ipaddress.ip_address(text))
        except ValueError:
            finding.refuse(f"secondary IP '{text}' is not an address")
        for other in view.nodes.values():
            if other.uuid != self.node.uuid and address in (other.primary_ip, other.secondary_ip):
                finding.refuse(f"address {address} is used by node {other.name}", ECODE_NOTUNIQUE)
        names = users(view, self.node)
        if names and not self.node.offline and address != self.node.secondary_ip:
            finding.refuse(
                f"Node {self.node.name} has instances ({', '.join(names)}): its secondary IP can "
                "be changed only while it is offline or empty",
                ECODE_STATE,
            )
        return address

    def _check_answers(self) -> None:
        if not self.node.powered and not self.op.powered:
            finding.refuse(f"Node {self.node.name} is powered off, cannot be set online")
        # Calls to a node that is marked offline are refused, so it is asked as an online one.
        self.context.nodes.call(msgspec.structs.replace(self.node, offline=False), "version")

    def _plan_pool(self, wanted: Mapping[str, bool | None]) -> None:
        """Decide who joins the pool: this node when it is back, others when it leaves."""
        view, node = self.context.view, self.node
        size = view.cluster.candidate_pool_size
        after = msgspec.structs.replace(node, **self.fields)
        others = [item for item in view.nodes.values() if item.uuid != node.uuid]
        came_back = candidates.eligible(after) and not candidates.eligible(node)
        if came_back and wanted["master_candidate"] is None:
            present = sum(item.master_candidate for item in others)
            self.fields["master_candidate"] = present < size
        self.certs: dict[str, str] = {}
        if self.fields["master_candidate"] and not node.master_candidate:
            self.certs[node.uuid] = candidates.certificate_of(after)
        self.promoted: dict[str, str] = {}
        if node.master_candidate and not self.fields["master_candidate"]:
            missing, _free = candidates.lacking(others, size)
            if missing and not self.op.auto_promote:
                finding.refuse(
                    "Not enough master candidates, please pass auto promote option to allow "
                    "promotion (--auto-promote or RAPI auto_promote=True)",
                    ECODE_STATE,
                )
            self.promoted = candidates.promotable(self.context, others, size)

    def plan(self) -> Sequence[StepPlan]:
        fields: dict[str, dict[str, Any]] = {
            uuid: {"master_candidate": True} for uuid in self.promoted
        }
        if self.fields:
            fields[self.node.uuid] = self.fields
        if not fields:
            return []
        for uuid in self.promoted:
            name = self.context.view.nodes[uuid].name
            self.context.log(f"Promoted node {name} to master candidate role")
        args = candidates.set_nodes_args(self.context.view, fields, self.certs | self.promoted)
        return [StepPlan(name=candidates.SetNodes.NAME, args=args)]

    def result(self, outcomes: Sequence[Any]) -> Any:
        return [[key.removesuffix("_static"), str(value)] for key, value in self.fields.items()]

    def hooks_environment(self) -> Mapping[str, str]:
        asked = {key.upper(): str(getattr(self.op, key)) for key in FLAGS}
        return {"OP_TARGET": self.node.name} | asked

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        nodes = self.with_master([self.node])
        return nodes, nodes


def users(view: ConfigView, node: Node) -> list[str]:
    """Names of the instances on a node, as primary or secondary."""
    return sorted(
        inst.name for inst in view.instances.values() if node.uuid in view.instance_nodes(inst)
    )
