"""What nodes answer, where no contract of a plugin says it already."""

from __future__ import annotations

from typing import Any

import msgspec

from ganeti_kernel.config.replica import Position, Record
from ganeti_kernel.specs.disk_template import StorageSpace
from ganeti_kernel.specs.hypervisor import NodeResources


class StorageUnit(msgspec.Struct, frozen=True, kw_only=True):
    """A place whose room is asked for: the template, its parameters and storage directory."""

    template: str
    params: dict[str, Any] = {}
    directory: str = ""


class NodeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of `node_info`. `storage` is in the order of the question, None: cannot say.

    `problems` has the reason for each hypervisor or template that could not answer.
    """

    bootid: str
    hypervisors: dict[str, NodeResources] = {}
    storage: list[StorageSpace | None] = []
    problems: list[str] = []


class OsStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One OS definition of a node. `diagnose` is empty when it is valid; `path` where it lies.

    A name can occur more than once on the search path; the first one is the one in use.
    """

    name: str
    path: str
    valid: bool
    diagnose: str = ""
    variants: list[str] = []
    parameters: list[tuple[str, str]] = []
    api_versions: list[int] = []
    trusted: bool = True


class ProviderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One ExtStorage provider of a node: a directory of scripts or a Python distribution.

    `path` is the directory, or the distribution's name and version.
    """

    name: str
    path: str
    valid: bool
    message: str = ""
    parameters: list[tuple[str, str]] = []


class PluginRow(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin of a node; `problem` is empty when it can be used."""

    kind: str
    name: str
    distribution: str
    problem: str = ""


class CertificateState(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate file of a node. `path` as without a root directory; `expires` is seconds
    since the epoch; `problem` says why the file cannot be used, empty when it can.
    """

    path: str
    fingerprint: str = ""
    expires: float = 0.0
    problem: str = ""


class DiskState(msgspec.Struct, frozen=True, kw_only=True):
    """A disk as it is on a node. `size` is bytes, None when it is not known.

    `problem` says what could not be found out, or what a mirrored disk suffers from.
    """

    exists: bool
    size: int | None = None
    degraded: bool = False
    problem: str = ""


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of `node_verify`. Problems are texts, empty lists mean all is well.

    `time` is the node's clock, seconds; `bridges` are missing ones; `files` have SHA-256 sums,
    None for a missing file; `ssconf` the sums of all ssconf files by key; `config_serial` that
    of the node's `config.data`, None without one; `plugins` only those that cannot be used;
    `unreachable` peers and `names` that do not resolve to the right address, with the reason;
    `executables` are programs that are missing or cannot be run, `storage` templates whose
    storage cannot be used; `memory_free` is MiB by hypervisor.
    """

    protocol: int
    software: str
    cluster_name: str
    time: float
    hypervisors: dict[str, list[str]] = {}
    bridges: list[str] = []
    files: dict[str, str | None] = {}
    ssconf: dict[str, str] = {}
    config_serial: int | None = None
    certificates: list[CertificateState] = []
    plugins: list[PluginRow] = []
    os: list[OsStatus] = []
    unreachable: dict[str, str] = {}
    names: dict[str, str] = {}
    executables: dict[str, str] = {}
    storage: dict[str, str] = {}
    storage_paths: list[str] = []
    setup: list[str] = []
    master_address: str = ""
    memory_free: dict[str, int] = {}


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of `node_files`: what the master writes onto a node; fields as in NodeReport.

    `files` has only what master candidates alone have.
    """

    files: dict[str, str | None] = {}
    ssconf: dict[str, str] = {}
    config_serial: int | None = None


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a command of an administrator ended; `code` below 0 is a signal."""

    code: int
    output: str


class FileEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What a file that is sent in parts is when all are there; `mtime` in seconds."""

    sha256: str
    mode: int
    uid: int
    gid: int
    mtime: float


class MasterState(msgspec.Struct, frozen=True, kw_only=True):
    """What a node knows of the master, and how new what it keeps is.

    `epoch`: the highest term it has obeyed; `serial`: of the newest configuration it has, 0 without
    one; `position`, `run`: its copy of the master's store, and the run of a master daemon that last
    wrote to it (`problem`: why it is unusable); `record`: the newest list of complete copies it
    was told; `serving`: a master daemon runs there.
    """

    master: str
    epoch: int
    serial: int = 0
    position: Position = Position()
    run: str = ""
    record: Record = Record()
    serving: bool = False
    problem: str = ""


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate has made its copy the store: the configuration's serial number, jobs to end."""

    serial: int
    jobs: int


class HookResult(msgspec.Struct, frozen=True, array_like=True):
    """One hook script: `<path>-<phase>.d/<script>`, HOOK_* and its output."""

    script: str
    code: int
    output: str


HOOK_SKIPPED = 0
HOOK_FAILED = 1
HOOK_SUCCESS = 2
"""Codes of a hook script (upstream 3.0)."""
