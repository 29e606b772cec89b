"""Adding nodes to the cluster and removing them."""

from __future__ import annotations

import ipaddress
import shlex
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from ganeti_kernel.config.changes import Draft, new_uuid
from ganeti_kernel.config.ssconf import ssconf_values
from ganeti_kernel.errors import (
    ECODE_EXISTS,
    ECODE_INVAL,
    ECODE_NOTUNIQUE,
    ECODE_STATE,
    GenericError,
    OpExecError,
)
from ganeti_kernel.jobs.hooks import hooks_environment, run_hooks
from ganeti_kernel.jobs.opcodes import OpNodeAdd, OpNodeRemove
from ganeti_kernel.jobs.operation import (
    ALL,
    JobContext,
    Lock,
    Operation,
    Step,
    StepPlan,
    operation,
    step,
    tell_failures,
)
from ganeti_kernel.jobs.patience import patiently
from ganeti_kernel.objects import Node
from ganeti_kernel.operations import candidates, finding, remote
from ganeti_kernel.operations.config_objects import add_object, drop_object
from ganeti_kernel.operations.disks import node_argument
from ganeti_kernel.operations.inherited import (
    merge_disk_state,
    merge_hv_state,
    merge_ndparams,
)
from ganeti_kernel.operations.no_return import NO_RETURN
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.certificates import fingerprint, issue_certificate
from ganeti_kernel.rpc.resolve import resolve
from ganeti_kernel.rpc.trust import own_fingerprint, read_authority
from ganeti_kernel.version import PROTOCOL_VERSION

SETUP_COMMAND: Final = "node-daemon-setup && daemon-util start-all"
LEAVE_COMMAND: Final = "node-daemon-setup --leave"
STOP_COMMAND: Final = "daemon-util stop-all"
START_PATIENCE: Final = 30.0
LEAVE_PATIENCE: Final = 10.0
"""Seconds for which a node is asked: its daemon may be being restarted, or the node dead."""


@step
class PrepareNode(Step):
    """Give a machine its keys, certificate and configuration, start its node daemon.

    Arguments: node. A candidate's new certificate is noted at once.
    """

    NAME = "node.prepare"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        node = msgspec.convert(args["node"], Node)
        paths = Paths.from_environment()
        context.log(f"* preparing node {node.name} ({node.primary_ip})")
        authority = read_authority(paths)
        identity = issue_certificate(authority, node.name, node.primary_ip)
        document = {
            "cluster_name": context.view.cluster.cluster_name,
            "node_name": node.name,
            "ca": authority.certificate.decode(),
            "certificate": identity.pem.decode(),
            "hmac_key": paths.hmac_key.read_text(),
            "ssconf": ssconf_values(context.view),
            "master_fingerprint": own_fingerprint(paths),
        }
        remote.run_on(paths, node.name, SETUP_COMMAND, msgspec.json.encode(document))
        if node.master_candidate:
            _trust(context, node.uuid, fingerprint(identity.certificate))

    def undo(self, context: JobContext, args: Mapping[str, Any]) -> None:
        """The node's daemon may never have started: what was brought goes the way it came."""
        node = msgspec.convert(args["node"], Node)
        _trust(context, node.uuid, None)
        paths = Paths.from_environment()
        try:
            remote.run_on(paths, node.name, _leave_command(context), b"")
        except OpExecError as error:
            context.log(f"{error}; asking its node daemon instead")
            _leave(context, node)


def _trust(context: JobContext, uuid: str, digest: str | None) -> None:
    """Note a candidate's certificate, or (None) forget it."""

    def change(draft: Draft) -> None:
        known = draft.view.cluster.candidate_certs
        certs = {key: value for key, value in known.items() if key != uuid}
        if digest is not None:
            certs[uuid] = digest
        if certs != known:
            draft.replace_cluster(candidate_certs=certs)

    context.update(change)


def _leave(context: JobContext, node: Node) -> None:
    """Have a node forget the cluster; one that stays silent costs a warning."""
    try:
        patiently(partial(context.nodes.call, node, "node_leave"), patience=LEAVE_PATIENCE)
    except GenericError as error:
        context.warn(
            f"node {node.name} could not be told to leave ({error}) and may have keys of this "
            f"cluster; run on it, as root: {_leave_command(context)}"
        )


