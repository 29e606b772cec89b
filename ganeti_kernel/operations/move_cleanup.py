"""After a move that broke off: find the guest, and make everything else agree with that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ganeti_kernel.errors import ECODE_STATE
from ganeti_kernel.jobs.operation import JobContext, Step, StepPlan, step
from ganeti_kernel.objects import Guest, Instance, Node
from ganeti_kernel.operations import finding
from ganeti_kernel.operations.diagnose import usable_nodes
from ganeti_kernel.operations.disks import ignoring, node_argument, node_of
from ganeti_kernel.operations.failover import primary_step


def find_guest(context: JobContext, inst: Instance) -> Node:
    """The one node on which the guest runs; refuses when there is none, or more than one."""
    nodes = usable_nodes(context.view)
    answers = context.nodes.call_many(
        nodes, "instance_state", hypervisor=inst.hypervisor, name=inst.name
    )
    silent = [node.name for node in nodes if not answers[node.uuid].ok]
    if silent:
        finding.refuse(
            f"instance {inst.name} may run on {', '.join(silent)}, which did not answer; bring "
            "them back, or mark those that are down for certain offline",
            ECODE_STATE,
        )
    there = [node for node in nodes if answers[node.uuid].value is not None]
    names = ", ".join(node.name for node in there)
    if len(there) > 1:
        finding.refuse(
            f"instance {inst.name} runs on several nodes at once: {names}; end all but one of "
            "them there by hand, then start this again",
            ECODE_STATE,
        )
    if not there:
        finding.refuse(
            f"instance {inst.name} runs nowhere; start it with gnt-instance startup, or move it "
            "with gnt-instance failover",
            ECODE_STATE,
        )
    return there[0]


def cleanup_steps(context: JobContext, guest: Guest, noted: Node, found: Node) -> list[StepPlan]:
    """Note where the guest is, give that node its disks alone. `noted`: the primary so far."""
    if noted.uuid == found.uuid:
        context.log(f"instance confirmed to be running on its primary node ({found.name})")
    else:
        context.log(
            f"instance running on {found.name}, not on its primary node ({noted.name}); noting that"
        )
    others = [node for node in usable_nodes(context.view) if node.uuid != found.uuid]
    args = {
        "guest": msgspec.to_builtins(guest),
        "node": node_argument(found),
        "others": [node_argument(node) for node in others],
    }
    steps = [StepPlan(name=SettleDisks.NAME, args=args)]
    if noted.uuid != found.uuid:
        steps.insert(0, primary_step(guest.uuid, noted, found))
    return steps


@step
class SettleDisks(Step):
    """Detach a guest's disks everywhere but where it runs. Arguments: guest, node, others."""

    NAME = "migrate.settle-disks"

    def do(self, context: JobContext, args: Mapping[str, Any]) -> Any:
        guest = msgspec.convert(args["guest"], Guest)
        for other in args["others"]:
            node = node_of(context, {"node": other})
            for disk in guest.disks:
                ignoring(
                    context,
                    {"ignore": True},
                    f"disk {disk.index} of {guest.name} may stay attached on {node.name}",
                    lambda disk=disk, node=node: context.nodes.call(node, "disk_detach", disk=disk),
                )
        for disk in guest.disks:
            context.nodes.call(node_of(context, args), "disk_attach", disk=disk)
