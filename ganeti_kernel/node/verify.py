"""The calls of `gnt-cluster verify`: what this node looks like from the inside."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from ganeti_kernel.config.ssconf import read_ssconf
from ganeti_kernel.constants import NODED_PORT, RPC_CONNECT_TIMEOUT
from ganeti_kernel.errors import ConfigurationError, GenericError, ResolverError
from ganeti_kernel.node import health
from ganeti_kernel.node.context import NodeContext, bounded
from ganeti_kernel.node.files import UPLOADS
from ganeti_kernel.node.guest_os import os_diagnose
from ganeti_kernel.node.info import PATIENCE, plugins_list
from ganeti_kernel.node.network import bridges_exist
from ganeti_kernel.node.registry import node_call
from ganeti_kernel.objects.guest import GuestDisk
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.resolve import resolve
from ganeti_kernel.rpc.results import DiskState, NodeReport, NodeState, StorageUnit
from ganeti_kernel.rpc.trust import CANDIDATE_SECRETS
from ganeti_kernel.specs.disk_template import SYNC_FAULTY
from ganeti_kernel.version import PROTOCOL_VERSION, SOFTWARE_VERSION

MAX_PEERS: Final = 64


@node_call("node_verify")
def node_verify(
    context: NodeContext,
    hypervisors: dict[str, dict[str, Any]] = {},  # noqa: B006 # read only
    bridges: list[str] = [],  # noqa: B006 # read only
    files: list[str] = [],  # noqa: B006 # read only
    peers: dict[str, str] = {},  # noqa: B006 # read only
    storage: list[StorageUnit] = [],  # noqa: B006 # read only
    executables: list[str] = [],  # noqa: B006 # read only
    master_ip: str = "",
) -> NodeReport:
    """Check what can only be checked here.

    `hypervisors` name -> cluster parameters; `files` of the upload list are hashed; `peers` (name
    -> address, at most MAX_PEERS) are resolved and tried on the node daemon's port; `storage`
    are the enabled templates, whose storage must be usable; `executables` must be there.
    """
    paths = context.paths
    try:
        cluster_name = read_ssconf(paths, "cluster_name").strip()
    except ConfigurationError:
        cluster_name = ""
    state, setup = _state(paths)
    some = dict(list(peers.items())[:MAX_PEERS])
    return NodeReport(
        protocol=PROTOCOL_VERSION,
        software=SOFTWARE_VERSION,
        cluster_name=cluster_name,
        time=time.time(),
        hypervisors={
            name: _hypervisor(context, name, params) for name, params in hypervisors.items()
        },
        bridges=bridges_exist(context, bridges),
        files={name: health.checksum(paths, name) for name in files if name in UPLOADS},
        ssconf=state.ssconf,
        config_serial=state.config_serial,
        certificates=[health.certificate_state(paths, name) for name in health.CERTIFICATES],
        plugins=[row for row in plugins_list(context) if row.problem],
        os=os_diagnose(context),
        unreachable=_problems(some, lambda _name, address: reach(address)),
        names=_problems(some, lambda name, address: _resolves(paths, name, address)),
        executables=_problems(
            dict.fromkeys(executables, ""),
            lambda name, _none: health.executable_problem(paths.under(name)),
        ),
        storage={unit.template: text for unit in storage if (text := _storage(context, unit))},
        storage_paths=health.forbidden_storage_paths(paths),
        setup=[*setup, *health.setup_problems(paths)],
        master_address=_master_address(context, master_ip) if master_ip else "",
        memory_free=_memory(context, hypervisors),
    )


@node_call("node_files")
def node_files(context: NodeContext) -> NodeState:
    """What the master wrote here last."""
    return _state(context.paths)[0]


def _state(paths: Paths) -> tuple[NodeState, list[str]]:
    """The node's copies, and what is wrong with them."""
    problems: list[str] = []
    serial = None
    try:
        serial = health.config_serial(paths)
    except ConfigurationError as error:
        problems.append(str(error))
    secrets = [f"/var/lib/ganeti/{name}" for name in sorted(CANDIDATE_SECRETS)]
    state = NodeState(
        ssconf=health.ssconf_sums(paths),
        config_serial=serial,
        files={name: health.checksum(paths, name) for name in secrets},
    )
    return state, problems


