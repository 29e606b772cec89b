"""The plugin class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ganeti_hypervisors_fake import __version__
from ganeti_hypervisors_fake.state import StateDir
from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.objects import Guest
from ganeti_kernel.specs import Description, Parameter, PluginContext, hookimpl, host
from ganeti_kernel.specs.hypervisor import (
    Console,
    Hypervisor,
    InstanceState,
    MigrationStatus,
    NodeResources,
)

DESCRIPTION = Description(
    name="fake",
    version=__version__,
    summary="No guests: keeps a file for each instance that should run",
    parameters=(
        Parameter(
            name="migration_mode",
            default="live",
            choices=("live", "non-live"),
            required=True,
            cluster_only=True,
            help="how instances migrate unless the command says otherwise",
        ),
    ),
    features=frozenset({"migrate", "balloon", "powercycle"}),
)


class FakeHypervisor(Hypervisor):
    """Everything succeeds; only the files say what runs."""

    API_VERSION = 2

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self._states = StateDir(context.paths.run_dir / "fake-hypervisor")

    @hookimpl
    def describe(self) -> Description:
        return DESCRIPTION

    @hookimpl
    def verify(self, hvparams: Mapping[str, Any]) -> Sequence[str]:
        return []

    @hookimpl
    def check_parameters(self, hvparams: Mapping[str, Any]) -> Sequence[str]:
        return []

    @hookimpl
    def node_resources(self, hvparams: Mapping[str, Any]) -> NodeResources:
        """The node's own figures, less what the instances would use."""
        node = host.resources()
        used = sum(state.memory for state in self.list_instances())
        free = max(0, node.memory_free - used)
        return msgspec.structs.replace(
            node, memory_free=free, memory_dom0=node.memory_total - node.memory_free
        )

    @hookimpl
    def list_instances(self) -> Sequence[InstanceState]:
        states = (self._states.read(name) for name in self._states.names())
        return [state for state in states if state is not None]

    @hookimpl
    def instance_state(self, name: str) -> InstanceState | None:
        return self._states.read(name)

    @hookimpl
    def start_instance(self, guest: Guest, paused: bool) -> None:
        if self._states.read(guest.name) is not None:
            return
        memory = host.startup_memory(guest, self.node_resources({}).memory_free)
        self._states.write(InstanceState(name=guest.name, memory=memory, vcpus=guest.vcpus))

    @hookimpl
    def stop_instance(self, name: str, force: bool, timeout: float) -> None:
        self._states.remove(name)

    @hookimpl
    def reboot_instance(self, guest: Guest) -> None:
        self._running(guest)

    @hookimpl
    def console(self, guest: Guest, node: str) -> Console:
        return Console(
            instance=guest.name, kind="msg", message="Console not available for fake hypervisor"
        )

    @hookimpl
    def balloon_memory(self, guest: Guest, memory: int) -> None:
        self._states.write(msgspec.structs.replace(self._running(guest), memory=memory))

    @hookimpl
    def migration_info(self, guest: Guest) -> str:
        return ""

    @hookimpl
    def accept_instance(self, guest: Guest, info: str, address: str) -> None:
        """Nothing to prepare: the guest appears when the migration is over."""

    @hookimpl
    def migrate_instance(self, guest: Guest, address: str, live: bool) -> None:
        """There is nothing to send: the transfer is over as soon as it begins."""
        self._running(guest)
        self._states.mark_sent(guest.name)

    @hookimpl
    def migration_status(self, guest: Guest) -> MigrationStatus:
        sent = self._states.is_sent(guest.name)
        return MigrationStatus(status="completed" if sent else "failed")

    @hookimpl
    def finalize_migration_source(self, guest: Guest, success: bool) -> None:
        if success:
            self._states.remove(guest.name)
        self._states.unmark_sent(guest.name)

    @hookimpl
    def finalize_migration_target(self, guest: Guest, info: str, success: bool) -> None:
        if success:
            self.start_instance(guest, False)
        else:
            self._states.remove(guest.name)

    @hookimpl
    def powercycle_node(self, hvparams: Mapping[str, Any], delay: float) -> None:
        """Only writes down that it was asked."""
        self._states.note_powercycle(delay)

    def _running(self, guest: Guest) -> InstanceState:
        state = self._states.read(guest.name)
        if state is None:
            raise HypervisorError(f"instance {guest.name} does not run on this node; start it")
        return state
