"""Stand-ins for a plugin's neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ganeti_kernel.errors import HypervisorError, PluginError
from ganeti_kernel.objects.guest import Guest, GuestNic
from ganeti_kernel.specs.base import Plugin


@dataclass
class RecordingNics:
    """NicScripts that only remembers; `connected` maps interfaces to (instance, NIC's UUID).

    With `refuse_all` no interface can be connected.
    """

    connected: dict[str, tuple[str, str]] = field(default_factory=dict)
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    refuse_all: bool = False

    def up(self, guest: Guest, nic: GuestNic, interface: str, phase: str = "") -> None:
        self.calls.append(("up", interface, phase))
        if self.refuse_all:
            raise HypervisorError(f"{interface} cannot be connected: a test says so")
        self.connected[interface] = (guest.name, nic.uuid)

    def down(self, guest: Guest, nic: GuestNic, interface: str) -> None:
        self.calls.append(("down", interface, ""))
        self.connected.pop(interface, None)


@dataclass
class FixedLookup:
    """PluginLookup over given plugins: kind -> name -> plugin."""

    plugins: Mapping[str, Mapping[str, Plugin]] = field(default_factory=dict)

    def get(self, kind: str, name: str) -> Plugin:
        found = self.plugins.get(kind, {}).get(name)
        if found is None:
            raise PluginError(f"no {kind} plugin {name!r} is installed; gnt-plugins list shows all")
        return found

    def names(self, kind: str) -> Sequence[str]:
        return sorted(self.plugins.get(kind, {}))
