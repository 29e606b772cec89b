"""NetworkScript: connects a guest's interface on a node, and disconnects it."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import msgspec

from ganeti_kernel.objects.guest import GuestNic
from ganeti_kernel.specs.base import Plugin, hookspec


class NicRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One interface of one guest. `interface` is the device on this node (a tap, a veth).

    `phase` is "" outside migrations, "pre" or "post" on a migration's target (upstream 3.2).
    """

    instance: str
    interface: str
    nic: GuestNic
    tags: list[str] = []
    phase: str = ""


class NetworkScript(Plugin):
    """The contract. The entry point's name is the NIC mode, or the name of a tag service.

    A mode serves exactly the NICs of that mode. A service (`IS_SERVICE`) is asked for every NIC
    whose network carries a tag of that name, after the mode's script on the way up and before
    it on the way down. Failures are raised as HypervisorError. Features of a mode:

    - "needs-address": a NIC without an address is refused before anything is made.
    """

    IS_SERVICE: ClassVar[bool] = False

    @hookspec
    @abstractmethod
    def up(self, request: NicRequest) -> None:
        """Connect the interface. Connected already is success."""

    @hookspec
    @abstractmethod
    def down(self, request: NicRequest) -> None:
        """Disconnect the interface; it may be gone already."""