def _problems(asked: dict[str, str], check: Callable[[str, str], str | None]) -> dict[str, str]:
    return {name: text for name, value in asked.items() if (text := check(name, value))}


def _hypervisor(context: NodeContext, name: str, params: dict[str, Any]) -> list[str]:
    def ask() -> list[str]:
        with context.hypervisor(name) as plugin:
            return [*plugin.verify(params), *plugin.check_parameters(params)]

    try:
        return bounded(f"verify {name}", PATIENCE, ask)
    except GenericError as error:
        return [f"hypervisor {name}: {error}"]


def _memory(context: NodeContext, hypervisors: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Free memory, MiB; a hypervisor that cannot say is told by its own check already."""
    out: dict[str, int] = {}
    for name, params in hypervisors.items():

        def ask(name: str = name, params: dict[str, Any] = params) -> int:
            with context.hypervisor(name) as plugin:
                return plugin.node_resources(params).memory_free

        try:
            out[name] = bounded(f"memory of {name}", PATIENCE, ask)
        except GenericError:
            continue
    return out


def _storage(context: NodeContext, unit: StorageUnit) -> str | None:
    def ask() -> None:
        with context.template(unit.template) as plugin:
            if "space" in plugin.describe().features:
                plugin.space(unit.params, unit.directory)

    try:
        bounded(f"storage of {unit.template}", PATIENCE, ask)
    except GenericError as error:
        return str(error)
    return None


def reach(address: str, port: int = NODED_PORT) -> str | None:
    """Return why a node daemon cannot be reached, None when it can."""
    try:
        with socket.create_connection((address, port), timeout=RPC_CONNECT_TIMEOUT):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _resolves(paths: Paths, name: str, address: str) -> str | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        found = resolve(paths, name, family)[1]
    except ResolverError as error:
        return f"does not resolve: {error.args[-1]}"
    return None if found == address else f"resolves to {found}, not to {address}"


def _master_address(context: NodeContext, address: str) -> str:
    """Say why the master's address is not where it should be, "" when all is well."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if _is_master(context):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.bind((address, 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return "is not on the master node; gnt-cluster activate-master-ip brings it up"
            return f"cannot be used on the master node: {error.strerror}"
        return ""
    problem = reach(address)
    # a refused connection has been refused by somebody: the address is there
    if problem is None or problem == os.strerror(errno.ECONNREFUSED):
        return ""
    return f"cannot be reached: {problem}"


def _is_master(context: NodeContext) -> bool:
    try:
        return read_ssconf(context.paths, "master_node").strip() == context.name
    except ConfigurationError:
        return False


@node_call("disks_verify", subject=lambda _args: None)
def disks_verify(context: NodeContext, disks: list[GuestDisk]) -> list[DiskState]:
    """Look at many disks, in the order of the question; nothing is attached or changed."""
    return [_disk(context, disk) for disk in disks]


def _disk(context: NodeContext, disk: GuestDisk) -> DiskState:
    def ask() -> DiskState:
        with context.template(disk.dev_type) as plugin:
            if not plugin.exists(disk):
                return DiskState(exists=False)
            sync = plugin.sync_status(disk)
            return DiskState(
                exists=True,
                size=plugin.actual_size(disk),
                degraded=sync.degraded,
                problem="it is faulty" if sync.state == SYNC_FAULTY else "",
            )

    try:
        return bounded(f"disk {disk.uuid}", PATIENCE, ask)
    except GenericError as error:
        return DiskState(exists=True, problem=str(error))
