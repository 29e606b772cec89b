"""Short commands of gnt-cluster."""

from __future__ import annotations

from typing import Any

import click

from ganeti_cli import master
from ganeti_cli.app import Finish
from ganeti_cli.failures import NotCluster, explain
from ganeti_cli.options import options
from ganeti_kernel import errors
from ganeti_kernel import version as versions
from ganeti_kernel.constants import VERIFY_CODES
from ganeti_kernel.paths import Paths


@click.command()
@options()
def getmaster(**_given: Any) -> int:
    """Show the master node's name, as this node knows it."""
    name = master.read_ssconf(Paths.from_environment(), "master_node")
    if not name:
        raise NotCluster
    click.echo(name)
    return 0


@click.command()
@options()
def version(**_given: Any) -> int:
    """Show versions of software and formats."""
    for title, value in (
        ("Software version", versions.SOFTWARE_VERSION),
        ("Internode protocol", versions.PROTOCOL_VERSION),
        ("Configuration format", versions.CONFIG_VERSION),
        ("OS api version", max(versions.OS_API_VERSIONS)),
        ("Export interface", versions.EXPORT_VERSION),
        ("VCS version", f"(ganeti-kernel) version {versions.SOFTWARE_VERSION}"),
    ):
        click.echo(f"{title}: {value}")
    return 0


@click.command()
@click.option("--error-codes", is_flag=True, help="Print errors in a form for programs.")
@click.option(
    "-I",
    "--ignore-errors",
    multiple=True,
    type=click.Choice(sorted(VERIFY_CODES)),
    metavar="CODE",
    help="Show this error as a warning; repeat for more.",
)
@click.option(
    "--no-nplus1-mem", "skip_nplusone", is_flag=True, help="Do not check memory for fail-over."
)
@click.option(
    "--no-hv-param-assessment",
    "skip_assessment",
    is_flag=True,
    help="Do not comment on hypervisor parameters.",
)
@click.option(
    "--debug-simulate-errors",
    is_flag=True,
    help="Also show one made-up finding of each code, to try out what reads them.",
)
@click.option(
    "--verify-ssh-clutter",
    "verify_clutter",
    is_flag=True,
    help="Taken for upstream's sake; node calls do not go over SSH.",
)
@options("verbose", "nodegroup", "priority", "dry_run")
def verify(**given: Any) -> int:
    """Look for anything that is wrong: in the configuration, then on every node of each group."""
    skip = [
        name
        for name, off in (
            ("nplusone_mem", given["skip_nplusone"]),
            ("hvparam_assessment", given["skip_assessment"]),
        )
        if off
    ]
    opcode = {
        "OP_ID": "OP_CLUSTER_VERIFY",
        "error_codes": given["error_codes"],
        "ignore_errors": list(given["ignore_errors"]),
        "skip_checks": skip,
        "verbose": given["verbose"],
        "debug_simulate_errors": given["debug_simulate_errors"],
        "verify_clutter": given["verify_clutter"],
        "dry_run": given["dry_run"],
        "group_name": given["nodegroup"],
        "reason": master.reason_trail("gnt-cluster", "verify", given["reason"]),
    }
    if given["priority"] is not None:
        opcode["priority"] = given["priority"]
    with master.connect() as client:
        (result,) = master.run_job(client, [opcode])
        if given["dry_run"]:
            click.echo("Everything that is needed for the verification is there; nothing was run.")
            return 0
        return _follow(client, result["jobs"])


def _follow(client: Any, jobs: list[Any]) -> int:
    """Wait for the jobs a job submitted; exit code 1 when one fails or finds something."""
    bad = False
    numbers = [value for ok, value in jobs if ok]
    for ok, text in jobs:
        if not ok:
            click.echo(f"a job could not be submitted: {text}", err=True)
            bad = True
    click.echo(f"Submitted jobs {', '.join(map(str, numbers))}")
    for number in numbers:
        click.echo(f"Waiting for job {number} ...")
        try:
            bad = master.wait_job(client, number) != [True] or bad
        except errors.GenericError as error:
            click.echo(explain(error)[0], err=True)
            bad = True
    if bad:
        raise Finish(1)
    return 0
