"""gnt-node power, health, powercycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click

from ganeti_cli import output
from ganeti_cli.app import Finish, Misuse
from ganeti_cli.asking import confirm
from ganeti_cli.jobs import job_options, run_opcodes
from ganeti_cli.options import JOB, options
from ganeti_kernel.constants import EXIT_FAILURE, EXIT_USAGE

COMMANDS: Final = {
    "on": "power-on",
    "off": "power-off",
    "cycle": "power-cycle",
    "status": "power-status",
}
_ASKS: Final = ("off", "cycle")
"""What cuts off who works there: asked before, and never done to all nodes at once."""

_timeout = click.option(
    "--oob-timeout",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long the helper may take for a node.",
)


@click.command()
@click.argument("command", metavar="on|off|cycle|status")
@click.argument("names", nargs=-1, metavar="[NODE...]")
@click.option("--auto-promote", is_flag=True, help="Promote others to keep the pool full.")
@click.option("--ignore-status", is_flag=True, help="Switch off nodes that are not offline.")
@click.option(
    "--power-delay",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Pause between nodes that are switched on.",
)
@_timeout
@options("submit", "print_jobid", "priority", "force", "no_headers", "separator")
def power(command: str, names: tuple[str, ...], **given: Any) -> int:
    """Switch nodes on or off, reset them, or ask whether they have power.

    The node parameter oob_program names the helper that can do it. `off` marks the nodes offline
    first.
    """
    if command not in COMMANDS:
        raise Misuse(f"power subcommand {command} not supported; there are {', '.join(COMMANDS)}")
    if command in _ASKS:
        if not names:
            raise Misuse("Please provide at least one node for this command")
        if not given["force"]:
            confirm(f"This will power {command} {', '.join(names)}. Continue?", "--force")
    opcodes: list[dict[str, Any]] = []
    if command == "off":
        opcodes = [
            {
                "OP_ID": "OP_NODE_SET_PARAMS",
                "node_name": name,
                "offline": True,
                "auto_promote": given["auto_promote"],
            }
            for name in names
        ]
    opcodes.append(
        {
            "OP_ID": "OP_OOB_COMMAND",
            "node_names": list(names),
            "command": COMMANDS[command],
            "ignore_status": given["ignore_status"],
            "timeout": given["oob_timeout"],
            "power_delay": given["power_delay"],
        }
    )
    results = run_opcodes(opcodes, **job_options(given))
    return 0 if results is None else _show(results[-1], _power_words, given)


def _power_words(data: Any) -> list[str]:
    if data is None:
        return ["invoked"]
    return ["powered" if data["powered"] else "unpowered"]


@click.command()
@click.argument("names", nargs=-1, metavar="[NODE...]")
@_timeout
@options("no_headers", "separator", "priority")
def health(names: tuple[str, ...], **given: Any) -> int:
    """Ask the helper of nodes how their hardware is."""
    opcode = {
        "OP_ID": "OP_OOB_COMMAND",
        "node_names": list(names),
        "command": "health",
        "timeout": given["oob_timeout"],
    }
    results = run_opcodes([opcode], **job_options(given)) or [[]]
    return _show(results[-1], _health_words, given)


def _health_words(data: Any) -> list[str]:
    return [f"{item}={status}" for item, status in data] or ["(no items)"]


def _show(rows: Sequence[Any], words: Callable[[Any], list[str]], given: Mapping[str, Any]) -> int:
    """Print a table of nodes and words; exit code 1 when a node has no helper or it failed."""
    cells: list[list[str]] = []
    failed = False
    for (_status, name), (status, data) in rows:
        good = status == output.STATUS_NORMAL
        failed = failed or not good
        texts = words(data) if good else [output.STATUS_WORDS.get(status, "(unknown)")]
        cells += [["" if index else name, text] for index, text in enumerate(texts)]
    lines = output.table(
        [output.Column("Node"), output.Column("Status")],
        cells,
        headers=not given["no_headers"],
        separator=given["separator"],
        pad_header=True,
    )
    click.echo("\n".join(lines), nl=bool(lines))
    if failed:
        raise Finish(EXIT_FAILURE)
    return 0


@click.command()
@click.argument("name", metavar="NODE")
@click.option("--yes", "confirmed", is_flag=True, help="Do not ask.")
@options(*JOB, "force")
def powercycle(name: str, confirmed: bool, **given: Any) -> int:
    """Reset a node hard, through its hypervisor, shutting nothing down.

    What runs there is lost. --force is for the master node.
    """
    if not confirmed and not given["dry_run"]:
        confirm(f"Are you sure you want to hard powercycle node {name}?", "--yes", code=EXIT_USAGE)
    opcode = {"OP_ID": "OP_NODE_POWERCYCLE", "node_name": name, "force": given["force"]}
    results = run_opcodes([opcode], **job_options(given))
    if results and results[0]:
        click.echo(results[0], err=True)
    return 0
