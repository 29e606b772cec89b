"""ExtStorageProvider: volumes of an outside storage system (a SAN appliance, a cloud, …).

The actions are those of upstream's ExtStorage Interface (since 2.7); directories of scripts are
served through an adapter that is a plugin itself.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import msgspec

from ganeti_kernel.objects.guest import BlockDevice
from ganeti_kernel.specs.base import Plugin, hookspec


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of the provider.

    `name` is unique in the cluster (`<uuid>.ext.disk<N>`); `uuid` is the disk's, `cname` the name
    a user gave it; `size` MiB as the configuration has it; `access` "kernelspace" or "userspace",
    how the hypervisor will reach it; `params` the user's parameters for this provider, all values
    as text.
    """

    name: str
    uuid: str
    size: int
    cname: str | None = None
    access: str = "kernelspace"
    params: dict[str, str] = {}


class ExtStorageProvider(Plugin):
    """The contract. Features: "snapshot", "open" (with close).

    `describe().parameters` are the parameters a disk may carry. Failures are raised as
    BlockDeviceError. Several nodes may call at once for the same volume.
    """

    @hookspec
    @abstractmethod
    def verify(self, params: dict[str, str]) -> Sequence[str]:
        """Return what is wrong with these parameters on this node, empty when all is well."""

    @hookspec
    @abstractmethod
    def create(self, volume: Volume) -> None:
        """Make a volume of `volume.size`. One that exists with this size is success."""

    @hookspec
    @abstractmethod
    def remove(self, volume: Volume) -> None:
        """Destroy the volume. One that does not exist is success."""

    @hookspec
    @abstractmethod
    def attach(self, volume: Volume) -> BlockDevice:
        """Map the volume on this node; repeated calls give the same answer."""

    @hookspec
    @abstractmethod
    def detach(self, volume: Volume) -> None:
        """Undo `attach`. A volume that is not mapped is success."""

    @hookspec
    @abstractmethod
    def grow(self, volume: Volume, size: int) -> None:
        """Make the volume `size` MiB. One that has this size already is success."""

    @hookspec
    def set_info(self, volume: Volume, text: str) -> None:
        """Keep a remark with the volume, where the storage can hold one."""

    @hookspec
    def open(self, volume: Volume, exclusive: bool) -> None:
        """Get ready for I/O, exclusively or from two nodes (feature "open")."""

    @hookspec
    def close(self, volume: Volume) -> None:
        """Stop I/O (feature "open")."""

    @hookspec
    def snapshot(self, volume: Volume, name: str, size: int) -> None:
        """Make snapshot `name`, `size` MiB (feature "snapshot")."""
        raise NotImplementedError
