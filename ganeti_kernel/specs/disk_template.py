"""DiskTemplate: makes an instance's disks out of some kind of storage.

Source of the operations: upstream 3.0's storage documentation.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ganeti_kernel.objects.guest import BlockDevice, GuestDisk
from ganeti_kernel.specs.base import Plugin, hookspec

SYNC_OK = 0
SYNC_UNKNOWN = 1
SYNC_RUNNING = 2
SYNC_FAULTY = 3


class DiskRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A disk that someone wants. `size` is MiB; `spec` are the user's keys beyond size, mode and
    name (provider, vg, adopt, …); `params` the template's parameters of cluster and group;
    `directory` the storage directory of file templates (the cluster's, plus the user's
    sub-directory), below which the template makes a directory for the instance; `file_driver` as
    the user gave it.
    """

    instance: str
    instance_uuid: str
    uuid: str
    index: int
    size: int
    mode: str = "rw"
    name: str | None = None
    spec: dict[str, Any] = {}
    params: dict[str, Any] = {}
    directory: str = ""
    file_driver: str = "loop"


class DiskPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the disk will be known: what goes into the configuration."""

    logical_id: list[Any]
    params: dict[str, Any] = {}
    size: int


class SyncStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`percent` None: not syncing; `state` one of SYNC_*; `eta` seconds."""

    state: int = SYNC_OK
    percent: float | None = None
    eta: float | None = None
    degraded: bool = False


class StorageSpace(msgspec.Struct, frozen=True, kw_only=True):
    """Room on this node, MiB."""

    name: str
    total: int
    free: int


class UnitState(msgspec.Struct, frozen=True, kw_only=True):
    """A storage unit of this node: one place where volumes are made. Sizes are MiB.

    `allocatable`: whether new volumes may be made there.
    """

    name: str
    size: int
    used: int
    free: int
    allocatable: bool = True


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that is there on this node, whether a disk of the cluster knows it or not.

    `pool` is the unit it lies in, `size` MiB, `device` the physical device where that has a
    meaning. `logical_ids`: every id that a disk with this volume can have in the configuration.
    """

    name: str
    pool: str
    size: int
    device: str = ""
    logical_ids: list[list[Any]] = []


class DiskTemplate(Plugin):
    """The contract. Features:

    - "shared": every node reaches the data (upstream's externally mirrored set);
    - "mirrored": the template itself keeps a copy on a second node;
    - "grow", "snapshot", "rename": the call exists;
    - "adopt", "must-adopt": existing volumes may, or must, be taken over;
    - "file": needs `DiskRequest.directory`, a storage directory, as the node names it (under its
      own root);
    - "directory:FIELD": as "file", and the directory is the cluster's FIELD (`file_storage_dir`
      without this);
    - "no-disks": instances have none at all;
    - "user-parameters": disk keys the kernel does not know are the template's own business;
    - "space": `space` answers;
    - "units:TYPE": it has storage units of this type (upstream's types: file, sharedfile, gluster,
      lvm-pv, lvm-vg), and `storage_units` lists them; "units-change:TYPE", "units-repair:TYPE":
      they can be changed, repaired;
    - "volumes": `list_volumes` answers.

    Failures are raised as BlockDeviceError.
    """

    @hookspec
    @abstractmethod
    def check_request(self, request: DiskRequest) -> Sequence[str]:
        """Return what is wrong with the request on this node, empty when it can be made.

        Called before anything is made: names unknown parameters, missing ones, missing
        providers, lack of room.
        """

    @hookspec
    @abstractmethod
    def plan(self, request: DiskRequest) -> DiskPlan:
        """Return how the disk will be known. Changes nothing; the same request, the same plan."""

    @hookspec
    @abstractmethod
    def create(self, disk: GuestDisk) -> None:
        """Make the storage. An existing volume of this name and size is success."""

    @hookspec
    @abstractmethod
    def remove(self, disk: GuestDisk) -> None:
        """Destroy the storage. What is not there is success."""

    @hookspec
    @abstractmethod
    def exists(self, disk: GuestDisk) -> bool:
        """Say whether the storage is there."""

    @hookspec
    @abstractmethod
    def attach(self, disk: GuestDisk) -> BlockDevice:
        """Make the disk usable on this node and say how. Attached already: the same answer."""

    @hookspec
    @abstractmethod
    def detach(self, disk: GuestDisk) -> None:
        """Undo `attach`. What is not attached is success."""

    @hookspec
    @abstractmethod
    def actual_size(self, disk: GuestDisk) -> int:
        """Return the size in bytes of the disk as it is."""

    # -- optional --------------------------------------------------------------------------------

    @hookspec
    def open(self, disk: GuestDisk, exclusive: bool) -> None:
        """Get ready for I/O, exclusively or (during a live migration) from two nodes."""

    @hookspec
    def close(self, disk: GuestDisk) -> None:
        """Stop I/O."""

    @hookspec
    def set_info(self, disk: GuestDisk, text: str) -> None:
        """Attach a remark to the storage, where it can hold one."""

    @hookspec
    def sync_status(self, disk: GuestDisk) -> SyncStatus:
        """Return how well the copies agree; without copies all is well."""
        return SyncStatus()

    @hookspec
    def grow(self, disk: GuestDisk, size: int) -> None:
        """Make it `size` MiB, at least as large as now (feature "grow")."""
        raise NotImplementedError

    @hookspec
    def snapshot(self, disk: GuestDisk, name: str, size: int) -> list[Any]:
        """Take a snapshot and return its logical_id (feature "snapshot")."""
        raise NotImplementedError

    @hookspec
    def rename(self, disk: GuestDisk, logical_id: Sequence[Any]) -> None:
        """Rename to another logical_id (feature "rename")."""
        raise NotImplementedError

    @hookspec
    def space(self, params: Mapping[str, Any], directory: str) -> StorageSpace:
        """Return the room on this node (feature "space")."""
        raise NotImplementedError

    @hookspec
    def storage_units(
        self, kind: str, params: Mapping[str, Any], directory: str
    ) -> Sequence[UnitState]:
        """Return this node's storage units of a type (feature "units:TYPE")."""
        raise NotImplementedError

    @hookspec
    def change_unit(self, kind: str, name: str, changes: Mapping[str, Any]) -> None:
        """Change a storage unit, e.g. {"allocatable": False} (feature "units-change:TYPE").

        A key that cannot be changed is refused by its name.
        """
        raise NotImplementedError

    @hookspec
    def repair_unit(self, kind: str, name: str) -> None:
        """Make a storage unit consistent again (feature "units-repair:TYPE")."""
        raise NotImplementedError

    @hookspec
    def list_volumes(self, params: Mapping[str, Any], directory: str) -> Sequence[Volume]:
        """Return the volumes that are on this node (feature "volumes")."""
        raise NotImplementedError
