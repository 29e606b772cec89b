"""What QEMU opens for a disk, and whether it may keep the disk's data in a cache."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from ganeti_hypervisors_kvm.command import Drive
from ganeti_kernel.errors import HypervisorError, PluginError
from ganeti_kernel.objects import GuestDisk
from ganeti_kernel.specs import PluginContext


def drive(context: PluginContext, disk: GuestDisk) -> Drive:
    """A URI that the storage offers to this hypervisor, else the block device or file.

    Raises HypervisorError when the disk is not active or its device is not there.
    """
    uri = disk.device.uris.get("kvm")
    path = disk.device.path
    if uri is not None:
        path = uri.removeprefix("file:") if uri.startswith("file:") else None
    elif path is None:
        raise HypervisorError(
            f"disk {disk.index} of {disk.instance} is not active: it has no device; activate it"
        )
    block = False
    if path is not None:
        try:
            block = stat.S_ISBLK(Path(path).stat().st_mode)
        except OSError as error:
            raise HypervisorError(
                f"disk {disk.index} of {disk.instance}: {path}: {error.strerror}"
            ) from error
    shared = is_shared(context, disk) and (path is None or has_direct_io(path))
    return Drive(disk, path, uri, block, shared)


def is_shared(context: PluginContext, disk: GuestDisk) -> bool:
    """Ask the disk's template; when it is gone nothing is known, and caching would be a risk."""
    if context.plugins is None:
        return False
    try:
        template = context.plugins.get("disk_template", disk.dev_type)
    except PluginError:
        return True
    return "shared" in template.describe().features


def has_direct_io(path: str) -> bool:
    """Say whether a disk can be opened without a cache; file systems in memory may refuse.

    Nothing is lost with those: no other node sees them.
    """
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError as error:
        return error.errno != errno.EINVAL
    return True
