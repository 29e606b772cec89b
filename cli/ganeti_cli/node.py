"""The commands of gnt-node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ganeti_cli import master, policy, values
from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.listing import Resource, list_command, list_fields_command
from ganeti_cli.options import options
from ganeti_cli.output import Pairs, format_list, format_params, tree
from ganeti_kernel import errors

NODES = Resource(
    what="node",
    argument="NODE",
    fields=("name", "dtotal", "dfree", "mtotal", "mnode", "mfree", "pinst_cnt", "sinst_cnt"),
    overrides={
        "tags": format_list,
        "pinst_list": format_list,
        "sinst_list": format_list,
        "ndparams": format_params,
    },
)

list_nodes = list_command(NODES, "List nodes with what they have and have left.")
list_fields = list_fields_command(NODES)

_INFO_FIELDS = (
    "name", "pip", "sip", "master_candidate", "drained", "offline", "master_capable",
    "vm_capable", "powered", "pinst_list", "sinst_list", "ndparams", "custom_ndparams",
)  # fmt: skip


@click.command()
@click.argument("name", metavar="NODE")
@click.option("-s", "--secondary-ip", metavar="ADDRESS", help="Address of the data network.")
@click.option("--readd", is_flag=True, help="The node is known and was installed anew.")
@click.option(
    "--no-node-setup",
    "node_setup",
    flag_value=False,
    default=True,
    type=bool,
    help="The node was prepared already.",
)
@click.option("--no-ssh-key-check", is_flag=True, help="Accepted; ssh's own settings decide.")
@click.option("--force-join", is_flag=True, help="Accepted; a node of another cluster is refused.")
@click.option("--master-capable", type=values.YES_NO, help="May become master.")
@click.option("--vm-capable", type=values.YES_NO, help="May run instances.")
@click.option("-v", "--verbose", is_flag=True, help="Accepted; the job says what it does.")
@policy.inherited_options("ndparams", *policy.STATES)
@options("nodegroup", "priority")
def add(name: str, **given: Any) -> int:
    """Add a node: prepare it (keys, certificate, configuration, daemon) and take it in.

    The node is reached with ssh as root, or with the program /etc/ganeti/remote-shell when the
    site has one.
    """
    opcode = {
        "OP_ID": "OP_NODE_ADD",
        "node_name": name,
        "secondary_ip": given["secondary_ip"],
        "readd": given["readd"],
        "group": given["nodegroup"],
        "master_capable": given["master_capable"],
        "vm_capable": given["vm_capable"],
        "node_setup": given["node_setup"],
        **policy.settings(given, "ndparams", *policy.STATES),
    }
    run_opcode(opcode, **job_options(given))
    return 0


@click.command()
@click.argument("name", metavar="NODE")
@options("dry_run", "priority")
def remove(name: str, **given: Any) -> int:
    """Remove a node that has no instances."""
    run_opcode({"OP_ID": "OP_NODE_REMOVE", "node_name": name}, **job_options(given))
    return 0


@click.command()
@click.argument("names", nargs=-1, metavar="[NODE...]")
@options()
def info(names: tuple[str, ...], **_given: Any) -> int:
    """Show everything about nodes."""
    with master.connect(query=True) as client:
        qfilter = ["|", *(["=", "name", name] for name in names)] if names else None
        answer = client.query("node", list(_INFO_FIELDS), qfilter)
    rows = [
        {field: value for field, (_status, value) in zip(_INFO_FIELDS, row, strict=True)}
        for row in answer["data"]
    ]
    known = {row["name"] for row in rows}
    missing = [name for name in names if not _matches(name, known)]
    if rows:
        click.echo("\n".join(tree([describe(row) for row in rows])))
    if missing:
        raise errors.OpPrereqError(f"Node '{missing[0]}' not known", errors.ECODE_NOENT)
    return 0


def _matches(name: str, known: set[str]) -> bool:
    return any(full == name or full.startswith(name + ".") for full in known)


def describe(row: Mapping[str, Any]) -> Pairs:
    """Lay out one node's fields."""
    own, filled = row["custom_ndparams"] or {}, row["ndparams"] or {}
    return Pairs(
        [
            ("Node name", row["name"]),
            ("primary ip", row["pip"]),
            ("secondary ip", row["sip"]),
            ("master candidate", row["master_candidate"]),
            ("drained", row["drained"]),
            ("offline", row["offline"]),
            ("master_capable", row["master_capable"]),
            ("vm_capable", row["vm_capable"]),
            *(
                [
                    ("primary for instances", row["pinst_list"] or []),
                    ("secondary for instances", row["sinst_list"] or []),
                ]
                if row["vm_capable"]
                else []
            ),
            (
                "node parameters",
                Pairs(
                    (key, str(own[key]) if key in own else f"default ({filled[key]})")
                    for key in sorted(filled)
                ),
            ),
        ]
    )
