"""The plugin class: whatever is asked of a disk, there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ganeti_kernel.errors import BlockDeviceError
from ganeti_kernel.objects import BlockDevice, GuestDisk
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.disk_template import DiskPlan, DiskRequest, DiskTemplate
from ganeti_storage_diskless import __version__

DESCRIPTION = Description(
    name="diskless",
    version=__version__,
    summary="Instances without disks",
    features=frozenset({"no-disks", "shared"}),
)


class DisklessTemplate(DiskTemplate):
    """Refuses to make or attach disks; removing and detaching one is success: it is not there."""

    API_VERSION = 1

    @hookimpl
    def describe(self) -> Description:
        return DESCRIPTION

    @hookimpl
    def check_request(self, request: DiskRequest) -> Sequence[str]:
        return [_refusal(f"disk {request.index} of {request.instance}")]

    @hookimpl
    def plan(self, request: DiskRequest) -> DiskPlan:
        _refuse(f"disk {request.index} of {request.instance}")

    @hookimpl
    def create(self, disk: GuestDisk) -> None:
        _refuse(f"disk {disk.uuid}")

    @hookimpl
    def remove(self, disk: GuestDisk) -> None:
        """There is none."""

    @hookimpl
    def exists(self, disk: GuestDisk) -> bool:
        return False

    @hookimpl
    def attach(self, disk: GuestDisk) -> BlockDevice:
        _refuse(f"disk {disk.uuid}")

    @hookimpl
    def detach(self, disk: GuestDisk) -> None:
        """There is none."""

    @hookimpl
    def actual_size(self, disk: GuestDisk) -> int:
        _refuse(f"disk {disk.uuid}")


def _refusal(what: str) -> str:
    return f"{what}: instances of disk template diskless have no disks; choose another template"


def _refuse(what: str) -> NoReturn:
    raise BlockDeviceError(_refusal(what))
