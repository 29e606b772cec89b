"""The configuration as JSON: the text of `config.data`, decoded only where somebody asks.

confd answers some requests with whole objects. Most of their text can be sent on as it stands in
the file, so a document keeps the text and finds pieces in it; a view that did not come from a
file gets a document made from its objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ganeti_kernel.objects.wire import to_wire

if TYPE_CHECKING:
    from ganeti_kernel.objects.view import ConfigView

TABLES: Final = ("nodes", "nodegroups", "instances", "networks", "disks", "filters")
"""Members of the configuration that map UUIDs to objects."""

_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Document:
    """One configuration as JSON text; immutable."""

    def __init__(self, text: bytes) -> None:
        """`text` is a JSON object; whoever makes a document has checked that it is one."""
        self.text = text

    @cached_property
    def members(self) -> Mapping[str, msgspec.Raw]:
        """Member name -> its JSON text."""
        return _members.decode(self.text)

    @cached_property
    def _tables(self) -> dict[str, Mapping[str, msgspec.Raw]]:
        return {}

    def table(self, name: str) -> Mapping[str, msgspec.Raw]:
        """UUID -> JSON text of an object; empty when the configuration has no such table."""
        found = self._tables.get(name)
        if found is None:
            text = self.members.get(name)
            try:
                found = _members.decode(text) if text is not None else {}
            except msgspec.ValidationError:
                found = {}
            self._tables[name] = found
        return found

    def value(self, name: str) -> Any:
        """A member's value, decoded anew with each call; raises KeyError when there is none."""
        return msgspec.json.decode(self.members[name])

    @classmethod
    def of(cls, view: ConfigView) -> Document:
        """The document of a view that has none."""
        return cls(msgspec.json.encode(to_tree(view)))


def to_tree(view: ConfigView) -> dict[str, Any]:
    """The whole configuration as a JSON value, members in upstream's order."""
    tree: dict[str, Any] = {"version": view.version, "cluster": to_wire(view.cluster)}
    for name in TABLES:
        tree[name] = to_wire(getattr(view, name))
    return tree | {"ctime": view.ctime, "mtime": view.mtime, "serial_no": view.serial_no}
