"""The VLAN text of a NIC: which VLANs a bridge port carries.

Source: upstream 3.0's NIC parameter `vlan`.
"""

from __future__ import annotations

from dataclasses import dataclass

HIGHEST_VID = 4094


@dataclass(frozen=True, slots=True)
class Vlans:
    """`untagged` is the VLAN of frames without a tag (None: they are dropped)."""

    untagged: int | None = None
    tagged: tuple[int, ...] = ()

    def all(self) -> tuple[int, ...]:
        return self.tagged if self.untagged is None else (self.untagged, *self.tagged)


def parse(text: str) -> Vlans:
    """Read `N` or `.N` (access), `:N:M` (trunk), `N:M:O` or `.N:M` (both).

    Raises ValueError that names the part that is no VLAN.
    """
    if not text:
        return Vlans()
    head, *rest = text.removeprefix(".").split(":")
    tagged = tuple(_vid(part) for part in rest)
    if not head:
        if not tagged:
            raise ValueError(f"{text!r} names no VLAN")
        return Vlans(None, tagged)
    return Vlans(_vid(head), tagged)


def _vid(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= HIGHEST_VID):
        raise ValueError(f"{text!r} is no VLAN: a number from 1 to {HIGHEST_VID}")
    return int(text)
