"""`ndp/…`: node parameters, of nodes and of groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ganeti_kernel.query.fields.base import BOOL, FLOAT, NUMBER, OTHER, Field, whole
from ganeti_kernel.query.source import QuerySource

PARAMETERS: Final = (
    ("cpu_speed", "ndp/cpu_speed", FLOAT, "Speed of the processors, 1.0 is the reference"),
    ("exclusive_storage", "ExclusiveStorage", BOOL, "Whether instances share no physical volume"),
    ("oob_program", "OutOfBandProgram", OTHER, "Program for power and health out of band"),
    ("ovs", "OpenvSwitch", BOOL, "Whether Open vSwitch is set up on the node"),
    ("ovs_link", "OpenvSwitchLink", OTHER, "Interface that connects Open vSwitch to the outside"),
    ("ovs_name", "OpenvSwitchName", OTHER, "Name of the Open vSwitch switch"),
    ("spindle_count", "SpindleCount", NUMBER, "Number of physical disks for instances"),
    ("ssh_port", "ndp/ssh_port", NUMBER, "Port of the node's SSH server"),
)


def ndp_fields(filled: Callable[[QuerySource, Any], dict[str, Any]]) -> list[Field]:
    """Make the fields; `filled` gives an item's parameters with all layers merged."""

    def getter(name: str) -> Callable[[QuerySource, Any], Any]:
        return lambda source, item: whole(filled(source, item)[name])

    return [
        Field(f"ndp/{name}", title, kind, doc, getter(name))
        for name, title, kind, doc in PARAMETERS
    ]
