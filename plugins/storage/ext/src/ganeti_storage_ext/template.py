"""The plugin class: turns what the kernel asks of a disk into calls of the disk's provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ganeti_kernel.errors import BlockDeviceError, PluginError
from ganeti_kernel.objects import BlockDevice, GuestDisk
from ganeti_kernel.plugins.devices import measure
from ganeti_kernel.specs import Description, Parameter, hookimpl
from ganeti_kernel.specs.disk_template import DiskPlan, DiskRequest, DiskTemplate
from ganeti_kernel.specs.extstorage import ExtStorageProvider, Volume
from ganeti_storage_ext import __version__, values

KIND: Final = "extstorage"
ACCESS_MODES: Final = ("kernelspace", "userspace")
RESERVED: Final = ("provider", "access")
"""Disk keys that are the template's, not the provider's."""

DESCRIPTION = Description(
    name="ext",
    version=__version__,
    summary="Disks are volumes of an ExtStorage provider",
    parameters=(
        Parameter(
            name="access",
            default="kernelspace",
            choices=ACCESS_MODES,
            help="whether the hypervisor opens a block device or the provider's URI",
        ),
    ),
    features=frozenset({"shared", "grow", "snapshot", "user-parameters"}),
)


class ExtTemplate(DiskTemplate):
    """A disk's provider is the first part of its logical_id, the volume's name the second."""

    API_VERSION = 1

    @hookimpl
    def describe(self) -> Description:
        return DESCRIPTION

    @hookimpl
    def check_request(self, request: DiskRequest) -> Sequence[str]:
        disk = f"disk {request.index}"
        name = request.spec.get("provider")
        if not name:
            return [f"{disk}: template ext needs provider=NAME; gnt-storage diagnose lists them"]
        problems = []
        if request.size <= 0:
            problems.append(f"{disk}: size must be at least 1 MiB")
        access = str(request.spec.get("access", ACCESS_MODES[0]))
        if access not in ACCESS_MODES:
            problems.append(f"{disk}: access must be {' or '.join(ACCESS_MODES)}, not {access!r}")
        try:
            provider = self._provider(str(name))
        except BlockDeviceError as error:
            return [*problems, f"{disk}: {error}"]
        params = _user_params(request.spec)
        flaws = values.problems(str(name), provider.describe().parameters, params)
        flaws = flaws or list(provider.verify(params))
        return [*problems, *(f"{disk}: {flaw}" for flaw in flaws)]

    @hookimpl
    def plan(self, request: DiskRequest) -> DiskPlan:
        provider = str(request.spec.get("provider", ""))
        params: dict[str, Any] = {"provider": provider, **_user_params(request.spec)}
        if "access" in request.spec:
            params["access"] = request.spec["access"]
        volume = f"{request.uuid}.ext.disk{request.index}"
        return DiskPlan(logical_id=[provider, volume], params=params, size=request.size)

    @hookimpl
    def create(self, disk: GuestDisk) -> None:
        self._of(disk).create(_volume(disk))

    @hookimpl
    def remove(self, disk: GuestDisk) -> None:
        self._of(disk).remove(_volume(disk))

    @hookimpl
    def exists(self, disk: GuestDisk) -> bool:
        """A provider has no other way to say so than to attach the volume."""
        provider = self._of(disk)
        try:
            provider.attach(_volume(disk))
        except BlockDeviceError:
            return False
        return True

    @hookimpl
    def attach(self, disk: GuestDisk) -> BlockDevice:
        device = self._of(disk).attach(_volume(disk))
        provider, volume = _ids(disk)
        if _access(disk) == "userspace":
            if not device.uris:
                raise BlockDeviceError(
                    f"provider {provider} gives no URI for volume {volume};"
                    " set the disk's access to kernelspace"
                )
            return device
        if device.path is None:
            raise BlockDeviceError(
                f"provider {provider} gives no block device for volume {volume};"
                " set the disk's access to userspace"
            )
        return BlockDevice(path=device.path)

    @hookimpl
    def detach(self, disk: GuestDisk) -> None:
        self._of(disk).detach(_volume(disk))

    @hookimpl
    def actual_size(self, disk: GuestDisk) -> int:
        return measure(self._of(disk).attach(_volume(disk)))

    @hookimpl
    def open(self, disk: GuestDisk, exclusive: bool) -> None:
        provider = self._of(disk)
        if "open" in provider.describe().features:
            provider.open(_volume(disk), exclusive)

    @hookimpl
    def close(self, disk: GuestDisk) -> None:
        provider = self._of(disk)
        if "open" in provider.describe().features:
            provider.close(_volume(disk))

    @hookimpl
    def set_info(self, disk: GuestDisk, text: str) -> None:
        self._of(disk).set_info(_volume(disk), text)

    @hookimpl
    def grow(self, disk: GuestDisk, size: int) -> None:
        if size < disk.size:
            raise BlockDeviceError(
                f"volume {_ids(disk)[1]} has {disk.size} MiB; a disk cannot shrink to {size}"
            )
        self._of(disk).grow(_volume(disk), size)

    @hookimpl
    def snapshot(self, disk: GuestDisk, name: str, size: int) -> list[Any]:
        provider = self._of(disk)
        if "snapshot" not in provider.describe().features:
            raise BlockDeviceError(f"provider {_ids(disk)[0]} cannot take snapshots")
        provider.snapshot(_volume(disk), name, size)
        return [_ids(disk)[0], name]

    def _of(self, disk: GuestDisk) -> ExtStorageProvider:
        return self._provider(_ids(disk)[0])

    def _provider(self, name: str) -> ExtStorageProvider:
        if self.context.plugins is None:
            raise BlockDeviceError(f"provider {name} cannot be used here: not a node daemon")
        try:
            found = self.context.plugins.get(KIND, name)
        except PluginError as error:
            raise BlockDeviceError(str(error)) from error
        if not isinstance(found, ExtStorageProvider):
            raise BlockDeviceError(f"plugin {name} is no ExtStorage provider")
        return found


def _ids(disk: GuestDisk) -> tuple[str, str]:
    match disk.logical_id:
        case [str(provider), str(volume)] if provider and volume and "/" not in volume:
            return provider, volume
    raise BlockDeviceError(f"{disk.logical_id!r} is not the id of an ext disk: [provider, volume]")


def _access(disk: GuestDisk) -> str:
    return str(disk.params.get("access") or ACCESS_MODES[0])


def _user_params(spec: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in spec.items() if key not in RESERVED}


def _volume(disk: GuestDisk) -> Volume:
    return Volume(
        name=_ids(disk)[1],
        uuid=disk.uuid,
        size=disk.size,
        cname=disk.name,
        access=_access(disk),
        params=_user_params(disk.params),
    )
