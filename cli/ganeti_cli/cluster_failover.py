"""gnt-cluster master-failover: this node becomes the master."""

from __future__ import annotations

from typing import Any

import click

from ganeti_cli.asking import confirm
from ganeti_cli.options import options
from ganeti_kernel.constants import EXIT_CONFIRMATION, EXIT_FAILURE
from ganeti_kernel.paths import Paths, host_name

_MASTER = "ganeti-masterd"
_SURE = ["--no-voting", "--yes-do-it"]

_QUESTION = (
    "Without a vote two masters can work on one cluster, and what this node does not know of is "
    "lost. Take over all the same?"
)


@click.command("master-failover")
@click.option("--no-voting", is_flag=True, help="Do not ask for the other nodes' agreement.")
@click.option("--ignore-offline-nodes", is_flag=True, help="Offline nodes have no vote.")
@options("yes_do_it")
def master_failover(
    no_voting: bool, ignore_offline_nodes: bool, yes_do_it: bool, **_given: Any
) -> int:
    """Make this node, a master candidate, the master; the old one may be dead.

    Its jobs are brought to their end here.
    """
    from ganeti_kernel.daemons import control
    from ganeti_kernel.operations.master_failover import failover

    if no_voting and not yes_do_it:
        confirm(_QUESTION, "--yes-do-it", code=EXIT_CONFIRMATION)
    paths = Paths.from_environment()
    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        click.echo(f"WARNING: {text}", err=True)

    def say(text: str) -> None:
        click.echo(f"* {text}")

    with failover(paths, host_name(), say, warn) as attempt:
        plan = attempt.plan(by_vote=not no_voting, ignore_offline=ignore_offline_nodes)
        for doubt in plan.doubts:
            warn(doubt)
        view = attempt.execute(plan)
        say("starting the master daemon")
        # The vote has been held; a start that fails is repeated with this very command.
        control.start(paths, _MASTER, _SURE)
        attempt.address(view.cluster, plan.node, up=True)
    click.echo(f"{plan.node.name} is the master of {view.cluster.cluster_name}.")
    return EXIT_FAILURE if warnings else 0
