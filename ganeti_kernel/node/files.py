"""Calls that write the cluster's files onto this node, and the one that takes them away."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from ganeti_kernel.config.ssconf import write_ssconf
from ganeti_kernel.errors import GenericError, ParameterError
from ganeti_kernel.files import write_durably
from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.registry import node_call
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.trust import bootstrap_file

log = logging.getLogger(__name__)

SECRET: Final = 0o600
SHARED: Final = 0o644
CONFIG_MODE: Final = 0o640

UPLOADS: Final = {
    "/etc/ganeti/file-storage-paths": SHARED,
    "/etc/ganeti/hosts": SHARED,
    "/etc/ganeti/vnc-cluster-password": SECRET,
    "/var/lib/ganeti/ca.key": SECRET,
    "/var/lib/ganeti/ca.pem": SHARED,
    "/var/lib/ganeti/cluster-domain-secret": SECRET,
    "/var/lib/ganeti/hmac.key": SECRET,
    "/var/lib/ganeti/known_hosts": SHARED,
    "/var/lib/ganeti/rapi.pem": SECRET,
    "/var/lib/ganeti/rapi/users": SECRET,
    "/var/lib/ganeti/spice-ca.pem": SHARED,
    "/var/lib/ganeti/spice.pem": SECRET,
}
"""What the master may write here, and the widest mode; paths as without a root directory."""


@node_call("upload_file", subject=lambda args: f"file {args['name']}")
def upload_file(context: NodeContext, name: str, content: str, mode: int = SECRET) -> None:
    """Replace one of the cluster's files. `mode` may be narrower than the list's, not wider."""
    widest = UPLOADS.get(name)
    if widest is None:
        raise ParameterError(
            f"the master may not write {name[:200]!r} on a node; allowed are "
            f"{', '.join(sorted(UPLOADS))}"
        )
    if mode & ~widest:
        raise ParameterError(f"{name} must not have mode {mode:04o}, at most {widest:04o}")
    _write(context.paths.under(name), content.encode(), mode)


@node_call("ssconf_write", subject=lambda _args: "ssconf")
def ssconf_write(context: NodeContext, values: dict[str, str]) -> None:
    """Write the ssconf files that differ."""
    write_ssconf(context.paths, values)


@node_call("config_write", subject=lambda _args: "config.data")
def config_write(context: NodeContext, content: str | dict[str, Any]) -> None:
    """Replace this node's copy of `config.data`; a JSON object or its text."""
    data = content.encode() if isinstance(content, str) else msgspec.json.encode(content)
    try:
        msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError as error:
        raise ParameterError(f"the configuration is not a JSON object: {error}") from None
    _write(context.paths.config_file, data, CONFIG_MODE)


@node_call("watcher_pause", subject=lambda _args: "watcher")
def watcher_pause(context: NodeContext, until: float | None = None) -> None:
    """Have this node's watcher pause until then, seconds since the epoch; None: go on."""
    write_pause(context.paths, until)


def write_pause(paths: Paths, until: float | None) -> None:
    """Write the watcher's pause, or end it; raises GenericError."""
    path = paths.watcher_pause
    if until is not None:
        _write(path, f"{until:.0f}\n".encode(), SHARED)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise GenericError(f"cannot remove {path}: {error.strerror}") from None


@node_call("node_leave", subject=lambda _args: "node")
def node_leave(context: NodeContext) -> None:
    """Remove everything that ties this node to its cluster and have the daemon stop.

    Keys and certificates go last: until then the call can be repeated, by a daemon that was
    killed and started again, too.
    """
    context.services.leaving()
    context.replica.discard()
    forget_cluster(context.paths)
    log.info("this node has left its cluster")
    context.services.left()


def forget_cluster(paths: Paths) -> None:
    """Remove what the cluster's set-up and its master wrote here; raises GenericError."""
    for path in _cluster_files(paths):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise GenericError(f"cannot remove {path}: {error.strerror}") from None


def _cluster_files(paths: Paths) -> Iterator[Path]:
    yield from sorted(paths.data_dir.glob("ssconf_*"))
    yield paths.config_file
    yield from (paths.under(name) for name in sorted(UPLOADS) if name.startswith("/var/"))
    yield paths.replicas_file
    yield paths.data_dir / "epoch"
    yield bootstrap_file(paths)
    yield paths.node_certificate


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        write_durably(path, content, mode)
    except OSError as error:
        raise GenericError(f"cannot write {path}: {error.strerror}") from None
