"""gnt-cluster init, destroy: the beginning and the end of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ganeti_cli import master, policy, values
from ganeti_cli.app import Misuse
from ganeti_cli.failures import NotCluster
from ganeti_cli.options import options
from ganeti_kernel.paths import Paths

_FIELDS = {
    "mac_prefix": "mac_prefix",
    "candidate_pool_size": "candidate_pool_size",
    "master_netdev": "master_netdev",
    "master_netmask": "master_netmask",
    "file_storage_dir": "file_storage_dir",
    "shared_file_storage_dir": "shared_file_storage_dir",
    "gluster_storage_dir": "gluster_storage_dir",
    "default_iallocator": "default_iallocator",
    "maintain_node_health": "maintain_node_health",
    "prealloc_wipe_disks": "prealloc_wipe_disks",
}
"""Option -> field of the cluster, for options that are kept as they are."""


@click.command()
@click.argument("name", metavar="CLUSTER")
@click.option("--enabled-hypervisors", type=values.COMMA_LIST, help="The first is the default.")
@click.option("--enabled-disk-templates", type=values.COMMA_LIST, help="The first is the default.")
@click.option(
    "-H",
    "--hypervisor-parameters",
    "hvparams",
    type=values.IDENT,
    multiple=True,
    metavar="NAME:KEY=VALUE,…",
    help="Parameters of a hypervisor.",
)
@click.option("--node-parameters", "ndparams", type=values.KEY_VALUES, help="Node parameters.")
@click.option(
    "--ipolicy-bounds-specs", "bounds", type=policy.BOUNDS, help="Least and largest instances."
)
@click.option("--ipolicy-std-specs", "std", type=values.KEY_VALUES, help="A usual instance.")
@click.option("-s", "--secondary-ip", metavar="ADDRESS", help="Address of the data network.")
@click.option(
    "-m",
    "--mac-prefix",
    metavar="AA:BB:CC",
    default="aa:00:00",
    show_default=True,
    help="Prefix of generated MAC addresses.",
)
@click.option(
    "-C",
    "--candidate-pool-size",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="How many nodes keep the configuration.",
)
@click.option("--master-netdev", metavar="DEVICE", help="Device of the master's address.")
@click.option("--master-netmask", type=click.IntRange(0, 128), help="Prefix length of it.")
@click.option(
    "--file-storage-dir",
    default="/srv/ganeti/file-storage",
    show_default=True,
    help="Where disks that are files lie.",
)
@click.option(
    "--shared-file-storage-dir",
    default="/srv/ganeti/shared-file-storage",
    show_default=True,
    help="The same on a shared file system.",
)
@click.option(
    "--gluster-storage-dir",
    default="/var/run/ganeti/gluster",
    show_default=True,
    help="Where gluster is mounted.",
)
@click.option("-I", "--default-iallocator", help="Allocator that chooses nodes.")
@click.option("--maintain-node-health", type=values.YES_NO, help="Clean offline nodes up.")
@click.option("--prealloc-wipe-disks", type=values.YES_NO, help="Wipe new disks.")
@click.option("--no-ssh-init", is_flag=True, help="Accepted; ssh is never changed.")
@click.option("--no-etc-hosts", is_flag=True, help="Accepted; /etc/hosts is never changed.")
@click.option("--no-start", is_flag=True, help="Do not start the daemons.")
@options("beparams", "nicparams")
def init(name: str, **given: Any) -> int:
    """Make a cluster whose only node is this machine, and start its daemons."""
    from ganeti_kernel.daemons import control
    from ganeti_kernel.operations import bootstrap

    paths = Paths.from_environment()
    bootstrap.initialise(paths, _cluster_options(name, given), lambda text: click.echo(f"* {text}"))
    if not given["no_start"]:
        started = control.start_all(paths)
        click.echo(f"* started {', '.join(started)}")
        _run(paths, "init", "OP_CLUSTER_POST_INIT")
    return 0


def _run(paths: Paths, command: str, opcode: str) -> None:
    trail = master.reason_trail("gnt-cluster", command, None)
    with master.connect(paths) as client:
        master.run_job(client, [{"OP_ID": opcode, "reason": trail}])


def _cluster_options(name: str, given: Mapping[str, Any]) -> Any:
    from ganeti_kernel.operations.bootstrap import ClusterOptions
    from ganeti_kernel.operations.inherited import check_ndparams
    from ganeti_kernel.operations.instance_params import check_beparams

    ipolicy: dict[str, Any] = {}
    if given["bounds"]:
        ipolicy["minmax"] = given["bounds"]
    if given["std"]:
        try:
            ipolicy["std"] = policy.parse_specs(given["std"])
        except ValueError as error:
            raise Misuse(f"--ipolicy-std-specs: {error}") from None
    fields = {
        field: given[option] for option, field in _FIELDS.items() if given[option] is not None
    }
    return ClusterOptions(
        name=name,
        enabled_hypervisors=given["enabled_hypervisors"] or [],
        enabled_disk_templates=given["enabled_disk_templates"] or [],
        hvparams={ident: settings or {} for ident, settings in given["hvparams"]},
        beparams=check_beparams(given["beparams"] or {}),
        nicparams=given["nicparams"] or {},
        ndparams=check_ndparams(given["ndparams"] or {}),
        ipolicy=ipolicy,
        fields=fields,
        secondary_ip=given["secondary_ip"],
    )


@click.command()
@options("yes_do_it")
def destroy(yes_do_it: bool, **_given: Any) -> int:
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
    _run(paths, "destroy", "OP_CLUSTER_DESTROY")
    click.echo("* stopping the daemons")
    control.stop_all(paths)
    bootstrap.forget_cluster(paths)
    click.echo(f"Cluster {cluster} is no more.")
    return 0
