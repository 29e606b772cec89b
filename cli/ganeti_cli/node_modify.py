"""gnt-node modify."""

from __future__ import annotations

from typing import Any, Final

import click

from ganeti_cli import policy, values
from ganeti_cli.app import Misuse
from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.options import JOB, options

_FIELDS: Final = (
    "master_candidate", "drained", "offline", "master_capable", "vm_capable", "secondary_ip",
    "powered",
)  # fmt: skip


@click.command()
@click.argument("name", metavar="NODE")
@click.option("-C", "--master-candidate", type=values.YES_NO, help="Keeps the configuration.")
@click.option("-D", "--drained", type=values.YES_NO, help="Takes no new instances.")
@click.option("-O", "--offline", type=values.YES_NO, help="Is not called at all.")
@click.option("--master-capable", type=values.YES_NO, help="May become master.")
@click.option("--vm-capable", type=values.YES_NO, help="May run instances.")
@click.option("-s", "--secondary-ip", metavar="ADDRESS", help="Address of the data network.")
@click.option("--auto-promote", is_flag=True, help="Promote others to keep the pool full.")
@click.option("--node-powered", "powered", type=values.YES_NO, help="Note the power state.")
@policy.inherited_options("ndparams", *policy.STATES)
@options(*JOB, "force")
def modify(name: str, **given: Any) -> int:
    """Change a node's role, abilities, address or parameters."""
    chosen = {field: given[field] for field in _FIELDS if given[field] is not None}
    params = policy.settings(given, "ndparams", *policy.STATES)
    chosen |= {key: value for key, value in params.items() if value is not None}
    if not chosen:
        raise Misuse("Please give at least one of the parameters.")
    opcode = {
        "OP_ID": "OP_NODE_SET_PARAMS",
        "node_name": name,
        "force": given["force"],
        "auto_promote": given["auto_promote"],
        **chosen,
    }
    changed = run_opcode(opcode, **job_options(given))
    if changed:
        click.echo(f"Modified node {name}")
        for field, value in changed:
            click.echo(f" - {field:<5} -> {value}")
    return 0
