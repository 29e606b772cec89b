"""What collectors of instance status share: which instances, how bad a state is, and why it is so.

Codes and texts: upstream 3.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ganeti_kernel.errors import CommandError, ConfdClientError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.base import ClusterLookup
from ganeti_kernel.specs.collector import BAD, OK, UNKNOWN, Field, status
from ganeti_kernel.specs.reading import read_text

NODE_INSTANCES: Final = 8
"""Type of the confd request for a node's instances."""

MAX_REASON_BYTES: Final = 64 << 10

RUNNING: Final = ("running", "blocked")
STOPPED: Final = ("shutdown", "dying")

FIELDS: Final = (
    Field(path="status.code", help="worst code of all instances", metric="status_code"),
    Field(path="status.message", type="string", help="what is wrong, a line for each instance"),
    Field(path="instances[].name", type="string", help="name of the instance", label=True),
    Field(path="instances[].uuid", type="string", help="UUID of the instance"),
    Field(path="instances[].adminState", type="string", help="what should be: up, down, offline"),
    Field(
        path="instances[].actualState",
        type="string",
        help="what is: running, blocked, paused, shutdown, crashed, dying, hung, unknown",
    ),
    Field(
        path="instances[].uptime",
        type="string",
        help="how long it runs, as its hypervisor prints it; null when it does not tell",
    ),
    Field(
        path="instances[].mtime",
        type="float",
        unit="seconds since the epoch",
        help="when its configuration was last changed",
        metric="configuration_changed_seconds",
    ),
    Field(
        path="instances[].state_reason",
        type="list",
        help="why it was last started or stopped: lists of source, reason, time in nanoseconds; "
        "empty when that is not known",
    ),
    Field(
        path="instances[].status.code",
        help="0 as it should be, 2 cannot be told, 4 not as it should be",
        metric="instance_status_code",
    ),
    Field(path="instances[].status.message", type="string", help="what is wrong, empty if nothing"),
)


def primary_instances(cluster: ClusterLookup | None, node: str) -> list[dict[str, Any]]:
    """The configuration of every instance whose primary node this is, reservations left out.

    Raises ConfdClientError when confd does not tell.
    """
    if cluster is None:
        raise ConfdClientError("there is nobody to ask which instances this node has")
    answer = cluster.ask(NODE_INSTANCES, node)
    try:
        primary, _secondary = answer
        return [item for item in primary if item.get("name") and not item.get("forthcoming")]
    except (TypeError, ValueError, AttributeError):
        raise ConfdClientError(
            f"confd's answer about the instances of {node} is not two lists"
        ) from None


def judge(admin: str, actual: str) -> dict[str, Any]:
    """The status object for what should be and what is."""
    if admin == "offline":
        return status(UNKNOWN, "The instance is marked as offline")
    if admin == "up":
        if actual == "hung":
            return status(UNKNOWN, "Instance marked as running, but it appears to be hung")
        if actual not in RUNNING:
            return status(BAD, "The instance is not running as it should be")
    elif actual not in STOPPED:
        return status(BAD, "The instance is not stopped as it should be")
    return status(OK)


def entry(
    paths: Paths, instance: Mapping[str, Any], actual: str, uptime: str | None
) -> dict[str, Any]:
    """One instance's object in the report."""
    admin = str(instance.get("admin_state", "down"))
    return {
        "name": instance["name"],
        "uuid": instance.get("uuid", ""),
        "adminState": admin,
        "actualState": actual,
        "uptime": uptime,
        "mtime": instance.get("mtime", 0.0),
        "state_reason": reason_trail(paths, str(instance["name"])),
        "status": judge(admin, actual),
    }


def reason_trail(paths: Paths, name: str) -> list[Any]:
    """Who asked for the instance's state, and why; empty when nobody wrote it down."""
    if "/" in name:
        return []
    try:
        text = read_text(paths.run_dir / "instance-reason" / name, MAX_REASON_BYTES)
        value = msgspec.json.decode(text)
    except (CommandError, msgspec.DecodeError):
        return []
    return value if isinstance(value, list) else []
