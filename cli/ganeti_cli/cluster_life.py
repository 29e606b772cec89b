"""gnt-cluster init, destroy: the beginning and the end of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

from ganeti_cli import master, policy, values
from ganeti_cli.app import Misuse
from ganeti_cli.cluster_options import make_opcode, settings_options
from ganeti_cli.failures import NotCluster, explain
from ganeti_cli.options import options
from ganeti_kernel import errors
from ganeti_kernel.paths import Paths

F = TypeVar("F", bound=Callable[..., Any])

DIRECTORIES: Final = {
    "file_storage_dir": "/srv/ganeti/file-storage",
    "shared_file_storage_dir": "/srv/ganeti/shared-file-storage",
    "gluster_storage_dir": "/var/run/ganeti/gluster",
}
"""Where disks that are files lie unless told otherwise (upstream 3.0)."""

SPECS: Final = {
    "cpu_count": "cpu-count",
    "disk_count": "disk-count",
    "disk_size": "disk-size",
    "mem_size": "memory-size",
    "nic_count": "nic-count",
}
"""End of the option --specs-… -> key of the policy: upstream's older way to say limits."""


def _specs_options(function: F) -> F:
    for name in SPECS:
        function = click.option(
            f"--specs-{name.replace('_', '-')}",
            f"specs_{name}",
            type=values.KEY_VALUES,
            metavar="min=N,max=N,std=N",
            help="Limits of one kind; the older form of --ipolicy-bounds-specs.",
        )(function)
    return function


@click.command()
@click.argument("name", metavar="CLUSTER")
@settings_options(making=True)
@_specs_options
@click.option("-s", "--secondary-ip", metavar="ADDRESS", help="Address of the data network.")
@click.option(
    "--primary-ip-version",
    type=click.Choice(["4"]),
    default="4",
    help="Of nodes' addresses; version 6 is not available yet.",
)
@click.option("--ssh-key-type", type=click.Choice(["dsa", "ecdsa", "rsa"]), help="Kept.")
@click.option("--ssh-key-bits", type=click.IntRange(min=1), help="Kept.")
@click.option("--no-ssh-init", is_flag=True, help="Accepted; ssh is never changed.")
@click.option("--no-etc-hosts", is_flag=True, help="Accepted; /etc/hosts is never changed.")
@click.option("--no-start", is_flag=True, help="Do not start the daemons.")
@options()
def init(name: str, **given: Any) -> int:
    """Make a cluster whose only node is this machine, and start its daemons."""
    from ganeti_kernel.daemons import control
    from ganeti_kernel.operations import bootstrap

    paths = Paths.from_environment()
    wanted = _cluster_options(name, given)
    bootstrap.initialise(paths, wanted, lambda text: click.echo(f"* {text}"))
    if not given["no_start"]:
        started = control.start_all(paths)
        click.echo(f"* started {', '.join(started)}")
        _run(paths, "init", "OP_CLUSTER_POST_INIT", given)
        if wanted.settings.get("master_netdev"):
            _move_address(
                paths,
                "init",
                "OP_CLUSTER_ACTIVATE_MASTER_IP",
                given,
                "Mend that, then `gnt-cluster activate-master-ip`.",
            )
    return 0


def _move_address(
    paths: Paths, command: str, opcode: str, given: Mapping[str, Any], then: str
) -> None:
    """Bring the cluster's address up or take it down; that it fails is told and ends nothing."""
    try:
        _run(paths, command, opcode, given)
    except errors.GenericError as error:
        click.echo(f"The cluster's address: {explain(error)[0]}\n{then}", err=True)


def _run(paths: Paths, command: str, opcode: str, given: Mapping[str, Any]) -> None:
    trail = master.reason_trail("gnt-cluster", command, given["reason"])
    full: dict[str, Any] = {"OP_ID": opcode, "reason": trail}
    if given["debug"]:
        full["debug_level"] = given["debug"]
    with master.connect(paths) as client:
        master.run_job(client, [full])


def _cluster_options(name: str, given: Mapping[str, Any]) -> Any:
    from ganeti_kernel.operations.bootstrap import ClusterOptions

    settings = {**DIRECTORIES, **make_opcode(given)}
    limits = old_specs(given)
    if limits:
        if {"minmax", "std"} & set(settings.get("ipolicy", ())):
            raise Misuse("--specs-… and --ipolicy-…-specs say the same: give one of them")
        settings["ipolicy"] = {**settings.get("ipolicy", {}), **limits}
    fields = {key: given[key] for key in ("ssh_key_type", "ssh_key_bits") if given[key]}
    return ClusterOptions(
        name=name,
        enabled_hypervisors=settings.pop("enabled_hypervisors", []),
        enabled_disk_templates=settings.pop("enabled_disk_templates", []),
        settings=settings,
        fields=fields,
        secondary_ip=given["secondary_ip"],
    )


def old_specs(given: Mapping[str, Any]) -> dict[str, Any]:
    """The policy that `--specs-…` options ask for; what they leave out is the built-in policy's."""
    from ganeti_kernel.objects.params import IPOLICY_DEFAULTS

    asked = {key: given[f"specs_{name}"] for name, key in SPECS.items() if given[f"specs_{name}"]}
    if not asked:
        return {}
    limits = IPOLICY_DEFAULTS["minmax"][0]
    sides = {"min": {**limits["min"]}, "max": {**limits["max"]}, "std": {**IPOLICY_DEFAULTS["std"]}}
    for key, values_ in asked.items():
        for side, value in values_.items():
            if side not in sides:
                raise Misuse(f"--specs-… {side}: there are min, max and std")
            try:
                sides[side] |= policy.parse_specs({key: value})
            except ValueError as error:
                raise Misuse(f"--specs-…: {error}") from None
    return {"minmax": [{"min": sides["min"], "max": sides["max"]}], "std": sides["std"]}


@click.command()
@options("yes_do_it")
def destroy(yes_do_it: bool, **given: Any) -> int:
    """End a cluster that has no instances and no node but this one.

    Its configuration is kept as config.data.destroyed.
    """
    from ganeti_kernel.daemons import control
    from ganeti_kernel.operations import bootstrap

    paths = Paths.from_environment()
    cluster = master.read_ssconf(paths, "cluster_name")
    if not cluster:
        raise NotCluster
    if not yes_do_it:
        raise Misuse(
            f"destroying cluster {cluster} cannot be undone; say --yes-do-it if you mean it"
        )
    _run(paths, "destroy", "OP_CLUSTER_DESTROY", given)
    if master.read_ssconf(paths, "master_netdev"):
        _move_address(
            paths,
            "destroy",
            "OP_CLUSTER_DEACTIVATE_MASTER_IP",
            given,
            "Take it from the device by hand.",
        )
    click.echo("* stopping the daemons")
    control.stop_all(paths)
    bootstrap.forget_cluster(paths)
    click.echo(f"Cluster {cluster} is no more.")
    return 0
