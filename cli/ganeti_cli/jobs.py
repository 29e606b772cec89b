"""Running a command's opcodes: submit, wait or not, print what upstream prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ganeti_cli import master
from ganeti_kernel import errors


def run_opcode(opcode: Mapping[str, Any], **options: Any) -> Any:
    """Run one opcode as a job; returns its result, or None when it was only submitted."""
    results = run_opcodes([opcode], **options)
    return None if results is None else results[0]


def run_opcodes(
    opcodes: Sequence[Mapping[str, Any]],
    *,
    submit_only: bool = False,
    print_jobid: bool = False,
    priority: int | None = None,
    dry_run: bool = False,
    reason: str | None = None,
    debug: int = 0,
) -> list[Any] | None:
    """Run opcodes as one job; returns their results, or None when it was only submitted.

    As upstream does, `JobID: N` goes to standard error, and the bare number to standard output.
    """
    ctx = click.get_current_context()
    program, _, command = ctx.command_path.partition(" ")
    common: dict[str, Any] = {}
    if debug:
        common["debug_level"] = debug
    if dry_run:
        common["dry_run"] = True
    if priority is not None:
        common["priority"] = priority
    full = [
        {**opcode, **common, "reason": master.reason_trail(program, command, reason)}
        for opcode in opcodes
    ]
    with master.connect() as client:
        job_id = client.submit_job(full)
        if print_jobid:
            click.echo(str(job_id))
        if submit_only:
            click.echo(f"JobID: {job_id}", err=True)
            return None
        return master.wait_job(client, job_id)


def follow(jobs: Sequence[Sequence[Any]]) -> list[errors.GenericError | list[Any]]:
    """Wait for jobs that a job submitted ([went well, id or error text] each).

    Returns for each what its opcodes returned, or why it failed.
    """
    numbers = [value for good, value in jobs if good]
    if numbers:
        click.echo(f"Submitted jobs {', '.join(map(str, numbers))}")
    outcomes: list[errors.GenericError | list[Any]] = []
    with master.connect() as client:
        for good, value in jobs:
            if not good:
                outcomes.append(errors.GenericError(f"a job could not be submitted: {value}"))
                continue
            click.echo(f"Waiting for job {value} ...")
            try:
                outcomes.append(master.wait_job(client, value))
            except errors.GenericError as error:
                outcomes.append(error)
    return outcomes


def job_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what `run_opcode` takes out of a command's options."""
    names = ("submit_only", "print_jobid", "priority", "dry_run", "reason", "debug")
    return {name: values[name] for name in names if name in values}