def _leave_command(context: JobContext) -> str:
    """What removes on a node whatever ties it to this cluster."""
    authority = Paths.from_environment().ca_file.read_bytes()
    name = shlex.quote(context.view.cluster.cluster_name)
    return f"{LEAVE_COMMAND} {name} {fingerprint(authority)} && {STOP_COMMAND}"


@step
class AwaitNode(Step):
    """Wait until the new node answers, and compare versions. Arguments: node."""

    NAME = "node.await"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        node = msgspec.convert(args["node"], Node)
        deadline = time.monotonic() + START_PATIENCE
        while True:
            try:
                version = context.nodes.call(node, "version")
                break
            except GenericError as error:
                if time.monotonic() > deadline:
                    raise OpExecError(
                        f"node {node.name} was prepared but does not answer: {error}"
                    ) from None
                time.sleep(0.1)
        if version != PROTOCOL_VERSION:
            raise OpExecError(
                f"node {node.name} speaks protocol version {version}, this master "
                f"{PROTOCOL_VERSION}: install the same release on both"
            )


@step
class DistrustNode(Step):
    """Take a node's certificate off the list. Arguments: uuid."""

    NAME = "config.distrust-node"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        _trust(context, args["uuid"], None)


@step
class LastHooks(Step):
    """Run post hooks on a node that is about to leave. Arguments: node, path, env."""

    NAME = "node.last-hooks"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        node = msgspec.convert(args["node"], Node)
        failed = run_hooks(context, [node], args["path"], "post", args["env"])
        tell_failures(context, "post", failed)


@step
class LeaveNode(Step):
    """Tell a removed node to forget the cluster. Arguments: node."""

    NAME = "node.leave"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        _leave(context, msgspec.convert(args["node"], Node))


@operation
class NodeAdd(Operation[OpNodeAdd]):
    """Add a node: prepare it, wait for its daemon, write it into the configuration."""

    OPCODE = OpNodeAdd
    HOOKS_PATH = "node-add"
    KEPT = {"node": Node}
    OBJECT_TYPE = "NODE"

    node: Node

    def locks(self) -> Sequence[Lock]:
        # New nodes are taken one at a time: the pool of candidates is counted.
        return [Lock("node", "[new]", exclusive=True)]

    def check(self) -> None:
        op, view = self.op, self.context.view
        if op.readd:
            finding.refuse("--readd is not available yet; remove the node and add it", ECODE_STATE)
        name, address = self._resolve()
        if view.find_node(name) is not None:
            finding.refuse(f"Node {name} is already in the configuration", ECODE_EXISTS)
        group_name = op.group or self._only_group()
        secondary = self._secondary(address)
        self._check_addresses(name, (address, secondary))
        present = sum(node.master_candidate for node in view.nodes.values())
        # Only a node that is prepared here shows which certificate is its own.
        capable = op.master_capable is not False and op.node_setup
        self.node = Node(
            uuid=new_uuid(),
            name=name,
            primary_ip=address,
            secondary_ip=secondary,
            master_candidate=capable and present < view.cluster.candidate_pool_size,
            group=finding.group(view, group_name).uuid,
            master_capable=capable,
            vm_capable=op.vm_capable is not False,
            ndparams=merge_ndparams({}, op.ndparams or {}, of_node=True),
            hv_state_static=merge_hv_state(None, op.hv_state) if op.hv_state else None,
            disk_state_static=merge_disk_state(None, op.disk_state) if op.disk_state else None,
        )

    def _resolve(self) -> tuple[str, str]:
        name, address = resolve(Paths.from_environment(), self.op.node_name)
        if self.op.primary_ip is not None and self.op.primary_ip != address:
            finding.refuse(f"{name} resolves to {address}, not to {self.op.primary_ip}")
        return name, address

    def _only_group(self) -> str:
        groups = [group.name for group in self.context.view.nodegroups.values()]
        if len(groups) != 1:
            finding.refuse(f"name a node group with -g: there are {', '.join(sorted(groups))}")
        return groups[0]

    def _secondary(self, primary: str) -> str:
        text = self.op.secondary_ip
        if text is None:
            return primary
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            finding.refuse(f"secondary IP '{text}' is not an address", ECODE_INVAL)

    def _check_addresses(self, name: str, addresses: Sequence[str]) -> None:
        for node in self.context.view.nodes.values():
            shared = {node.primary_ip, node.secondary_ip} & set(addresses)
            if shared:
                finding.refuse(
                    f"address {min(shared)} of {name} is used by node {node.name}",
                    ECODE_NOTUNIQUE,
                )

    def plan(self) -> Sequence[StepPlan]:
        args = {"node": node_argument(self.node)}
        prepare = [StepPlan(name=PrepareNode.NAME, args=args)] if self.op.node_setup else []
        return [
            *prepare,
            StepPlan(name=AwaitNode.NAME, args=args),
            add_object(self.node),
        ]

    def hooks_environment(self) -> Mapping[str, str]:
        return node_environment(self.node)

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        nodes = list(self.context.view.nodes.values())
        return nodes, [*nodes, self.node]


