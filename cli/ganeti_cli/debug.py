"""The commands of gnt-debug."""

from __future__ import annotations

import time
from typing import Any

import click

from ganeti_cli import listing, master
from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.options import JOB, options
from ganeti_cli.output import format_list, format_time
from ganeti_kernel import errors


@click.command()
@click.argument("duration", type=float, metavar="SECONDS")
@click.option("--no-master", "on_master", flag_value=False, default=True, type=bool)
@click.option("-n", "on_nodes", multiple=True, metavar="NODE", help="Wait on this node; repeat.")
@click.option("-r", "--repeat", type=click.IntRange(min=0), default=0, help="How many times.")
@click.option("-l", "--no-locks", is_flag=True, help="Do not lock the nodes.")
@options(*JOB)
def delay(duration: float, **given: Any) -> int:
    """Run a job that only waits, on the master and on nodes."""
    opcode = {
        "OP_ID": "OP_TEST_DELAY",
        "duration": duration,
        "on_master": given["on_master"],
        "on_nodes": list(given["on_nodes"]),
        "repeat": given["repeat"],
        "no_locks": given["no_locks"],
    }
    run_opcode(opcode, **job_options(given))
    return 0


def _unavailable(name: str) -> click.Command:
    @click.command(name, context_settings={"ignore_unknown_options": True})
    @click.argument("words", nargs=-1)
    @options()
    def command(words: tuple[str, ...], **_given: Any) -> int:
        del words  # whatever was asked for, the answer is the same
        raise errors.OpPrereqError(f"gnt-debug {name} is not available yet", errors.ECODE_STATE)

    return command


iallocator, metad, submit_job, test_osparams, wconfd = map(
    _unavailable,
    ("iallocator", "metad", "submit-job", "test-osparams", "wconfd"),
)


def format_pending(value: Any) -> str:
    """`[[mode, [owner, …]], …]` as `mode:owner,owner`."""
    return " ".join(f"{mode}:{format_list(owners)}" for mode, owners in value or ())


def format_waits(value: Any) -> str:
    """`[[job, mode, since, [job it is behind, …]], …]` as a person reads it."""
    return "; ".join(
        f"{job} ({mode}) since {format_time([int(since), 0])}"
        + (f" behind job {', '.join(map(str, behind))}" if behind else "")
        for job, mode, since, behind in value or ()
    )


LOCKS = listing.Resource(
    what="lock",
    argument="LOCK",
    fields=("name", "mode", "owner", "pending"),
    overrides={
        "mode": lambda value: str(value or "-"),
        "owner": lambda value: format_list(value) if value else "-",
        "pending": lambda value: format_pending(value) or "-",
        "waits": lambda value: format_waits(value) or "-",
    },
)


@click.command()
@click.option("--interval", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Repeat.")
@options("no_headers", "separator", "output", "verbose")
def locks(interval: float | None, **given: Any) -> int:
    """List locks, who holds them and who waits for them."""
    fields = listing.choose_fields(LOCKS.fields, given["output"])
    while True:
        with master.connect(query=True) as client:
            code = listing.show(client.query(LOCKS.what, fields), LOCKS, given)
        if interval is None or code:
            return code
        click.echo()
        time.sleep(interval)
