"""Calls about disks. Each drives the disk's template."""

from __future__ import annotations

import logging

import msgspec

from ganeti_kernel.errors import GenericError
from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.os_scripts import end_leftovers
from ganeti_kernel.node.registry import node_call
from ganeti_kernel.objects.guest import BlockDevice, GuestDisk
from ganeti_kernel.specs.disk_template import DiskPlan, DiskRequest, SyncStatus

log = logging.getLogger(__name__)


@node_call("disk_check")
def disk_check(context: NodeContext, template: str, request: DiskRequest) -> list[str]:
    """What is wrong with a disk that someone wants; empty when it can be made here."""
    with context.template(template) as plugin:
        return list(plugin.check_request(request))


@node_call("disk_plan")
def disk_plan(context: NodeContext, template: str, request: DiskRequest) -> DiskPlan:
    """How the disk will be known."""
    with context.template(template) as plugin:
        return plugin.plan(request)


@node_call("disk_create")
def disk_create(context: NodeContext, disk: GuestDisk, info: str = "") -> None:
    """Make the disk's storage and have it remember `info`, where it can."""
    with context.template(disk.dev_type) as plugin:
        plugin.create(disk)
        if info:
            plugin.set_info(disk, info)


def _end_scripts(context: NodeContext, disk: GuestDisk) -> None:
    if disk.instance:
        end_leftovers(context.paths, disk.instance)


@node_call("disk_remove", first=_end_scripts)
def disk_remove(context: NodeContext, disk: GuestDisk) -> None:
    """Destroy the disk's storage; a script that still installs onto it is ended first.

    What nobody could ever attach is not detached: a failure of that is only logged.
    """
    with context.template(disk.dev_type) as plugin:
        try:
            deactivate(context, disk)
        except GenericError as error:
            log.warning("disk %s is removed though it cannot be detached: %s", disk.uuid, error)
        plugin.remove(disk)


@node_call("disk_attach")
def disk_attach(context: NodeContext, disk: GuestDisk) -> BlockDevice:
    """Make the disk usable here and say how."""
    return activate(context, disk).device


@node_call("disk_detach")
def disk_detach(context: NodeContext, disk: GuestDisk) -> None:
    """Undo `disk_attach`."""
    deactivate(context, disk)


@node_call("disk_exists")
def disk_exists(context: NodeContext, disk: GuestDisk) -> bool:
    with context.template(disk.dev_type) as plugin:
        return plugin.exists(disk)


@node_call("disk_size")
def disk_size(context: NodeContext, disk: GuestDisk) -> int:
    """Size of the disk as it is, bytes."""
    with context.template(disk.dev_type) as plugin:
        return plugin.actual_size(disk)


@node_call("disk_grow")
def disk_grow(context: NodeContext, disk: GuestDisk, size: int) -> None:
    """Make the disk `size` MiB."""
    with context.template(disk.dev_type) as plugin:
        plugin.grow(disk, size)


@node_call("disk_sync")
def disk_sync(context: NodeContext, disk: GuestDisk) -> SyncStatus:
    """How well the copies of a mirrored disk agree."""
    with context.template(disk.dev_type) as plugin:
        return plugin.sync_status(disk)


def activate(context: NodeContext, disk: GuestDisk, *, exclusive: bool = True) -> GuestDisk:
    """Attach and open the disk; returns it with its device filled in.

    Not exclusive: another node uses it as well, during a migration.
    """
    with context.template(disk.dev_type) as plugin:
        device = plugin.attach(disk)
        plugin.open(disk, exclusive)
    return msgspec.structs.replace(disk, device=device)


def deactivate(context: NodeContext, disk: GuestDisk) -> None:
    """Close and detach the disk."""
    with context.template(disk.dev_type) as plugin:
        plugin.close(disk)
        plugin.detach(disk)
