"""gnt-cluster rename, activate-master-ip, deactivate-master-ip, redist-conf."""

from __future__ import annotations

from typing import Any

import click

from ganeti_cli import master
from ganeti_cli.asking import confirm
from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.options import options


@click.command("activate-master-ip")
@options()
def activate(**given: Any) -> int:
    """Give the master node the cluster's address."""
    run_opcode({"OP_ID": "OP_CLUSTER_ACTIVATE_MASTER_IP"}, **job_options(given))
    return 0


@click.command("deactivate-master-ip")
@click.option("--yes", "confirmed", is_flag=True, help="Do not ask.")
@options()
def deactivate(confirmed: bool, **given: Any) -> int:
    """Take the cluster's address from the master node."""
    if not confirmed:
        confirm(
            "This takes the cluster's address down: connections to it (ssh sessions too) break. "
            "Go on?",
            "--yes",
        )
    run_opcode({"OP_ID": "OP_CLUSTER_DEACTIVATE_MASTER_IP"}, **job_options(given))
    return 0


@click.command()
@click.argument("name", metavar="NEW-NAME")
@options("force", "dry_run")
def rename(name: str, force: bool, **given: Any) -> int:
    """Rename the cluster; its address becomes the one that the new name stands for."""
    with master.connect(query=True) as client:
        (old,) = client.query_config_values(["cluster_name"])
    if not force:
        confirm(
            f"This renames cluster {old} to {name}, and its address changes to that of the new "
            "name: connections to the old one break. Go on?",
            "--force",
        )
    new = run_opcode({"OP_ID": "OP_CLUSTER_RENAME", "name": name}, **job_options(given))
    if new is not None:
        click.echo(f"Cluster renamed from '{old}' to '{new}'")
    return 0


@click.command("redist-conf")
@click.option("--yes-do-it", is_flag=True, help="Accepted; nothing has to be confirmed.")
@options("submit", "print_jobid", "dry_run", "priority")
def redist_conf(**given: Any) -> int:
    """Send the configuration and the cluster's files to all nodes again."""
    run_opcode({"OP_ID": "OP_CLUSTER_REDIST_CONF"}, **job_options(given))
    return 0
