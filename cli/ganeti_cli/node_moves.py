"""gnt-node migrate, failover, evacuate; gnt-group evacuate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ganeti_cli import master
from ganeti_cli.app import Finish
from ganeti_cli.asking import confirm
from ganeti_cli.jobs import complete, follow, job_options, run_opcode
from ganeti_cli.options import options
from ganeti_kernel import errors
from ganeti_kernel.constants import EXIT_CONFIRMATION, EXIT_FAILURE, EXIT_USAGE

_allocator = click.option("-I", "--iallocator", metavar="NAME", help="Allocator that places them.")


def on_node(name: str, *fields: str) -> tuple[str, list[str]]:
    """A node's full name, and the names that these list fields of it hold."""
    with master.connect(query=True) as client:
        rows = client.query("node", ["name", *fields], ["=", "name", name])["data"]
    if not rows:
        raise errors.OpPrereqError(f"Node '{name}' not known", errors.ECODE_NOENT)
    found = {item for _status, value in rows[0][1:] for item in value or ()}
    return rows[0][0][1], sorted(found)


def _report(jobs: Any, good: str, bad: str) -> int:
    """Follow an operation's jobs and say how it went; `bad` takes the number of failures."""
    failed = follow(jobs)
    click.echo(bad.format(failed) if failed else good)
    if failed:
        raise Finish(EXIT_FAILURE)
    return 0


@click.command()
@click.argument("name", metavar="NODE")
@click.option("--non-live", is_flag=True, help="Let the guests stand still while they move.")
@click.option("--migration-mode", "mode", type=click.Choice(["live", "non-live"]))
@click.option("-n", "--target-node", metavar="NODE", help="Where they go.")
@_allocator
@click.option("--ignore-ipolicy", is_flag=True, help="Break instance policies, if need be.")
@click.option("--no-runtime-changes", is_flag=True, help="Do not shrink the guests' memory.")
@options("force", "priority", "submit", "print_jobid")
def migrate(name: str, **given: Any) -> int:
    """Migrate the primary instances of a node to other nodes, each in a job of its own."""
    if given["non_live"] and given["mode"]:
        raise errors.OpPrereqError(
            "Only one of the --non-live and --migration-mode options can be passed",
            errors.ECODE_INVAL,
        )
    node, found = on_node(name, "pinst_list")
    if not found:
        click.echo(f"No primary instances on node {node}, exiting.")
        return 0
    if not given["force"]:
        question = f"Migrate instance(s) {_quoted(found)}?"
        confirm(question, "--force", code=EXIT_CONFIRMATION)
    opcode = {
        "OP_ID": "OP_NODE_MIGRATE",
        "node_name": node,
        "mode": "non-live" if given["non_live"] else given["mode"],
        "target_node": given["target_node"],
        "iallocator": given["iallocator"],
        "allow_runtime_changes": not given["no_runtime_changes"],
        "ignore_ipolicy": given["ignore_ipolicy"],
    }
    result = run_opcode(opcode, **job_options(given))
    if result is None:
        return 0
    return _report(
        result["jobs"],
        "All instances migrated successfully.",
        "There were {} errors during the node migration.",
    )


def _quoted(names: list[str]) -> str:
    return ",".join(f"'{name}'" for name in names)


@click.command()
@click.argument("name", metavar="NODE")
@click.option(
    "--ignore-consistency",
    is_flag=True,
    help="Do not look at the state of mirrored disks; the node must be marked offline.",
)
@_allocator
@options("force", "priority")
def failover(name: str, **given: Any) -> int:
    """Stop the primary instances of a node and start them on other nodes."""
    node, found = on_node(name, "pinst_list")
    if not found:
        click.echo(f"No primary instances on node {node}, exiting.", err=True)
        return 0
    if not given["force"]:
        confirm(f"Fail over instance(s) {_quoted(found)}?", "--force", code=EXIT_USAGE)
    opcodes = [
        {
            "OP_ID": "OP_INSTANCE_FAILOVER",
            "instance_name": instance,
            "ignore_consistency": given["ignore_consistency"],
            "iallocator": given["iallocator"],
        }
        for instance in found
    ]
    full = complete(opcodes, **job_options(given))
    with master.connect() as client:
        jobs = client.submit_many_jobs([[opcode] for opcode in full])
    failed = follow(jobs, found)
    if failed:
        click.echo("There were errors during the failover:")
        click.echo(f"{failed} error(s) out of {len(found)} instance(s).")
        raise Finish(EXIT_FAILURE)
    click.echo(f"All {len(found)} instance(s) failed over successfully.")
    return 0


