"""gnt-cluster activate-master-ip, deactivate-master-ip: the cluster's own address."""

from __future__ import annotations

from typing import Any

import click

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
