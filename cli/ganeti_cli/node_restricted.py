"""gnt-node restricted-command."""

from __future__ import annotations

from typing import Any

import click

from ganeti_cli import master
from ganeti_cli.app import Finish
from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.options import options
from ganeti_kernel import errors
from ganeti_kernel.constants import EXIT_FAILURE

RULE = "-" * 48


def online_nodes(names: tuple[str, ...], group: str | None) -> list[str]:
    """Full names of the online nodes among those named, or of a group; offline ones are told."""
    if not names and group is None:
        raise errors.OpPrereqError("Node group or node names must be given", errors.ECODE_INVAL)
    parts: list[Any] = []
    if names:
        parts.append(["|", *(["=", "name", name] for name in names)])
    if group is not None:
        parts.append(["|", ["=", "group", group], ["=", "group.uuid", group]])
    qfilter = parts[0] if len(parts) == 1 else ["&", *parts]
    with master.connect(query=True) as client:
        rows = client.query("node", ["name", "offline"], qfilter)["data"]
    offline = [row[0][1] for row in rows if row[1][1]]
    if offline:
        click.echo(f"Note: skipping offline node(s): {', '.join(offline)}", err=True)
    return [row[0][1] for row in rows if not row[1][1]]


@click.command("restricted-command")
@click.argument("command", metavar="COMMAND")
@click.argument("names", nargs=-1, metavar="[NODE...]")
@click.option("--sync", "locking", is_flag=True, help="Hold the nodes' locks meanwhile.")
@click.option("-M", "--show-machine-names", is_flag=True, help="Put the node before each line.")
@options("nodegroup", "priority", "submit", "print_jobid")
def restricted_command(
    command: str,
    names: tuple[str, ...],
    locking: bool,
    show_machine_names: bool,
    nodegroup: str | None,
    **given: Any,
) -> int:
    """Run a command on nodes whose administrator allows it there.

    Commands lie in /etc/ganeti/restricted-commands of each node; the file
    /etc/ganeti/enable-restricted-commands switches them on.
    """
    nodes = online_nodes(names, nodegroup)
    if not nodes:
        raise errors.OpPrereqError("No online nodes to run the command on", errors.ECODE_STATE)
    opcode = {
        "OP_ID": "OP_RESTRICTED_COMMAND",
        "command": command,
        "nodes": nodes,
        "use_locking": locking,
    }
    results = run_opcode(opcode, **job_options(given))
    if results is None:
        return 0
    for node, (good, text) in zip(nodes, results, strict=True):
        click.echo(RULE)
        if not good:
            click.echo(text)
        elif show_machine_names:
            for line in text.splitlines():
                click.echo(f"{node}: {line}")
        else:
            click.echo(f"Node: {node}\n{text}")
    if not all(good for good, _text in results):
        raise Finish(EXIT_FAILURE)
    return 0
