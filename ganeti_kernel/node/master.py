"""Calls by which a master comes, goes, and learns whether it still is one."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from ganeti_kernel.config import datafile
from ganeti_kernel.config.replica import Position, Record, read_record, write_record
from ganeti_kernel.config.ssconf import read_ssconf
from ganeti_kernel.errors import ConfigurationError, GenericError, ParameterError, StoreError
from ganeti_kernel.files import write_durably
from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.copies import set_aside
from ganeti_kernel.node.files import SECRET
from ganeti_kernel.node.registry import node_call
from ganeti_kernel.node.replica import SUBJECT
from ganeti_kernel.rpc.certificates import check_identity, check_name
from ganeti_kernel.rpc.epoch import read_epoch
from ganeti_kernel.rpc.results import MasterState
from ganeti_kernel.rpc.trust import CANDIDATE_SECRETS

log = logging.getLogger(__name__)


@node_call("master_node")
def master_node(context: NodeContext) -> str:
    """Name of the master as this node knows it."""
    return read_ssconf(context.paths, "master_node").strip()


@node_call("master_state")
def master_state(context: NodeContext) -> MasterState:
    """What this node knows of the master, and how new its own copies are."""
    try:
        master = read_ssconf(context.paths, "master_node").strip()
    except ConfigurationError:
        master = ""
    position, problem, serial, run = Position(), "", 0, ""
    try:
        position, serial, run = context.replica.state()
    except StoreError as error:
        problem = str(error)
    with contextlib.suppress(ConfigurationError):  # not a candidate
        serial = max(serial, datafile.load(context.paths.config_file).serial_no)
    return MasterState(
        master=master,
        epoch=read_epoch(context.paths),
        serial=serial,
        position=position,
        run=run,
        record=read_record(context.paths),
        serving=context.services.master_runs(),
        problem=problem,
    )


@node_call("replicas_write", subject=lambda _args: "replicas")
def replicas_write(context: NodeContext, record: Record) -> None:
    """Note which candidates have everything that was acknowledged."""
    try:
        write_record(context.paths, record)
    except OSError as error:
        raise GenericError(f"cannot write {error.filename}: {error.strerror}") from None


@node_call("master_obey", subject=lambda _args: "master")
def master_obey(_context: NodeContext) -> None:
    """Do nothing: that the call was taken means that no older master is obeyed any more."""


@node_call("master_stop", subject=lambda _args: SUBJECT)
def master_stop(context: NodeContext) -> list[str]:
    """Stop what only a master runs, jobs included, and put its store aside.

    Returns what was ended.
    """
    ended = list(context.services.stop_master())
    set_aside(context.paths)
    return ended


@node_call("candidate_enter", subject=lambda _args: "candidate")
def candidate_enter(context: NodeContext, files: dict[str, str]) -> None:
    """Give this node the secrets that a master needs: file name -> content."""
    unknown = sorted(set(files) - CANDIDATE_SECRETS)
    if unknown:
        raise ParameterError(f"{unknown[0][:100]!r} is no secret of master candidates")
    for name, content in files.items():
        path = context.paths.data_dir / name
        try:
            write_durably(path, content.encode(), SECRET)
        except OSError as error:
            raise GenericError(f"cannot write {path}: {error.strerror}") from None


@node_call("candidate_leave", subject=lambda _args: SUBJECT)
def candidate_leave(context: NodeContext) -> None:
    """Take away what only master candidates have: secrets and copies of the state."""
    context.replica.discard()
    secrets: list[Path] = [context.paths.data_dir / name for name in sorted(CANDIDATE_SECRETS)]
    for path in (*secrets, context.paths.config_file):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise GenericError(f"cannot remove {path}: {error.strerror}") from None


@node_call("identity_write", subject=lambda _args: "identity")
def identity_write(context: NodeContext, certificate: str) -> None:
    """Give this node a new key and certificate, PEM; connections use it from the next one on."""
    paths = context.paths
    try:
        check_identity(paths.ca_file.read_bytes(), certificate.encode())
        check_name(certificate.encode(), context.name)
        write_durably(paths.node_certificate, certificate.encode(), SECRET)
    except OSError as error:
        raise GenericError(f"cannot write {error.filename}: {error.strerror}") from None


@node_call("daemons_reload")
def daemons_reload(context: NodeContext, names: list[str]) -> None:
    """Have daemons of this node, if they run, read their files again."""
    for name in names:
        context.services.reload(name)
