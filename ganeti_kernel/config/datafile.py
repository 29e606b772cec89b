"""`config.data`: the configuration in upstream's shape, read into a view and written from one.

Read are the versions of upstream 2.16 to 3.2; written is the version the view carries. A member
that upstream leaves out gets its default; unknown members are ignored (and kept in the view's
document).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import msgspec

from ganeti_kernel.constants import MAX_CONFIG_BYTES
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.objects.cluster import Cluster, FilterRule, Network, Node, NodeGroup
from ganeti_kernel.objects.document import Document
from ganeti_kernel.objects.instance import Disk, Instance
from ganeti_kernel.objects.secrets import SecretRules
from ganeti_kernel.objects.view import ConfigView

VERSIONS: Final = ((2, 16), (3, 0), (3, 1), (3, 2))
"""Upstream releases whose files are read: the file's `version` is MAJOR * 1,000,000 +
MINOR * 10,000 + revision."""


class _File(msgspec.Struct, kw_only=True):
    """The file's members; the defaults are for tables that older releases do not write."""

    version: int
    cluster: Cluster
    nodes: dict[str, Node]
    nodegroups: dict[str, NodeGroup]
    instances: dict[str, Instance]
    networks: dict[str, Network] = {}
    disks: dict[str, Disk] = {}
    filters: dict[str, FilterRule] = {}
    serial_no: int = 1
    ctime: float = 0.0
    mtime: float = 0.0


class _Head(msgspec.Struct):
    version: int
    cluster: msgspec.Raw
    nodes: msgspec.Raw


_file: Final = msgspec.json.Decoder(_File)
_head: Final = msgspec.json.Decoder(_Head)


def parse(
    data: bytes, name: str = "config.data", *, secrets: SecretRules | None = None
) -> ConfigView:
    """Return the view of a file's content; `name` is what errors call the file.

    Raises ConfigurationError that says what is wrong with the content and what to do.
    """
    try:
        content = _file.decode(data)
    except msgspec.ValidationError as error:
        content = _second_look(data, name, error)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(_not_json(data, name, error)) from None
    except RecursionError:
        raise ConfigurationError(
            f"{name} is not a cluster configuration: nested too deep"
        ) from None
    _check_version(content.version, name)
    if content.cluster.master_node not in content.nodes:
        raise ConfigurationError(
            f"{name}: the cluster's master node {content.cluster.master_node!r} is not among its "
            f"nodes; restore the file from another master candidate or from a backup"
        )
    return ConfigView(
        cluster=content.cluster,
        nodes=content.nodes,
        nodegroups=content.nodegroups,
        instances=content.instances,
        networks=content.networks,
        disks=content.disks,
        filters=content.filters,
        version=content.version,
        serial_no=content.serial_no,
        ctime=content.ctime,
        mtime=content.mtime,
        document=Document(data),
        secrets=secrets,
    )


def dump(view: ConfigView) -> bytes:
    """Return a view as the content of a `config.data` that upstream reads."""
    return Document.of(view).text + b"\n"


def read(path: Path) -> bytes:
    """Return a file's bytes; raises ConfigurationError when it is missing or too large."""
    try:
        with open(path, "rb") as stream:
            return read_open(stream.fileno(), path)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} does not exist; this node holds no copy of the configuration (only master "
            f"candidates do)"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None


def read_open(descriptor: int, path: Path) -> bytes:
    """The same for a file that is open already; raises OSError too."""
    size = os.fstat(descriptor).st_size
    parts: list[bytes] = []
    taken = 0
    while size <= MAX_CONFIG_BYTES and (part := os.read(descriptor, max(65536, size + 1))):
        parts.append(part)
        taken += len(part)
        size = max(size, taken)  # a device or a pipe has no size of its own
    if size > MAX_CONFIG_BYTES:
        raise ConfigurationError(
            f"{path} has more than the {MAX_CONFIG_BYTES} bytes that are read; it is not a cluster "
            f"configuration"
        )
    return b"".join(parts)


def load(path: Path) -> ConfigView:
    """Return the view of a file; raises ConfigurationError that names it."""
    return parse(read(path), str(path))


def _check_version(version: int, name: str) -> None:
    release = (version // 1_000_000, version // 10_000 % 100)
    if release not in VERSIONS:
        known = ", ".join(f"{major}.{minor}" for major, minor in VERSIONS)
        raise ConfigurationError(
            f"{name} has configuration version {version} (release {release[0]}.{release[1]}), but "
            f"releases {known} are read; convert it with that release's cfgupgrade first"
        )


def _not_json(data: bytes, name: str, error: Exception) -> str:
    if not data.strip():
        problem = "is empty"
    elif data.lstrip()[:1] != b"{":
        problem = "is not a cluster configuration (it does not begin with '{')"
    elif "truncated" in str(error):
        problem = f"is cut off after {len(data)} bytes"
    else:
        problem = f"is damaged: {error}"
    return f"{name} {problem}; restore it from another master candidate or from a backup"


def _second_look(data: bytes, name: str, error: Exception) -> _File:
    """Some releases write null where others leave a member out: try again without nulls."""
    try:
        _check_version(_head.decode(data).version, name)
    except msgspec.ValidationError:
        raise ConfigurationError(
            f"{name} is not a cluster configuration: {error}; give the config.data of a cluster"
        ) from None
    try:
        return msgspec.convert(_without_nulls(msgspec.json.decode(data)), _File)
    except msgspec.ValidationError as problem:
        raise ConfigurationError(
            f"{name} has a value that does not fit: {problem}; mend it or restore the file from a "
            f"backup"
        ) from None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
