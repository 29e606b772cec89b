"""Everything about instances at once, and their consoles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ganeti_kernel.jobs.opcodes import OpInstanceConsole, OpInstanceQueryData
from ganeti_kernel.jobs.operation import (
    JobContext,
    Lock,
    Operation,
    Step,
    StepPlan,
    operation,
    step,
)
from ganeti_kernel.objects import ConfigView, GuestDisk, Instance, Nic
from ganeti_kernel.objects.params import os_base
from ganeti_kernel.operations import facts, finding
from ganeti_kernel.operations.guests import build_disk, build_guest


@step
class GatherInstances(Step):
    """Describe instances. Arguments: uuids, static (do not ask nodes)."""

    NAME = "instance.query-data"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        view, rules = context.view, facts.secret_rules()
        out = {}
        for uuid in args["uuids"]:
            inst = view.instances.get(uuid)
            if inst is not None:
                live = None if args["static"] else _ask(context, inst)
                out[uuid] = rules.redact(describe(view, inst, live))
        return out


def _ask(context: JobContext, inst: Instance) -> dict[str, Any] | None:
    """Ask the primary node; None when it cannot say."""
    node = context.view.nodes.get(inst.primary_node)
    if node is None or node.offline:
        return None
    arguments: dict[str, Any] = {"hypervisor": inst.hypervisor, "name": inst.name}
    state = context.nodes.call_many([node], "instance_state", **arguments)[node.uuid]
    if not state.ok:
        context.warn(f"node {node.name} does not answer: {state.error}")
        return None
    paths = {}
    if state.value is not None:
        for disk in build_guest(context.view, inst).disks:
            answer = context.nodes.call_many([node], "disk_attach", disk=disk)[node.uuid]
            if answer.ok:
                paths[disk.uuid] = answer.value
    return {"running": state.value is not None, "paths": paths}


def describe(view: ConfigView, inst: Instance, live: Mapping[str, Any] | None) -> dict[str, Any]:
    """The result of OP_INSTANCE_QUERY_DATA for one instance (upstream 3.0's keys)."""
    node = view.nodes.get(inst.primary_node)
    group = view.node_group(node) if node is not None else None
    secondaries = [view.nodes[uuid] for uuid in view.secondary_nodes(inst) if uuid in view.nodes]
    groups = [view.node_group(item) for item in secondaries]
    be = view.fill_be(inst)
    return {
        "name": inst.name,
        "uuid": inst.uuid,
        "config_state": inst.admin_state,
        "run_state": None if live is None else ("up" if live["running"] else "down"),
        "pnode": node.name if node else None,
        "pnode_group_uuid": group.uuid if group else None,
        "pnode_group_name": group.name if group else None,
        "snodes": [item.name for item in secondaries],
        "snodes_group_uuids": [item.uuid if item else None for item in groups],
        "snodes_group_names": [item.name if item else None for item in groups],
        "os": inst.os,
        "nics": [_nic(view, nic) for nic in inst.nics],
        "disk_template": view.disk_template(inst),
        "disks": [
            _disk(build_disk(view, inst.name, disk, index, group), disk, live)
            for index, disk in enumerate(view.instance_disks(inst))
        ],
        "hypervisor": inst.hypervisor,
        "network_port": inst.network_port,
        "hv_instance": inst.hvparams,
        "hv_actual": view.fill_hv(inst),
        "be_instance": inst.beparams,
        "be_actual": {**be, "memory": be["maxmem"]},
        "os_instance": inst.osparams,
        "os_actual": view.fill_os(inst),
        "serial_no": inst.serial_no,
        "mtime": inst.mtime,
        "ctime": inst.ctime,
        "base_os": os_base(inst.os),
    }


_NETWORK_FIELDS: Final = (
    "uuid", "name", "network", "gateway", "network6", "gateway6", "mac_prefix", "tags",
)  # fmt: skip


def _nic(view: ConfigView, nic: Nic) -> list[Any]:
    """Upstream 3.0's nine: name, UUID, address, MAC, mode, link, VLAN, network's UUID, network."""
    filled = view.fill_nic(nic)
    network = view.networks.get(nic.network or "")
    return [
        nic.name,
        nic.uuid,
        nic.ip,
        nic.mac,
        filled["mode"],
        filled["link"],
        filled["vlan"],
        nic.network,
        {key: getattr(network, key) for key in _NETWORK_FIELDS} if network else None,
    ]


def _disk(built: GuestDisk, disk: Any, live: Mapping[str, Any] | None) -> dict[str, Any]:
    """Upstream 3.0's keys; a status is [path, major, minor, percent, seconds, degraded, local]."""
    device = live["paths"].get(built.uuid) if live else None
    status = None
    if device is not None:
        where = device.path or ", ".join(f"{hv}:{uri}" for hv, uri in device.uris.items())
        status = [where, None, None, None, None, False, 0]
    return {
        "iv_name": disk.iv_name,
        "dev_type": disk.dev_type,
        "logical_id": list(disk.logical_id),
        "size": disk.size,
        "mode": disk.mode,
        "name": disk.name,
        "uuid": disk.uuid,
        "spindles": disk.spindles,
        "pstatus": status,
        "sstatus": None,
        "drbd_info": None,
        "children": [],
        "params": built.params,
    }


@operation
class InstanceQueryData(Operation[OpInstanceQueryData]):
    """Everything about instances, all of them when none is named."""

    OPCODE = OpInstanceQueryData
    RETURNS_OUTCOME = True

    def _found(self) -> list[Instance]:
        view = self.context.view
        names = self.op.instances or sorted(inst.name for inst in view.instances.values())
        return [finding.instance(view, name) for name in names]

    def locks(self) -> Sequence[Lock]:
        """Nodes are asked of instances that nobody changes meanwhile; `static` waits for nobody."""
        if self.op.static and not self.op.use_locking:
            return ()
        return [Lock("instance", name) for name in {inst.name for inst in self._found()}]

    def check(self) -> None:
        self.uuids = [inst.uuid for inst in self._found()]

    def plan(self) -> Sequence[StepPlan]:
        args = {"uuids": self.uuids, "static": self.op.static}
        return [StepPlan(name=GatherInstances.NAME, args=args)]


@step
class AskConsole(Step):
    """Ask the primary node how to reach a console. Arguments: uuid."""

    NAME = "instance.console"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        inst = finding.instance(context.view, args["uuid"])
        node = finding.online_primary(context.view, inst)
        guest = build_guest(context.view, inst)
        console = context.nodes.call(node, "instance_console", guest=guest, node=node.name)
        found: dict[str, Any] = msgspec.to_builtins(console)
        return {key: value for key, value in found.items() if value is not None}


@operation
class InstanceConsole(Operation[OpInstanceConsole]):
    """How to reach the console of a running instance."""

    OPCODE = OpInstanceConsole
    RETURNS_OUTCOME = True

    def check(self) -> None:
        view = self.context.view
        self.inst = finding.instance(view, self.op.instance_name)
        node = finding.online_primary(view, self.inst)
        state = self.context.nodes.call(
            node, "instance_state", hypervisor=self.inst.hypervisor, name=self.inst.name
        )
        if state is None:
            finding.refuse(
                f"Instance {self.inst.name} is not running; gnt-instance startup starts it",
                "wrong_state",
            )

    def plan(self) -> Sequence[StepPlan]:
        return [StepPlan(name=AskConsole.NAME, args={"uuid": self.inst.uuid})]
