"""Calls about moving a running guest to another node, in the order in which they are made.

The order of the contract's calls and what they mean: upstream 3.0's hypervisor documentation.
During the move both nodes have the disks open, not exclusively.
"""

from __future__ import annotations

from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.disks import deactivate
from ganeti_kernel.node.instances import with_disks
from ganeti_kernel.node.registry import node_call
from ganeti_kernel.objects.guest import Guest
from ganeti_kernel.specs.hypervisor import MigrationStatus


@node_call("migration_info")
def migration_info(context: NodeContext, guest: Guest) -> str:
    """On the source: what the target must know; opaque to everybody but the hypervisor."""
    with context.hypervisor(guest.hypervisor) as plugin:
        return plugin.migration_info(guest)


@node_call("migration_share")
def migration_share(context: NodeContext, guest: Guest) -> None:
    """On the source: let another node use the disks as well."""
    with_disks(context, guest, exclusive=False)


@node_call("migration_accept")
def migration_accept(context: NodeContext, guest: Guest, info: str, address: str) -> None:
    """On the target: activate the disks and get ready to receive the guest on `address`."""
    with context.hypervisor(guest.hypervisor) as plugin:
        plugin.accept_instance(with_disks(context, guest, exclusive=False), info, address)


@node_call("migration_start")
def migration_start(context: NodeContext, guest: Guest, address: str, live: bool) -> None:
    """On the source: start sending the guest to `address`."""
    with context.hypervisor(guest.hypervisor) as plugin:
        plugin.migrate_instance(guest, address, live)


@node_call("migration_status")
def migration_status(context: NodeContext, guest: Guest) -> MigrationStatus:
    """On the source: how far the transfer is."""
    with context.hypervisor(guest.hypervisor) as plugin:
        return plugin.migration_status(guest)


@node_call("migration_end_source")
def migration_end_source(context: NodeContext, guest: Guest, success: bool) -> None:
    """On the source: clean up after a move; without success the guest goes on here.

    The disks of a guest that has moved away are let go.
    """
    with context.hypervisor(guest.hypervisor) as plugin:
        plugin.finalize_migration_source(guest, success)
    if success:
        _let_go(context, guest)


@node_call("migration_end_target")
def migration_end_target(context: NodeContext, guest: Guest, info: str, success: bool) -> None:
    """On the target: take the guest over, its disks exclusively; without success nothing stays."""
    with context.hypervisor(guest.hypervisor) as plugin:
        plugin.finalize_migration_target(guest, info, success)
    if success:
        with_disks(context, guest)
    else:
        _let_go(context, guest)


def _let_go(context: NodeContext, guest: Guest) -> None:
    for disk in guest.disks:
        deactivate(context, disk)
