"""gnt-instance remove."""

from __future__ import annotations

from typing import Any

import click

from ganeti_cli import master
from ganeti_cli.asking import confirm
from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.options import JOB, options
from ganeti_kernel import errors


@click.command()
@click.argument("name", metavar="INSTANCE")
@click.option("--ignore-failures", is_flag=True, help="Remove it even if disks stay behind.")
@options(*JOB, "force", "shutdown_timeout")
def remove(name: str, **given: Any) -> int:
    """Shut an instance down and remove it with all its data."""
    if not given["force"]:
        with master.connect() as client:
            rows = client.query("instance", ["name"], ["=", "name", name])["data"]
        if not rows:
            raise errors.OpPrereqError(f"Instance '{name}' not known", errors.ECODE_NOENT)
        question = f"This will remove the volumes of the instance {name}. Continue?"
        confirm(question, "--force")
    run_opcode(
        {
            "OP_ID": "OP_INSTANCE_REMOVE",
            "instance_name": name,
            "ignore_failures": given["ignore_failures"],
            "shutdown_timeout": given["shutdown_timeout"],
        },
        **job_options(given),
    )
    return 0
