"""Calls by which the master keeps a candidate's copy of its store, and by which it takes over."""

from __future__ import annotations

from typing import Final

from ganeti_kernel.config import datafile
from ganeti_kernel.config.replica import Batch, Changes, Position
from ganeti_kernel.config.ssconf import ssconf_values, write_ssconf
from ganeti_kernel.errors import GenericError
from ganeti_kernel.files import write_durably
from ganeti_kernel.node.context import NodeContext
from ganeti_kernel.node.copies import set_aside
from ganeti_kernel.node.files import CONFIG_MODE
from ganeti_kernel.node.registry import node_call
from ganeti_kernel.rpc.results import Promotion

SUBJECT: Final = "replica"


@node_call("replica_begin", subject=lambda _args: SUBJECT)
def replica_begin(context: NodeContext, run: str) -> None:
    """Begin a new copy; the old one stays until `replica_finish`."""
    if not context.services.master_runs():  # it is about to learn that it was replaced
        set_aside(context.paths)
    context.replica.begin(run)


@node_call("replica_add", subject=lambda _args: SUBJECT)
def replica_add(context: NodeContext, run: str, changes: Changes) -> None:
    """Add keys to the new copy."""
    context.replica.add(run, changes)


@node_call("replica_finish", subject=lambda _args: SUBJECT)
def replica_finish(
    context: NodeContext, run: str, transactions: list[Batch], position: Position
) -> None:
    """Complete the new copy, which stands at `position` then."""
    context.replica.finish(run, transactions, position)


@node_call("replica_follow", subject=lambda _args: SUBJECT)
def replica_follow(context: NodeContext, after: Position, transactions: list[Batch]) -> Position:
    """Apply transactions to the copy if it stands at `after`; returns where it stands now."""
    return context.replica.follow(after, transactions)


@node_call("replica_promote", subject=lambda _args: SUBJECT)
def replica_promote(context: NodeContext, epoch: int, with_jobs: bool) -> Promotion:
    """Make this node's copy the store of the new master, this node.

    Without `with_jobs` the store gets the newest configuration here, but no job: for a copy that
    may be old, whose jobs may long have ended otherwise.
    """
    promotion, view = context.replica.promote(context.name, epoch, with_jobs)
    try:
        write_durably(context.paths.config_file, datafile.dump(view), CONFIG_MODE)
    except OSError as error:
        raise GenericError(f"cannot write {error.filename}: {error.strerror}") from None
    write_ssconf(context.paths, ssconf_values(view))
    return promotion
