"""ssconf: small files on every node that hold what a node must know without the configuration.

One file a key, one value a line; the keys and their form are upstream 3.0's, and scripts and
upstream's daemons read them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ganeti_kernel.config.order import natural_key
from ganeti_kernel.constants import MAX_SSCONF_BYTES
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.files import write_durably
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.version import SOFTWARE_VERSION

FILE_MODE: Final = 0o444
KEY: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def ssconf_values(view: ConfigView) -> dict[str, str]:
    """Return the content of every file, without the final newline."""
    cluster = view.cluster
    nodes = sorted(view.nodes.values(), key=lambda node: natural_key(node.name))
    candidates = [view.nodes[uuid] for uuid in sorted(view.nodes) if is_candidate(view, uuid)]
    groups = sorted(view.nodegroups.values(), key=lambda group: natural_key(group.name))
    names = sorted((inst.name for inst in view.instances.values() if inst.name), key=natural_key)
    master = view.master
    values = {
        "cluster_name": cluster.cluster_name,
        "cluster_tags": _lines(sorted(cluster.tags)),
        "enabled_user_shutdown": str(cluster.enabled_user_shutdown),
        "file_storage_dir": cluster.file_storage_dir,
        "gluster_storage_dir": cluster.gluster_storage_dir,
        "hypervisor_list": _lines(cluster.enabled_hypervisors),
        "instance_list": _lines(names),
        "maintain_node_health": str(cluster.maintain_node_health),
        "master_candidates": _lines(node.name for node in candidates),
        "master_candidates_certs": _lines(
            f"{uuid}={digest}" for uuid, digest in sorted(cluster.candidate_certs.items())
        ),
        "master_candidates_ips": _lines(node.primary_ip for node in candidates),
        "master_ip": cluster.master_ip,
        "master_netdev": cluster.master_netdev,
        "master_netmask": str(cluster.master_netmask),
        "master_node": master.name if master else "",
        "networks": _lines(f"{uuid} {view.networks[uuid].name}" for uuid in sorted(view.networks)),
        "node_list": _lines(node.name for node in nodes),
        "node_primary_ips": _lines(f"{node.name} {node.primary_ip}" for node in nodes),
        "node_secondary_ips": _lines(
            f"{node.name} {node.secondary_ip or node.primary_ip}" for node in nodes
        ),
        "node_vm_capable": _lines(f"{node.name}={node.vm_capable}" for node in nodes),
        "nodegroups": _lines(f"{group.uuid} {group.name}" for group in groups),
        "offline_nodes": _lines(node.name for node in nodes if node.offline),
        "online_nodes": _lines(node.name for node in nodes if not node.offline),
        "primary_ip_family": str(cluster.primary_ip_family),
        "release_version": SOFTWARE_VERSION,
        "shared_file_storage_dir": cluster.shared_file_storage_dir,
        "ssh_ports": _lines(f"{node.name}={_ssh_port(view, node)}" for node in nodes),
        "uid_pool": _lines(_uid_range(item) for item in cluster.uid_pool),
    }
    for hypervisor, hvparams in cluster.hvparams.items():
        values[f"hvparams_{hypervisor}"] = _lines(
            f"{name}={hvparams[name]}" for name in sorted(hvparams)
        )
    return values


def is_candidate(view: ConfigView, uuid: str) -> bool:
    """Say whether a node is a master candidate; the master always is."""
    return view.nodes[uuid].master_candidate or uuid == view.cluster.master_node


def write_ssconf(paths: Paths, values: Mapping[str, str]) -> list[str]:
    """Write the files that differ, each at once; returns the keys that were written.

    Raises ConfigurationError for a bad key, a value that is too large, or when a file cannot be
    written.
    """
    for key, value in values.items():
        if not KEY.fullmatch(key):
            raise ConfigurationError(f"{key!r} is not a name for an ssconf file")
        if len(value.encode()) > MAX_SSCONF_BYTES:
            raise ConfigurationError(
                f"ssconf value {key} was refused: larger than {MAX_SSCONF_BYTES} bytes"
            )
    written = []
    try:
        with _lock(paths):
            for key, value in sorted(values.items()):
                content = f"{value}\n".encode() if value else b""
                if _replace(paths.ssconf(key), content):
                    written.append(key)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write ssconf files in {paths.data_dir}: {error.strerror} ({error.filename})"
        ) from error
    return written


def read_ssconf(paths: Paths, key: str) -> str:
    """Return one value without its final newline.

    Raises ConfigurationError when there is none: the node is not in a cluster.
    """
    if not KEY.fullmatch(key):
        raise ConfigurationError(f"{key!r} is not a name for an ssconf file")
    path = paths.ssconf(key)
    try:
        with open(path, "rb") as handle:
            content = handle.read(MAX_SSCONF_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} does not exist: this node is not part of a cluster"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > MAX_SSCONF_BYTES:
        raise ConfigurationError(f"{path} is larger than {MAX_SSCONF_BYTES} bytes")
    return content.decode("utf-8", "replace").removesuffix("\n")


def _ssh_port(view: ConfigView, node: Node) -> Any:
    return view.fill_nd(node)["ssh_port"]


def _uid_range(item: Any) -> str:
    low, high = item
    return str(low) if low == high else f"{low}-{high}"


def _lines(values: Iterable[str]) -> str:
    return "\n".join(values)


def _replace(path: Path, content: bytes) -> bool:
    """Give the file this content unless it has it."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            return False
    write_durably(path, content, FILE_MODE)
    return True


@contextlib.contextmanager
def _lock(paths: Paths) -> Iterator[None]:
    """Hold the lock that upstream's tools take as well."""
    paths.data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    paths.lock_dir.mkdir(parents=True, exist_ok=True)
    handle = os.open(paths.lock_dir / "ganeti-ssconf.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
