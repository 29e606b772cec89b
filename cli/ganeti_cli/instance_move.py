"""gnt-instance migrate and failover."""

from __future__ import annotations

from typing import Any

import click

from ganeti_cli import master
from ganeti_cli.asking import confirm
from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.options import JOB, options
from ganeti_kernel import errors

_FAILOVER = """Failover will happen to image {name}. This requires a
shutdown of the instance. Continue?"""

_MIGRATE = """Instance {name} will be migrated. Note that migration might
impact the instance if anything goes wrong (e.g. due to bugs in the
hypervisor). Continue?"""

_RECOVER = """Instance {name} will be recovered from a failed migration.
Note that the migration procedure (including cleanup) might impact the
instance if anything goes wrong (e.g. due to bugs in the hypervisor).
Continue?"""

_TARGET = ("force", "target_node", "iallocator", "ignore_ipolicy")


def _ask(name: str, question: str) -> None:
    """Ask, as upstream does, naming an instance that exists; ends the command without a yes."""
    with master.connect() as client:
        if not client.query("instance", ["name"], ["=", "name", name])["data"]:
            raise errors.OpPrereqError(f"Instance '{name}' not known", errors.ECODE_NOENT)
    confirm(question.format(name=name), "--force")


@click.command()
@click.argument("name", metavar="INSTANCE")
@click.option(
    "--ignore-consistency",
    is_flag=True,
    help="Do not look at the state of mirrored disks; the source must be marked offline.",
)
@click.option("--cleanup", is_flag=True, help="Recover from a failover that broke off.")
@options(*JOB, *_TARGET, "shutdown_timeout")
def failover(name: str, **given: Any) -> int:
    """Stop an instance and start it on another node."""
    if not given["force"]:
        _ask(name, _FAILOVER)
    run_opcode(
        {
            "OP_ID": "OP_INSTANCE_FAILOVER",
            "instance_name": name,
            "ignore_consistency": given["ignore_consistency"],
            "shutdown_timeout": given["shutdown_timeout"],
            "cleanup": given["cleanup"],
            **_where(given),
        },
        **job_options(given),
    )
    return 0


@click.command()
@click.argument("name", metavar="INSTANCE")
@click.option("--non-live", is_flag=True, help="Let the guest stand still while it moves.")
@click.option(
    "--migration-mode",
    "mode",
    type=click.Choice(["live", "non-live"]),
    help="live or non-live; the default is the hypervisor's.",
)
@click.option("--cleanup", is_flag=True, help="Recover from a migration that broke off.")
@click.option("--allow-failover", is_flag=True, help="Fail over an instance that cannot migrate.")
@click.option("--ignore-hvversions", is_flag=True, help="Do not compare hypervisor versions.")
@click.option(
    "--no-runtime-changes",
    is_flag=True,
    help="Do not shrink the guest's memory when the target lacks it.",
)
@options(*JOB, *_TARGET)
def migrate(name: str, **given: Any) -> int:
    """Move a running instance to another node."""
    if given["non_live"] and given["mode"]:
        raise errors.OpPrereqError(
            "Only one of the --non-live and --migration-mode options can be passed",
            errors.ECODE_INVAL,
        )
    if not given["force"]:
        _ask(name, _RECOVER if given["cleanup"] else _MIGRATE)
    mode = "non-live" if given["non_live"] else given["mode"]
    run_opcode(
        {
            "OP_ID": "OP_INSTANCE_MIGRATE",
            "instance_name": name,
            "cleanup": given["cleanup"],
            "allow_failover": given["allow_failover"],
            "ignore_hvversions": given["ignore_hvversions"],
            "allow_runtime_changes": not given["no_runtime_changes"],
            **({"mode": mode} if mode else {}),
            **_where(given),
        },
        **job_options(given),
    )
    return 0


def _where(given: dict[str, Any]) -> dict[str, Any]:
    """The fields that say where an instance goes; those not given are left out."""
    chosen = {key: given[key] for key in ("target_node", "iallocator") if given[key]}
    return {**chosen, "ignore_ipolicy": given["ignore_ipolicy"]}
