"""gnt-node list-storage, volumes, modify-storage, repair-storage, list-drbd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from ganeti_cli import output, values
from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.listing import choose_fields
from ganeti_cli.options import JOB, options

UNIT_COLUMNS: Final = {
    "node": "Node",
    "type": "Type",
    "name": "Name",
    "size": "Size",
    "used": "Used",
    "free": "Free",
    "allocatable": "Allocatable",
}
VOLUME_COLUMNS: Final = {
    "node": "Node",
    "phys": "PhysDev",
    "vg": "VG",
    "name": "Name",
    "size": "Size",
    "instance": "Instance",
}
DRBD_COLUMNS: Final = {
    "node": "Node",
    "minor": "Minor",
    "instance": "Instance",
    "disk": "Disk",
    "role": "Role",
    "peer": "PeerNode",
}
_SIZES: Final = ("size", "used", "free")
_NUMBERS: Final = (*_SIZES, "minor")


def show(
    titles: Mapping[str, str],
    fields: Sequence[str],
    rows: Sequence[Sequence[Any]],
    given: Mapping[str, Any],
) -> None:
    """Print rows as upstream's older listings do."""
    units = given.get("units") or ("h" if given["separator"] is None else "m")
    cells = [
        [_cell(field, value, units) for field, value in zip(fields, row, strict=True)]
        for row in rows
    ]
    columns = [output.Column(titles[field], field in _NUMBERS) for field in fields]
    lines = output.table(
        columns,
        cells,
        headers=not given["no_headers"],
        separator=given["separator"],
        pad_header=True,
    )
    click.echo("\n".join(lines), nl=bool(lines))


def _cell(field: str, value: Any, units: str) -> str:
    if field in _SIZES:
        return output.format_unit(value, units)
    if isinstance(value, bool):
        return "Y" if value else "N"
    return str(value)


@click.command()
@click.argument("names", nargs=-1, metavar="[NODE...]")
@click.option(
    "-t",
    "--storage-type",
    metavar="TYPE",
    help="Type of units, e.g. file, lvm-pv, lvm-vg; default: that of the first disk template.",
)
@options("no_headers", "separator", "units", "output", "priority")
def list_storage(names: tuple[str, ...], storage_type: str | None, **given: Any) -> int:
    """List the places where nodes keep disks, with their room as it is now."""
    fields = choose_fields(tuple(UNIT_COLUMNS), given["output"])
    opcode = {
        "OP_ID": "OP_NODE_QUERY_STORAGE",
        "nodes": list(names),
        "storage_type": storage_type,
        "output_fields": fields,
    }
    show(UNIT_COLUMNS, fields, run_opcode(opcode, **job_options(given)), given)
    return 0


@click.command()
@click.argument("names", nargs=-1, metavar="[NODE...]")
@options("no_headers", "separator", "units", "output", "priority")
def volumes(names: tuple[str, ...], **given: Any) -> int:
    """List the volumes that are on nodes; `-` stands where no instance owns one."""
    fields = choose_fields(tuple(VOLUME_COLUMNS), given["output"])
    opcode = {"OP_ID": "OP_NODE_QUERYVOLS", "nodes": list(names), "output_fields": fields}
    show(VOLUME_COLUMNS, fields, run_opcode(opcode, **job_options(given)), given)
    return 0


@click.command()
@click.argument("node", metavar="NODE")
@click.argument("storage_type", metavar="TYPE")
@click.argument("name", metavar="UNIT")
@click.option("--allocatable", type=values.YES_NO, help="Whether new volumes may be made there.")
@options(*JOB)
def modify_storage(
    node: str, storage_type: str, name: str, allocatable: bool | None, **given: Any
) -> int:
    """Change a storage unit of a node."""
    if allocatable is None:
        click.echo("No changes to perform, exiting.", err=True)
        return 0
    opcode = {
        "OP_ID": "OP_NODE_MODIFY_STORAGE",
        "node_name": node,
        "storage_type": storage_type,
        "name": name,
        "changes": {"allocatable": allocatable},
    }
    run_opcode(opcode, **job_options(given))
    return 0


@click.command()
@click.argument("node", metavar="NODE")
@click.argument("storage_type", metavar="TYPE")
@click.argument("name", metavar="UNIT")
@click.option("--ignore-consistency", is_flag=True, help="Also when other copies are not sound.")
@options(*JOB)
def repair_storage(
    node: str, storage_type: str, name: str, ignore_consistency: bool, **given: Any
) -> int:
    """Make a storage unit of a node consistent again."""
    opcode = {
        "OP_ID": "OP_REPAIR_NODE_STORAGE",
        "node_name": node,
        "storage_type": storage_type,
        "name": name,
        "ignore_consistency": ignore_consistency,
    }
    run_opcode(opcode, **job_options(given))
    return 0


@click.command()
@click.argument("node", metavar="NODE")
@options("no_headers", "separator")
def list_drbd(node: str, **given: Any) -> int:
    """List the DRBD minors of a node, asking confd on the master candidates."""
    from ganeti_cli.confd_queries import DEFAULTS, ask

    def as_table(rows: list[list[Any]]) -> None:
        show(DRBD_COLUMNS, tuple(DRBD_COLUMNS), rows, given)

    return ask(7, node, DEFAULTS, as_table)
