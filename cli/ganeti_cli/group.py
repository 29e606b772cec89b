"""The commands of gnt-group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from ganeti_cli import policy
from ganeti_cli.jobs import follow_result, job_options, run_opcode
from ganeti_cli.listing import Resource, list_command, list_fields_command
from ganeti_cli.options import JOB, options
from ganeti_cli.output import format_list, format_params

GROUPS = Resource(
    what="group",
    argument="GROUP",
    fields=("name", "node_cnt", "pinst_cnt", "alloc_policy", "ndparams"),
    environment=True,
    overrides={
        "tags": format_list,
        "node_list": format_list,
        "pinst_list": format_list,
        "ndparams": format_params,
    },
    units=False,
)

list_groups = list_command(GROUPS, "List node groups.")
list_fields = list_fields_command(GROUPS)


_PARAMETERS = ("ndparams", "diskparams", "hv_state", "disk_state")


def _settings(function: Callable[..., int]) -> Callable[..., int]:
    """The options that say how a group is to be."""
    policy_option = click.option(
        "--alloc-policy",
        type=click.Choice(["preferred", "last_resort", "unallocable"]),
        help="Whether new instances are placed here.",
    )
    for option in (
        options(*JOB),
        policy.inherited_options(*_PARAMETERS, *policy.POLICY),
        policy_option,
    ):
        function = option(function)
    return function


def _set(opcode: str, name: str, given: Mapping[str, Any]) -> Any:
    fields = policy.settings(given, *_PARAMETERS, "ipolicy")
    full = {"OP_ID": opcode, "group_name": name, "alloc_policy": given["alloc_policy"], **fields}
    return run_opcode(full, **job_options(given))


@click.command()
@click.argument("name", metavar="GROUP")
@_settings
def add(name: str, **given: Any) -> int:
    """Add a node group."""
    return follow_result(_set("OP_GROUP_ADD", name, given))


@click.command()
@click.argument("name", metavar="GROUP")
@_settings
def modify(name: str, **given: Any) -> int:
    """Change a node group; the parameter value `default` inherits the cluster's again."""
    changes = _set("OP_GROUP_SET_PARAMS", name, given)
    if changes:
        click.echo(f"Modified node group {name}")
        for parameter, value in changes:
            click.echo(f" - {parameter:<5} -> {value}")
    return 0


@click.command()
@click.argument("name", metavar="GROUP")
@options(*JOB)
def remove(name: str, **given: Any) -> int:
    """Remove a node group that has no nodes."""
    run_opcode({"OP_ID": "OP_GROUP_REMOVE", "group_name": name}, **job_options(given))
    return 0


@click.command()
@click.argument("name", metavar="GROUP")
@click.argument("new_name", metavar="NEW-NAME")
@options(*JOB)
def rename(name: str, new_name: str, **given: Any) -> int:
    """Rename a node group."""
    opcode = {"OP_ID": "OP_GROUP_RENAME", "group_name": name, "new_name": new_name}
    run_opcode(opcode, **job_options(given))
    return 0


@click.command()
@click.argument("name", metavar="GROUP")
@click.argument("nodes", nargs=-1, required=True, metavar="NODE...")
@options(*JOB, "force")
def assign_nodes(name: str, nodes: tuple[str, ...], **given: Any) -> int:
    """Move nodes to a node group."""
    opcode = {
        "OP_ID": "OP_GROUP_ASSIGN_NODES",
        "group_name": name,
        "nodes": list(nodes),
        "force": given["force"],
    }
    run_opcode(opcode, **job_options(given))
    return 0
