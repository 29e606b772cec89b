"""gnt-instance activate-disks and deactivate-disks."""

from __future__ import annotations

from typing import Any

import click

from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.options import options


@click.command("activate-disks")
@click.argument("name", metavar="INSTANCE")
@click.option("--ignore-size", is_flag=True, help="Whatever size is on record.")
@click.option("--wait-for-sync", is_flag=True, help="Wait until copies agree.")
@options("submit", "print_jobid", "priority")
def activate(name: str, ignore_size: bool, wait_for_sync: bool, **given: Any) -> int:
    """Make an instance's disks usable without starting it; show node, disk and device."""
    found = run_opcode(
        {
            "OP_ID": "OP_INSTANCE_ACTIVATE_DISKS",
            "instance_name": name,
            "ignore_size": ignore_size,
            "wait_for_sync": wait_for_sync,
        },
        **job_options(given),
    )
    for node, disk, path in found or ():
        click.echo(f"{node}:{disk}:{path}")
    return 0


@click.command("deactivate-disks")
@click.argument("name", metavar="INSTANCE")
@options("force", "submit", "print_jobid", "dry_run", "priority")
def deactivate(name: str, force: bool, **given: Any) -> int:
    """Take an instance's disks out of use."""
    run_opcode(
        {"OP_ID": "OP_INSTANCE_DEACTIVATE_DISKS", "instance_name": name, "force": force},
        **job_options(given),
    )
    return 0