@click.command()
@click.argument("name", metavar="NODE")
@_allocator
@click.option("-n", "--new-secondary", metavar="NODE", help="Where secondary instances go.")
@click.option("-p", "--primary-only", is_flag=True, help="Only instances that run there.")
@click.option("-s", "--secondary-only", is_flag=True, help="Only instances with a copy there.")
@click.option("--ignore-soft-errors", is_flag=True, help="Let the allocator overlook scarcity.")
@click.option("--early-release", is_flag=True, help="Free the old secondary's locks early.")
@options("force", "priority", "submit", "print_jobid")
def evacuate(name: str, **given: Any) -> int:
    """Move instances away from a node, where an allocator says."""
    if given["primary_only"] and given["secondary_only"]:
        raise errors.OpPrereqError(
            "Only one of the --primary-only and --secondary-only options can be passed",
            errors.ECODE_INVAL,
        )
    mode = _mode(given)
    fields = {
        "primary-only": ("pinst_list",),
        "secondary-only": ("sinst_list",),
        "all": ("pinst_list", "sinst_list"),
    }
    node, found = on_node(name, *fields[mode])
    if not found:
        click.echo(f"No instances to evacuate on node(s) {name}, exiting.", err=True)
        return 0
    if not given["force"]:
        question = f"Relocate instance(s) {_quoted(found)} from node {node}?"
        confirm(question, "--force", code=EXIT_CONFIRMATION)
    opcode = {
        "OP_ID": "OP_NODE_EVACUATE",
        "node_name": node,
        "mode": mode,
        "remote_node": given["new_secondary"],
        "iallocator": None if given["new_secondary"] else given["iallocator"],
        "early_release": given["early_release"],
        "ignore_soft_errors": given["ignore_soft_errors"] or None,
    }
    result = run_opcode(opcode, **job_options(given))
    return 0 if result is None else _evacuated(result["jobs"])


def _mode(given: Mapping[str, Any]) -> str:
    if given["new_secondary"] is not None:
        click.echo(
            "New secondary node given (disabling iallocator), hence evacuating secondary instances "
            "only.",
            err=True,
        )
        return "secondary-only"
    if given["primary_only"]:
        return "primary-only"
    return "secondary-only" if given["secondary_only"] else "all"


def _evacuated(jobs: Any) -> int:
    return _report(
        jobs,
        "All instances evacuated successfully.",
        "There were {} errors during the evacuation.",
    )


@click.command()
@click.argument("name", metavar="GROUP")
@click.option("--to", "targets", multiple=True, metavar="GROUP", help="Groups they may go to.")
@_allocator
@click.option("--early-release", is_flag=True, help="Free the old secondary's locks early.")
@click.option("--sequential", is_flag=True, help="One instance after the other.")
@click.option("--force-failover", is_flag=True, help="Fail over instead of migrating.")
@options("submit", "print_jobid")
def evacuate_group(name: str, targets: tuple[str, ...], **given: Any) -> int:
    """Move all instances of a node group to other groups, where an allocator says."""
    opcode = {
        "OP_ID": "OP_GROUP_EVACUATE",
        "group_name": name,
        "target_groups": list(targets) or None,
        "iallocator": given["iallocator"],
        "early_release": given["early_release"],
        "sequential": given["sequential"],
        "force_failover": given["force_failover"],
    }
    result = run_opcode(opcode, **job_options(given))
    return 0 if result is None else _evacuated(result["jobs"])
