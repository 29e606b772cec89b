"""Running a command's opcodes: submit, wait or not, print what upstream prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ganeti_cli import master
from ganeti_cli.failures import explain
from ganeti_kernel import errors
from ganeti_kernel.constants import EXIT_FAILURE


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
    full = complete(opcodes, priority=priority, dry_run=dry_run, reason=reason, debug=debug)
    with master.connect() as client:
        job_id = client.submit_job(full)
        if print_jobid:
            click.echo(str(job_id))
        if submit_only:
            click.echo(f"JobID: {job_id}", err=True)
            return None
        return master.wait_job(client, job_id)


def complete(
    opcodes: Sequence[Mapping[str, Any]],
    *,
    priority: int | None = None,
    dry_run: bool = False,
    reason: str | None = None,
    debug: int = 0,
) -> list[dict[str, Any]]:
    """Opcodes with the fields that every command's options set."""
    ctx = click.get_current_context()
    program, _, command = ctx.command_path.partition(" ")
    common: dict[str, Any] = {}
    if debug:
        common["debug_level"] = debug
    if dry_run:
        common["dry_run"] = True
    if priority is not None:
        common["priority"] = priority
    return [
        {**opcode, **common, "reason": master.reason_trail(program, command, reason)}
        for opcode in opcodes
    ]


def follow(jobs: Sequence[Sequence[Any]], names: Sequence[str] = ()) -> int:
    """Wait for submitted jobs ([went well, id or error text] each); returns how many failed.

    `names`: what each is for. Each failure is told when it is seen (upstream 3.0's form).
    """
    whose = [f" for {name}" for name in names] or [""] * len(jobs)
    numbers = [str(value) for good, value in jobs if good]
    if numbers:
        click.echo(f"Submitted jobs {', '.join(numbers)}")
    failed = 0
    with master.connect() as client:
        for (good, value), what in zip(jobs, whose, strict=True):
            if not good:
                click.echo(f"Failed to submit job{what}: {value}", err=True)
                failed += 1
                continue
            click.echo(f"Waiting for job {value}{what} ...")
            try:
                master.wait_job(client, value)
            except errors.GenericError as error:
                click.echo(f"Job {value}{what} has failed: {explain(error)[0]}", err=True)
                failed += 1
    return failed


def follow_result(result: Mapping[str, Any] | None) -> int:
    """Wait for the jobs that an opcode's result names, if any; returns the exit code."""
    return EXIT_FAILURE if result and follow(result["jobs"]) else 0


def job_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what `run_opcode` takes out of a command's options."""
    names = ("submit_only", "print_jobid", "priority", "dry_run", "reason", "debug")
    return {name: values[name] for name in names if name in values}
