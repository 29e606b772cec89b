"""The call of `gnt-cluster verify`: what this node looks like from the inside."""

from __future__ import annotations

import hashlib
import socket
import time
from typing import Any, Final

from ganeti_kernel.config.ssconf import read_ssconf
from ganeti_kernel.constants import NODED_PORT, RPC_CONNECT_TIMEOUT
from ganeti_kernel.errors import ConfigurationError, GenericError
from ganeti_kernel.node.context import NodeContext, bounded
from ganeti_kernel.node.files import UPLOADS
from ganeti_kernel.node.guest_os import os_diagnose
from ganeti_kernel.node.info import PATIENCE, plugins_list
from ganeti_kernel.node.network import bridges_exist
from ganeti_kernel.node.registry import node_call
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.results import NodeReport
from ganeti_kernel.version import PROTOCOL_VERSION, SOFTWARE_VERSION

MAX_PEERS: Final = 64
MAX_FILE: Final = 16 << 20


@node_call("node_verify")
def node_verify(
    context: NodeContext,
    hypervisors: dict[str, dict[str, Any]] = {},  # noqa: B006 # read only
    bridges: list[str] = [],  # noqa: B006 # read only
    files: list[str] = [],  # noqa: B006 # read only
    peers: dict[str, str] = {},  # noqa: B006 # read only
) -> NodeReport:
    """Check what can only be checked here.

    `hypervisors` name -> cluster parameters; `files` of the upload list are hashed; `peers` (name
    -> address, at most MAX_PEERS) are tried on the node daemon's port.
    """
    try:
        cluster_name = read_ssconf(context.paths, "cluster_name").strip()
    except ConfigurationError:
        cluster_name = ""
    return NodeReport(
        protocol=PROTOCOL_VERSION,
        software=SOFTWARE_VERSION,
        cluster_name=cluster_name,
        time=time.time(),
        hypervisors={
            name: _hypervisor(context, name, params) for name, params in hypervisors.items()
        },
        bridges=bridges_exist(context, bridges),
        files={name: checksum(context.paths, name) for name in files if name in UPLOADS},
        plugins=[row for row in plugins_list(context) if row.problem],
        os=os_diagnose(context),
        unreachable={
            name: problem
            for name, address in list(peers.items())[:MAX_PEERS]
            if (problem := reach(address)) is not None
        },
    )


def _hypervisor(context: NodeContext, name: str, params: dict[str, Any]) -> list[str]:
    def ask() -> list[str]:
        with context.hypervisor(name) as plugin:
            return [*plugin.verify(params), *plugin.check_parameters(params)]

    try:
        return bounded(f"verify {name}", PATIENCE, ask)
    except GenericError as error:
        return [f"hypervisor {name}: {error}"]


def checksum(paths: Paths, name: str) -> str | None:
    """SHA-256 of one of the cluster's files in hexadecimal, None when it is not there."""
    try:
        with paths.under(name).open("rb") as file:
            return hashlib.sha256(file.read(MAX_FILE)).hexdigest()
    except OSError:
        return None


def reach(address: str, port: int = NODED_PORT) -> str | None:
    """Return why a node daemon cannot be reached, None when it can."""
    try:
        with socket.create_connection((address, port), timeout=RPC_CONNECT_TIMEOUT):
            return None
    except OSError as error:
        return error.strerror or str(error)
