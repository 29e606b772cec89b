"""Calls about guests. Each drives the guest's hypervisor."""

from __future__ import annotations

from typing import Any

import msgspec

from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.disks import activate
from ganeti_kernel.node.registry import Arguments, node_call
from ganeti_kernel.objects.guest import Guest
from ganeti_kernel.specs.hypervisor import Console, InstanceState


@node_call("instances_list")
def instances_list(
    context: NodeContext, hypervisors: dict[str, dict[str, Any]]
) -> dict[str, list[InstanceState]]:
    """The guests that exist now, per hypervisor."""
    found: dict[str, list[InstanceState]] = {}
    for name in hypervisors:
        with context.hypervisor(name) as plugin:
            found[name] = list(plugin.list_instances())
    return found


@node_call("instance_state")
def instance_state(context: NodeContext, hypervisor: str, name: str) -> InstanceState | None:
    with context.hypervisor(hypervisor) as plugin:
        return plugin.instance_state(name)


@node_call("instance_start")
def instance_start(context: NodeContext, guest: Guest, paused: bool = False) -> None:
    """Activate the disks and start the guest.

    What becomes of a guest that is there already is the plugin's: one that runs is left as it is,
    one whose start was cut off is carried on.
    """
    with context.hypervisor(guest.hypervisor) as plugin:
        plugin.start_instance(with_disks(context, guest), paused)


def _by_name(args: Arguments) -> str | None:
    return f"instance {args['name']}"


@node_call("instance_stop", subject=_by_name)
def instance_stop(
    context: NodeContext, hypervisor: str, name: str, force: bool = False, timeout: float = 120.0
) -> None:
    """Stop the guest and wait until it is gone; its disks stay active."""
    with context.hypervisor(hypervisor) as plugin:
        plugin.stop_instance(name, force, timeout)


@node_call("instance_reboot")
def instance_reboot(context: NodeContext, guest: Guest) -> None:
    """Have the running guest reboot without leaving the hypervisor."""
    with context.hypervisor(guest.hypervisor) as plugin:
        plugin.reboot_instance(with_disks(context, guest))


@node_call("instance_console")
def instance_console(context: NodeContext, guest: Guest, node: str) -> Console:
    """How to reach the guest's console."""
    with context.hypervisor(guest.hypervisor) as plugin:
        return plugin.console(guest, node)


@node_call("hypervisor_check")
def hypervisor_check(context: NodeContext, hypervisor: str, hvparams: dict[str, Any]) -> list[str]:
    """What is wrong with these parameters on this node."""
    with context.hypervisor(hypervisor) as plugin:
        return list(plugin.check_parameters(hvparams))


@node_call("instance_balloon")
def instance_balloon(context: NodeContext, guest: Guest, memory: int) -> None:
    """Set the running guest's memory, MiB."""
    with context.hypervisor(guest.hypervisor) as plugin:
        plugin.balloon_memory(guest, memory)


def with_disks(context: NodeContext, guest: Guest, *, exclusive: bool = True) -> Guest:
    """The guest with all its disks active and their devices filled in."""
    disks = [activate(context, disk, exclusive=exclusive) for disk in guest.disks]
    return msgspec.structs.replace(guest, disks=disks)
