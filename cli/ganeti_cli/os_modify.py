"""gnt-os modify: what the cluster says of an OS definition."""

from __future__ import annotations

from typing import Any

import click

from ganeti_cli import policy, values
from ganeti_cli.app import Misuse
from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.options import JOB, options


def listed(name: str, wanted: bool | None) -> list[list[str]] | None:
    """How a list of OSes changes so that a name is in it or not; None for no change."""
    return None if wanted is None else [["add" if wanted else "remove", name]]


@click.command()
@click.argument("name", metavar="OS")
@click.option(
    "-H",
    "--hypervisor-parameters",
    "hvparams",
    type=values.IDENT,
    multiple=True,
    metavar="HYPERVISOR:KEY=VALUE,…",
    help="Hypervisor parameters of instances with this OS.",
)
@click.option("-O", "--os-parameters", "osparams", type=values.KEY_VALUES, help="Its parameters.")
@click.option(
    "--os-parameters-private",
    "private",
    type=values.KEY_VALUES,
    help="Its parameters that are not to be logged.",
)
@click.option("--hidden", type=values.YES_NO, help="Whether `list` leaves it out.")
@click.option("--blacklisted", type=values.YES_NO, help="Whether new instances cannot have it.")
@options(*JOB)
def modify(name: str, **given: Any) -> int:
    """Change an OS's parameters and whether it is shown and installed.

    The name may have a variant (`OS+VARIANT`) for OS parameters. A hypervisor parameter is taken
    back with the value `default`, an OS parameter with a dash before its name (`-O -NAME`).
    """
    hvparams = policy.by_name(given["hvparams"], "--hypervisor-parameters")
    asked = {
        "os_hvp": {name: hvparams} if hvparams else None,
        "osparams": {name: given["osparams"]} if given["osparams"] else None,
        "osparams_private_cluster": {name: given["private"]} if given["private"] else None,
        "hidden_os": listed(name, given["hidden"]),
        "blacklisted_os": listed(name, given["blacklisted"]),
    }
    if not any(asked.values()):
        raise Misuse(
            "At least one of OS parameters or hypervisor parameters must be passed, or --hidden, "
            "or --blacklisted"
        )
    run_opcode({"OP_ID": "OP_CLUSTER_SET_PARAMS", **asked}, **job_options(given))
    return 0
