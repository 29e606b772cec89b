"""The cluster in an IAllocator request (protocol version 2).

`parse` takes the decoded message; the request itself is `iallocator`'s business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganeti_allocators_htools.errors import LoadError, shown_list
from ganeti_allocators_htools.model import Cluster

from .records import build

MAX_BYTES = 256 * 1024 * 1024


def section(message: Mapping[str, Any], key: str, kind: type, what: str) -> Any:
    """A member of an object; raises `LoadError` in upstream's words."""
    if not isinstance(message, Mapping):
        raise LoadError(f"{what}: Unable to read JSObject")
    if key not in message:
        raise LoadError(
            f"{what}: key '{key}' not found, object contains only {shown_list(message)}"
        )
    value = message[key]
    if not isinstance(value, kind):
        name = "Int" if kind is int else kind.__name__
        raise LoadError(f"{what}: key '{key}': Unable to read {name}")
    return value


def optional(message: Mapping[str, Any], key: str, kind: type, what: str) -> Any:
    """A member that may be missing or null, None then; raises `LoadError`."""
    return None if message.get(key) is None else section(message, key, kind, what)


def items(message: Mapping[str, Any], key: str, kind: type, what: str) -> list[Any]:
    """A list of one kind of values, empty when it is missing or null; raises `LoadError`."""
    values: list[Any] = optional(message, key, list, what) or []
    if not all(isinstance(value, kind) for value in values):
        raise LoadError(f"{what}: key '{key}': Unable to read a list of {kind.__name__}")
    return values


def decode(text: str) -> dict[str, Any]:
    """The message in ``text``; raises `LoadError`."""
    try:
        message = json.loads(text)
    except ValueError as err:
        raise LoadError(f"Parsing input IAllocator message: Invalid JSON: {err}") from err
    if not isinstance(message, dict):
        raise LoadError("Parsing input IAllocator message: not an object")
    section(message, "request", dict, "invalid iallocator message")
    return message


def _group(uuid: str, value: Any) -> dict[str, Any]:
    what = f"invalid data for group '{uuid}'"
    if not isinstance(value, Mapping):
        raise LoadError(f"{what}: Unable to read JSObject")
    items(value, "networks", str, what)
    return {"uuid": uuid, **value}


_LIVE = {
    "mtotal": "total_memory", "mnode": "reserved_memory", "mfree": "free_memory",
    "dtotal": "total_disk", "dfree": "free_disk", "ctotal": "total_cpus", "cnos": "reserved_cpus",
}  # fmt: skip


_STATUSES = {"up": "running", "down": "ADMIN_down", "offline": "ADMIN_offline"}


def _node(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    what = f"invalid data for node '{name}'"
    record = {
        "name": name,
        "offline": section(value, "offline", bool, what),
        "drained": section(value, "drained", bool, what),
        "vm_capable": value.get("vm_capable", True),
        "group.uuid": section(value, "group", str, what),
        "tags": value.get("tags") or [],
    }
    params = optional(value, "ndparams", dict, what) or {}
    # upstream 3.0 does not look at the CPU speed in these messages
    record |= {f"ndp/{key}": param for key, param in params.items() if key != "cpu_speed"}
    if not (record["offline"] or record["drained"] or record["vm_capable"] is False):
        record |= {name: section(value, key, int, what) for name, key in _LIVE.items()}
        record |= {"sptotal": value.get("total_spindles"), "spfree": value.get("free_spindles")}
    return record


def _instance(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    what = f"invalid data for instance '{name}'"
    nodes = section(value, "nodes", list, what)
    if not nodes:
        raise LoadError(f"{what}: empty node list")
    disks = section(value, "disks", list, what)
    return {
        "name": name,
        "be/memory": section(value, "memory", int, what),
        "be/vcpus": section(value, "vcpus", int, what),
        "be/spindle_use": section({"spindle_use": 1, **value}, "spindle_use", int, what),
        "be/auto_balance": True,
        "disk_usage": section(value, "disk_space_total", int, what),
        "disk_template": section(value, "disk_template", str, what),
        "disk.sizes": [section(disk, "size", int, what) for disk in disks],
        "disk.spindles": [optional(disk, "spindles", int, what) for disk in disks],
        "status": _STATUSES.get(str(value.get("admin_state", "up")), "running"),
        "pnode": nodes[0],
        "snodes": nodes[1:],
        "tags": section(value, "tags", list, what),
        "nic.count": len(items(value, "nics", dict, what)),
        "forthcoming": bool(value.get("forthcoming")),
    }


def parse(message: Mapping[str, Any], kvm_node_memory: int = 0) -> Cluster:
    """The cluster in a decoded message; raises `LoadError`."""
    what = "invalid iallocator message"
    groups = [
        _group(uuid, value) for uuid, value in section(message, "nodegroups", dict, what).items()
    ]
    nodes = section(message, "nodes", dict, what)
    instances = section(message, "instances", dict, what)
    info = {
        "tags": section(message, "cluster_tags", list, what),
        "ipolicy": section(message, "ipolicy", dict, what),
        "enabled_hypervisors": items(message, "enabled_hypervisors", str, what),
    }
    return build(
        [_node(name, value) for name, value in nodes.items()],
        [_instance(name, value) for name, value in instances.items()],
        groups,
        info,
        kvm_node_memory,
    )


def read_message(path: str) -> dict[str, Any]:
    """The message in a file (``-`` for standard input); raises `LoadError` and `OSError`."""
    import sys

    if path == "-":
        return decode(sys.stdin.read(MAX_BYTES))
    with Path(path).open(encoding="utf-8", errors="surrogateescape") as stream:
        return decode(stream.read(MAX_BYTES))


def read(path: str, kvm_node_memory: int = 0) -> Cluster:
    """The cluster of the message in a file; raises `LoadError`."""
    try:
        return parse(read_message(path), kvm_node_memory)
    except OSError as err:
        raise LoadError(f"{path}: {err.strerror}") from err
