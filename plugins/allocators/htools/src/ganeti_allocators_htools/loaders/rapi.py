"""The cluster from RAPI: over HTTPS, or from a folder of saved answers (``file://``)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ganeti_allocators_htools.errors import LoadError, open_error
from ganeti_allocators_htools.model import Cluster

from .records import build

PORT = 5080
TIMEOUT = 60.0
MAX_BYTES = 512 * 1024 * 1024
_FILE = "file://"

#: Part: (saved file, resource).
_PARTS = {
    "groups": ("groups.json", "/2/groups?bulk=1"),
    "nodes": ("nodes.json", "/2/nodes?bulk=1"),
    "instances": ("instances.json", "/2/instances?bulk=1"),
    "info": ("info.json", "/2/info"),
}


def url_of(address: str) -> str:
    """The base URL of a cluster given by name or URL."""
    return address.rstrip("/") if ":" in address else f"https://{address}:{PORT}"


def _saved(folder: str, name: str) -> bytes:
    path = os.path.join(folder, name)
    try:
        with open(path, "rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as err:
        raise LoadError(open_error(path, err)) from err


def _fetched(url: str) -> bytes:
    import ssl  # late: both are slow to import and only this source needs them
    import urllib.error
    import urllib.request

    # upstream does not verify RAPI's certificate either: clusters sign their own
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(url, timeout=TIMEOUT) as answer:
            body: bytes = answer.read(MAX_BYTES + 1)
    except (urllib.error.URLError, OSError, ValueError) as err:
        reason = getattr(err, "reason", None) or err
        raise LoadError(f"{url}: {reason}") from err
    return body


def _decoded(body: bytes, what: str) -> Any:
    if len(body) > MAX_BYTES:
        raise LoadError(f"{what}: longer than {MAX_BYTES} bytes, refused")
    try:
        return json.loads(body)
    except ValueError as err:
        raise LoadError(f"{what}: not JSON: {err}") from err


def _dotted(record: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The record with nested values also under LUXI's query names."""
    result = dict(record)
    for key, prefix in names.items():
        nested = record.get(key)
        if isinstance(nested, Mapping):
            result.update({f"{prefix}/{name}": value for name, value in nested.items()})
    return result


def _measured(record: dict[str, Any]) -> dict[str, Any]:
    """The instance with the memory that it has now, as upstream 3.0 counts it (but not on LUXI)."""
    memory = record.get("oper_ram")
    if isinstance(memory, int) and not isinstance(memory, bool):
        record["be/memory"] = memory
    return record


def parse(parts: Mapping[str, Any], kvm_node_memory: int = 0) -> Cluster:
    """The cluster from the decoded answers of the four resources; raises `LoadError`."""
    for name in ("nodes", "instances", "groups"):
        records = parts[name]
        if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
            raise LoadError(f"RAPI {name}: not a list of objects")
    if not isinstance(parts["info"], dict):
        raise LoadError("RAPI info: not an object")
    # upstream 3.0 does not look at the CPU speed in these answers
    nodes = [
        _dotted(record, {"ndparams": "ndp"}) | {"ndp/cpu_speed": None} for record in parts["nodes"]
    ]
    instances = [_measured(_dotted(record, {"beparams": "be"})) for record in parts["instances"]]
    return build(nodes, instances, parts["groups"], parts["info"], kvm_node_memory)


def read(address: str, kvm_node_memory: int = 0) -> Cluster:
    """Load from ``address``: host name, URL, or ``file://`` and a folder; raises `LoadError`."""
    parts = {}
    for part, (name, resource) in _PARTS.items():
        if address.startswith(_FILE):
            body = _saved(address[len(_FILE) :], name)
        else:
            body = _fetched(url_of(address) + resource)
        parts[part] = _decoded(body, f"{address} {part}")
    return parse(parts, kvm_node_memory)
