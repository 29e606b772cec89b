"""Hypervisor: starts, stops and looks at guests on one node.

Source of the calls and states: upstream 3.0's hypervisor documentation.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ganeti_kernel.objects.guest import BlockDevice, Guest, GuestDisk, GuestNic
from ganeti_kernel.specs.base import Plugin, hookspec

STATE_RUNNING = 0
STATE_SHUTDOWN = 1


class InstanceState(msgspec.Struct, frozen=True, kw_only=True):
    """A guest that exists on this node. `memory` MiB now, `cpu_time` seconds used so far."""

    name: str
    id: int = 0
    memory: int = 0
    vcpus: int = 0
    state: int = STATE_RUNNING
    cpu_time: float = 0.0


class NodeResources(msgspec.Struct, frozen=True, kw_only=True):
    """What the node has. Memory is MiB; `memory_dom0` is what the node itself uses."""

    memory_total: int
    memory_free: int
    memory_dom0: int
    memory_hv: int = 0
    cpu_total: int = 0
    cpu_nodes: int = 1
    cpu_sockets: int = 1
    cpu_dom0: int = 0
    hv_version: str = ""


class Console(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a guest's console.

    `kind` is "ssh" (run `command` on `host` as `user`), "vnc", "spice" (connect to `host`,
    `port`) or "msg" (nothing but `message` to show).
    """

    instance: str
    kind: str
    message: str | None = None
    host: str | None = None
    port: int | None = None
    user: str | None = None
    command: list[str] | None = None
    display: int | None = None


class MigrationStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is "active", "completed", "failed" or "cancelled"; RAM in MiB.

    "failed" also when no transfer was ever begun.
    """

    status: str
    transferred_ram: int | None = None
    total_ram: int | None = None


class Hypervisor(Plugin):
    """The contract. Features: "migrate", "balloon", "hotplug.disk", "hotplug.nic", "resize",
    "powercycle".

    Every failure is raised as HypervisorError. `hvparams` are filled in from `describe()`'s
    defaults, cluster, OS and instance.
    """

    @hookspec
    @abstractmethod
    def verify(self, hvparams: Mapping[str, Any]) -> Sequence[str]:
        """Return what is wrong with this node for this hypervisor, empty when all is well."""

    @hookspec
    @abstractmethod
    def check_parameters(self, hvparams: Mapping[str, Any]) -> Sequence[str]:
        """Return what is wrong with these parameters on this node beyond types and choices."""

    @hookspec
    @abstractmethod
    def node_resources(self, hvparams: Mapping[str, Any]) -> NodeResources:
        """Return what the node has and has left."""

    @hookspec
    @abstractmethod
    def list_instances(self) -> Sequence[InstanceState]:
        """Return the guests that exist now, by name."""

    @hookspec
    @abstractmethod
    def instance_state(self, name: str) -> InstanceState | None:
        """Return one guest, None when it does not exist."""

    @hookspec
    @abstractmethod
    def start_instance(self, guest: Guest, paused: bool) -> None:
        """Start the guest; its disks are active. A running guest is success."""

    @hookspec
    @abstractmethod
    def stop_instance(self, name: str, force: bool, timeout: float) -> None:
        """Stop the guest and wait until it is gone.

        Asks it to shut down and waits `timeout` seconds, then ends it by force; with `force` at
        once. A guest that does not run is success. NICs are disconnected, files cleaned up.
        """

    @hookspec
    @abstractmethod
    def reboot_instance(self, guest: Guest) -> None:
        """Have the running guest reboot without leaving the hypervisor (reboot type soft)."""

    @hookspec
    @abstractmethod
    def console(self, guest: Guest, node: str) -> Console:
        """Say how to reach the console of a guest that runs on `node`; touches nothing."""

    # -- optional: called only when the feature is announced -------------------------------------

    @hookspec
    def balloon_memory(self, guest: Guest, memory: int) -> None:
        """Set the running guest's memory, MiB (feature "balloon")."""
        raise NotImplementedError

    @hookspec
    def migration_info(self, guest: Guest) -> str:
        """On the source: what the target must know (feature "migrate", as all below)."""
        raise NotImplementedError

    @hookspec
    def accept_instance(self, guest: Guest, info: str, address: str) -> None:
        """On the target: get ready to receive the guest on `address`."""
        raise NotImplementedError

    @hookspec
    def migrate_instance(self, guest: Guest, address: str, live: bool) -> None:
        """On the source: start sending; returns when the transfer runs.

        Repeated while it runs, or after it has completed, it starts no second one.
        """
        raise NotImplementedError

    @hookspec
    def migration_status(self, guest: Guest) -> MigrationStatus:
        """On the source: how far it is."""
        raise NotImplementedError

    @hookspec
    def finalize_migration_source(self, guest: Guest, success: bool) -> None:
        """On the source: clean up; on failure the guest goes on here."""
        raise NotImplementedError

    @hookspec
    def finalize_migration_target(self, guest: Guest, info: str, success: bool) -> None:
        """On the target: take over; on failure remove what `accept_instance` made."""
        raise NotImplementedError

    @hookspec
    def hot_add_disk(self, guest: Guest, disk: GuestDisk) -> None:
        """Plug a disk into the running guest (feature "hotplug.disk")."""
        raise NotImplementedError

    @hookspec
    def hot_remove_disk(self, guest: Guest, disk: GuestDisk) -> None:
        """Unplug a disk and wait until the guest has let go of it (feature "hotplug.disk")."""
        raise NotImplementedError

    @hookspec
    def hot_add_nic(self, guest: Guest, nic: GuestNic) -> None:
        """Plug a NIC into the running guest (feature "hotplug.nic")."""
        raise NotImplementedError

    @hookspec
    def hot_remove_nic(self, guest: Guest, nic: GuestNic) -> None:
        """Unplug a NIC (feature "hotplug.nic")."""
        raise NotImplementedError

    @hookspec
    def resize_disk(self, guest: Guest, disk: GuestDisk, device: BlockDevice, size: int) -> None:
        """Tell the running guest that a disk has `size` MiB now (feature "resize")."""
        raise NotImplementedError

    @hookspec
    def powercycle_node(self, hvparams: Mapping[str, Any], delay: float) -> None:
        """Have this machine reset itself hard, shutting nothing down (feature "powercycle").

        Returns at once; the reset comes `delay` seconds later, so that the answer can be sent.
        """
        raise NotImplementedError