def node_environment(node: Node) -> dict[str, str]:
    """Variables that describe one node."""
    return {
        "OP_TARGET": node.name,
        "NODE_NAME": node.name,
        "NODE_PIP": node.primary_ip,
        "NODE_SIP": node.secondary_ip,
        "MASTER_CAPABLE": str(node.master_capable),
        "VM_CAPABLE": str(node.vm_capable),
    }


@operation
class NodeRemove(Operation[OpNodeRemove]):
    """Remove a node that has no instances."""

    OPCODE = OpNodeRemove
    HOOKS_PATH = "node-remove"
    KEPT = {"node": Node}
    OBJECT_TYPE = "NODE"

    def locks(self) -> Sequence[Lock]:
        node = finding.node(self.context.view, self.op.node_name)
        return [
            # Another node may take its place among the candidates, so all are looked at.
            Lock("node", ALL if node.master_candidate else node.uuid, exclusive=True),
            Lock("node-res", node.uuid, exclusive=True),
        ]

    def check(self) -> None:
        view = self.context.view
        self.node = finding.node(view, self.op.node_name)
        if self.node.uuid == view.cluster.master_node:
            finding.refuse(
                f"Node {self.node.name} is the master node, failover to another node is required",
                ECODE_INVAL,
            )
        users = [
            inst.name
            for inst in view.instances.values()
            if self.node.uuid in view.instance_nodes(inst)
        ]
        if users:
            finding.refuse(
                f"Instance {min(users)} is still running on the node, please remove first",
                ECODE_STATE,
            )
        others = [item for item in view.nodes.values() if item.uuid != self.node.uuid]
        self.promoted: dict[str, str] = {}
        if self.node.master_candidate:
            size = view.cluster.candidate_pool_size
            self.promoted = candidates.promotable(self.context, others, size)

    def plan(self) -> Sequence[StepPlan]:
        view = self.context.view
        steps = [
            NO_RETURN,
            StepPlan(name=DistrustNode.NAME, args={"uuid": self.node.uuid}),
            drop_object(self.node),
        ]
        if self.promoted:
            names = ", ".join(sorted(view.nodes[uuid].name for uuid in self.promoted))
            self.context.log(f"Promoted to master candidate role: {names}")
            fields = {uuid: {"master_candidate": True} for uuid in self.promoted}
            args = candidates.set_nodes_args(view, fields, self.promoted)
            steps.append(StepPlan(name=candidates.SetNodes.NAME, args=args))
        if not self.node.offline:
            args = {"node": node_argument(self.node)}
            env = hooks_environment(self, self.context, "post", self.hooks_environment())
            hooks = {**args, "path": self.HOOKS_PATH, "env": env}
            steps.append(StepPlan(name=LastHooks.NAME, args=hooks))
            steps.append(StepPlan(name=LeaveNode.NAME, args=args))
        return steps

    def hooks_environment(self) -> Mapping[str, str]:
        return {"OP_TARGET": self.node.name, "NODE_NAME": self.node.name}

    def hooks_nodes(self) -> tuple[Sequence[Node], Sequence[Node]]:
        others = [item for item in self.context.view.nodes.values() if item.uuid != self.node.uuid]
        return others, others  # and LastHooks, while the removed one still listens
