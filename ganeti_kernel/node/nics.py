"""Connecting guests' interfaces: the script of the NIC's mode, then the services of its tags."""

from __future__ import annotations

import logging
from typing import Final

from ganeti_kernel.errors import GenericError, HypervisorError, PluginError
from ganeti_kernel.node.context import bounded
from ganeti_kernel.objects.guest import Guest, GuestNic
from ganeti_kernel.specs.base import PluginLookup
from ganeti_kernel.specs.network_script import NetworkScript, NicRequest

log = logging.getLogger(__name__)

KIND: Final = "network_script"
SCRIPT_SECONDS: Final = 60.0


class NodeNics:
    """`specs.base.NicScripts` over the network scripts that are installed."""

    def __init__(self, seconds: float = SCRIPT_SECONDS) -> None:
        self._plugins: PluginLookup | None = None
        self._seconds = seconds

    def use(self, plugins: PluginLookup) -> None:
        """Say where the scripts are; needed before the first NIC (plugins need us to be made)."""
        self._plugins = plugins

    def up(self, guest: Guest, nic: GuestNic, interface: str, phase: str = "") -> None:
        """Connect; when one script fails, what was done is undone. Raises HypervisorError."""
        request = _request(guest, nic, interface, phase)
        done: list[tuple[str, NetworkScript]] = []
        try:
            for name, script in self._scripts(nic):
                done.append((name, script))
                self._run(name, script, request, "up")
        except HypervisorError:
            self._undo(done, request)
            raise

    def down(self, guest: Guest, nic: GuestNic, interface: str) -> None:
        """Disconnect in the opposite order; a failure is logged and does not stop the others."""
        try:
            scripts = self._scripts(nic)
        except HypervisorError as error:
            log.warning("%s", error)
            return
        self._undo(scripts, _request(guest, nic, interface, ""))

    def _undo(self, scripts: list[tuple[str, NetworkScript]], request: NicRequest) -> None:
        for name, script in reversed(scripts):
            try:
                self._run(name, script, request, "down")
            except HypervisorError as error:
                log.warning("%s", error)

    def _run(self, name: str, script: NetworkScript, request: NicRequest, action: str) -> None:
        call = script.up if action == "up" else script.down
        try:
            bounded(f"{action} {name} {request.interface}", self._seconds, lambda: call(request))
        except Exception as error:  # a plugin's defect is the NIC's failure, nothing else's
            why = str(error) if isinstance(error, GenericError) else f"defect: {error!r}"
            raise HypervisorError(
                f"network script {name}, {action} of {request.interface} (NIC {request.nic.index} "
                f"of {request.instance}): {why}"
            ) from error

    def _scripts(self, nic: GuestNic) -> list[tuple[str, NetworkScript]]:
        """The mode's script, then the services of the network's tags by name."""
        if self._plugins is None:
            raise HypervisorError("NICs cannot be connected: this is not a node daemon")
        mode = _get(self._plugins, nic.mode)
        if mode.IS_SERVICE:
            raise HypervisorError(f"{nic.mode!r} is a service for network tags, not a NIC mode")
        scripts = [(nic.mode, mode)]
        installed = set(self._plugins.names(KIND))
        tags = nic.network.tags if nic.network is not None else []
        for tag in sorted(installed.intersection(tags)):
            script = _get(self._plugins, tag)
            if script.IS_SERVICE:
                scripts.append((tag, script))
        return scripts


def _get(plugins: PluginLookup, name: str) -> NetworkScript:
    try:
        plugin = plugins.get(KIND, name)
    except PluginError as error:
        raise HypervisorError(str(error)) from None
    if not isinstance(plugin, NetworkScript):
        raise HypervisorError(f"plugin {name!r} is not a network script")
    return plugin


def _request(guest: Guest, nic: GuestNic, interface: str, phase: str) -> NicRequest:
    return NicRequest(
        instance=guest.name, interface=interface, nic=nic, tags=guest.tags, phase=phase
    )
