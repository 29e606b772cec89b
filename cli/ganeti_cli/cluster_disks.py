"""gnt-cluster verify-disks, repair-disk-sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ganeti_cli import master
from ganeti_cli.failures import explain
from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.options import options
from ganeti_kernel import errors


@click.command("verify-disks")
@click.option("--no-strict", is_flag=True, help="A copy that lags behind is no reason to act.")
@options("nodegroup", "priority")
def verify_disks(no_strict: bool, nodegroup: str | None, **given: Any) -> int:
    """Find disks that are missing or degraded, and activate the degraded ones again."""
    opcode: dict[str, Any] = {"OP_ID": "OP_CLUSTER_VERIFY_DISKS", "group_name": nodegroup}
    if no_strict:
        opcode["is_strict"] = False
    jobs = run_opcode(opcode, **job_options(given))["jobs"]
    numbers = [str(value) for ok, value in jobs if ok]
    bad = False
    for ok, text in jobs:
        if not ok:
            click.echo(f"Failed to submit job: {text}", err=True)
            bad = True
    click.echo(f"Submitted jobs {', '.join(numbers)}")
    with master.connect() as client:
        found = []
        for number in numbers:
            click.echo(f"Waiting for job {number} ...")
            try:
                found += master.wait_job(client, int(number))
            except errors.GenericError as error:
                click.echo(explain(error)[0], err=True)
                bad = True
        for nodes, instances, missing in found:
            bad = _tell(client, nodes, instances, missing) or bad
    return 1 if bad else 0


def _tell(
    client: Any,
    nodes: Mapping[str, str],
    instances: Sequence[str],
    missing: Mapping[str, Sequence[Sequence[str]]],
) -> bool:
    """Say what one group's look brought, and act; returns whether anything failed.

    The texts are upstream 3.0's, but a volume is named as its template names it.
    """
    for name, problem in nodes.items():
        click.echo(f"Error gathering data on node {name}: {problem}")
    if nodes:
        click.echo("You need to fix these nodes first before fixing instances")
    failed = bool(nodes)
    for name in instances:
        if name not in missing:
            click.echo(f"Activating disks for instance '{name}'")
            failed = not _activate(client, name) or failed
    if missing:
        click.echo("\n".join(describe_missing(missing, nodes)))
    elif not instances:
        click.echo("No disks need to be activated.")
    return failed or bool(missing)


def describe_missing(
    missing: Mapping[str, Sequence[Sequence[str]]], nodes: Mapping[str, str]
) -> list[str]:
    """Lines on volumes that are not there."""
    lines = []
    for name, volumes in sorted(missing.items()):
        lines.append(f"Instance {name} has missing logical volumes:")
        for node, volume in volumes:
            broken = "broken node " if node in nodes else ""
            lines.append(f"\t{broken}{node} {volume}")
    lines.append(
        "You need to replace or recreate disks for all the above instances if this message "
        "persists after fixing broken nodes."
    )
    return lines


def _activate(client: Any, name: str) -> bool:
    trail = master.reason_trail("gnt-cluster", "verify-disks", None)
    opcode = {"OP_ID": "OP_INSTANCE_ACTIVATE_DISKS", "instance_name": name, "reason": trail}
    try:
        master.run_job(client, [opcode])
    except errors.GenericError as error:
        click.echo(f"Error activating disks for instance {name}: {explain(error)[0]}")
        return False
    return True


@click.command("repair-disk-sizes")
@click.argument("instances", nargs=-1, metavar="[INSTANCE...]")
@options("dry_run", "priority")
def repair_disk_sizes(instances: tuple[str, ...], **given: Any) -> int:
    """Record the sizes that disks really have; says nothing where all are right."""
    opcode = {"OP_ID": "OP_CLUSTER_REPAIR_DISK_SIZES", "instances": list(instances)}
    run_opcode(opcode, **job_options(given))
    return 0
