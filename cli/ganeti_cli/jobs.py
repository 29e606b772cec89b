"""Running a command's opcode: submit, wait or not, print what upstream prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ganeti_cli import master


def run_opcode(
    opcode: Mapping[str, Any],
    *,
    submit_only: bool = False,
    print_jobid: bool = False,
    priority: int | None = None,
    dry_run: bool = False,
    reason: str | None = None,
    debug: int = 0,
) -> Any:
    """Run one opcode as a job; returns its result, or None when it was only submitted."""
    ctx = click.get_current_context()
    program, _, command = ctx.command_path.partition(" ")
    full: dict[str, Any] = dict(opcode)
    full["reason"] = master.reason_trail(program, command, reason)
    if debug:
        full["debug_level"] = debug
    if dry_run:
        full["dry_run"] = True
    if priority is not None:
        full["priority"] = priority
    with master.connect() as client:
        if submit_only:
            job_id = client.submit_job([full])
            click.echo(str(job_id) if print_jobid else f"JobID: {job_id}")
            return None
        return master.run_job(client, [full])[0]


def job_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what `run_opcode` takes out of a command's options."""
    names = ("submit_only", "print_jobid", "priority", "dry_run", "reason", "debug")
    return {name: values[name] for name in names if name in values}
