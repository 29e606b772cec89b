"""gnt-instance startup, shutdown, reboot: on named instances or on all that a choice covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ganeti_cli import master, values
from ganeti_cli.app import Finish
from ganeti_cli.asking import confirm
from ganeti_cli.failures import explain
from ganeti_cli.jobs import run_opcode
from ganeti_cli.options import JOB, options
from ganeti_kernel import errors

_CHOICES = {
    "--instance": ("instances", "The arguments are instances (the default)."),
    "--node": ("nodes", "Instances that use the given nodes."),
    "--primary": ("nodes-pri", "Instances whose primary is a given node."),
    "--secondary": ("nodes-sec", "Instances whose secondary is a given node."),
    "--all": ("cluster", "Every instance."),
    "--tags": ("instances-by-tags", "Instances with a given tag."),
    "--node-tags": ("nodes-by-tags", "Instances that use nodes with a given tag."),
    "--pri-node-tags": ("nodes-pri-by-tags", "Instances whose primary has a given tag."),
    "--sec-node-tags": ("nodes-sec-by-tags", "Instances whose secondary has a given tag."),
}

_NODE_FIELDS = {"": ("pinst_list", "sinst_list"), "-pri": ("pinst_list",), "-sec": ("sinst_list",)}


def choose_options(function: Any) -> Any:
    """Add the options that choose instances, and --force-multiple."""
    for flag, (mode, text) in reversed(_CHOICES.items()):
        function = click.option(flag, "multi_mode", flag_value=mode, default=None, help=text)(
            function
        )
    return click.option(
        "--force-multiple", "force_multi", is_flag=True, help="Do not ask for several instances."
    )(function)


def chosen(client: Any, mode: str, names: Sequence[str]) -> list[str]:
    """Return the names of the instances a choice covers; raises OpPrereqError for none."""
    if mode == "instances":
        if not names:
            raise errors.OpPrereqError("No instance names passed", errors.ECODE_INVAL)
        return list(names)
    if mode != "cluster" and not names:
        raise errors.OpPrereqError("no node or tag is named", errors.ECODE_INVAL)
    if mode == "cluster":
        return _column(client, "instance", ["name"], None)
    by_tags = mode.endswith("-by-tags")
    test = ["|", *(["=[]", "tags", name] if by_tags else ["=", "name", name] for name in names)]
    if mode == "instances-by-tags":
        return _column(client, "instance", ["name"], test)
    fields = _NODE_FIELDS[mode.removesuffix("-by-tags").removeprefix("nodes")]
    lists = _column(client, "node", list(fields), test)
    return sorted({name for names in lists for name in names})


def _column(client: Any, what: str, fields: list[str], test: Any) -> list[Any]:
    rows = client.query(what, fields, test)["data"]
    return [value for row in rows for status, value in row if status == 0]


def run_on_chosen(names: Sequence[str], make: Any, verb: str, given: Mapping[str, Any]) -> int:
    """Run an opcode for each chosen instance; several ask first unless forced."""
    mode = given["multi_mode"] or "instances"
    with master.connect() as client:
        targets = chosen(client, mode, names)
    several = mode != "instances"
    if not targets:
        click.echo("No instance is among those that were chosen; nothing was done.", err=True)
    if several and targets and not given["force_multi"]:
        click.echo(f"The following {len(targets)} instances will be {verb}:")
        click.echo("\n".join(f"  {name}" for name in targets))
        confirm("Continue?", "--force-multiple")
    failed = 0
    for name in targets:
        if len(targets) > 1:
            click.echo(f"Instance {name}")
        try:
            run_opcode(make(name), **_job(given))
        except errors.GenericError as error:
            if len(targets) == 1:
                raise
            click.echo(explain(error)[0], err=True)
            failed += 1
    if failed:
        raise Finish(1)
    return 0


def _job(given: Mapping[str, Any]) -> dict[str, Any]:
    names = ("submit_only", "print_jobid", "priority", "dry_run", "reason", "debug")
    return {name: given[name] for name in names}


_NAMES = click.argument("names", nargs=-1, metavar="[INSTANCE...]")


@click.command()
@_NAMES
@choose_options
@click.option(
    "-H",
    "--hypervisor-parameters",
    "hvparams",
    type=values.KEY_VALUES,
    help="Parameters for this start only.",
)
@click.option("--no-remember", is_flag=True, help="Do not note that it should run.")
@click.option("--paused", is_flag=True, help="Leave the guest's CPUs stopped.")
@click.option("--ignore-offline", is_flag=True, help="Only note it when the node is offline.")
@options(*JOB, "force", "beparams")
def startup(names: tuple[str, ...], **given: Any) -> int:
    """Start instances."""

    def make(name: str) -> dict[str, Any]:
        return {
            "OP_ID": "OP_INSTANCE_STARTUP",
            "instance_name": name,
            "force": given["force"],
            "ignore_offline_nodes": given["ignore_offline"],
            "no_remember": given["no_remember"],
            "startup_paused": given["paused"],
            "hvparams": given["hvparams"] or {},
            "beparams": given["beparams"] or {},
        }

    return run_on_chosen(names, make, "started", given)


@click.command()
@_NAMES
@choose_options
@click.option(
    "--timeout",
    type=click.IntRange(min=0),
    default=120,
    show_default=True,
    help="Seconds the guest may take.",
)
@click.option("--no-remember", is_flag=True, help="Do not note that it should be down.")
@click.option("--ignore-offline", is_flag=True, help="Only note it when the node is offline.")
@options(*JOB, "force")
def shutdown(names: tuple[str, ...], **given: Any) -> int:
    """Stop instances."""

    def make(name: str) -> dict[str, Any]:
        return {
            "OP_ID": "OP_INSTANCE_SHUTDOWN",
            "instance_name": name,
            "force": given["force"],
            "timeout": given["timeout"],
            "ignore_offline_nodes": given["ignore_offline"],
            "no_remember": given["no_remember"],
        }

    return run_on_chosen(names, make, "shut down", given)


@click.command()
@_NAMES
@choose_options
@click.option(
    "-t",
    "--type",
    "reboot_type",
    type=click.Choice(["soft", "hard", "full"]),
    default="hard",
    show_default=True,
    help="soft: inside the guest; hard: stop and start; full: with the disks.",
)
@click.option("--ignore-secondaries", is_flag=True, help="Go on when a secondary fails.")
@options(*JOB, "shutdown_timeout")
def reboot(names: tuple[str, ...], **given: Any) -> int:
    """Reboot instances."""

    def make(name: str) -> dict[str, Any]:
        return {
            "OP_ID": "OP_INSTANCE_REBOOT",
            "instance_name": name,
            "reboot_type": given["reboot_type"],
            "ignore_secondaries": given["ignore_secondaries"],
            "shutdown_timeout": given["shutdown_timeout"],
        }

    return run_on_chosen(names, make, "rebooted", given)
