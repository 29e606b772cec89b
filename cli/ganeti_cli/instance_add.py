"""gnt-instance add."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from ganeti_cli import values
from ganeti_cli.app import Misuse
from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.options import JOB, options
from ganeti_kernel.constants import MAX_DISKS, MAX_NICS


def _indexed(items: Iterable[tuple[str, Any]], limit: int, what: str) -> list[dict[str, Any]]:
    """Turn `N:key=value` options into a list in which every index occurs."""
    given: dict[int, dict[str, Any]] = {}
    for ident, settings in items:
        if not ident.isdigit() or int(ident) >= limit:
            raise Misuse(f"{what} {ident!r} is not a number from 0 to {limit - 1}")
        if not isinstance(settings, dict):
            raise Misuse(f"{what} {ident} has no KEY=VALUE settings")
        if int(ident) in given:
            raise Misuse(f"{what} {ident} is given twice")
        given[int(ident)] = settings
    count = max(given, default=-1) + 1
    missing = [index for index in range(count) if index not in given]
    if missing:
        raise Misuse(f"{what} {missing[0]} is missing: numbers must begin at 0 without gaps")
    return [given[index] for index in range(count)]


def make_disks(
    template: str, size: int | None, disks: Iterable[tuple[str, Any]]
) -> list[dict[str, Any]]:
    """Build the opcode's disks from -s or --disk; raises Misuse that names what is wrong."""
    listed = _indexed(disks, MAX_DISKS, "disk")
    if size is not None:
        if listed:
            raise Misuse("-s and --disk cannot be given together")
        listed = [{"size": size}]
    if template == "diskless" and listed:
        raise Misuse("a diskless instance has no disks: leave -s and --disk out")
    if template != "diskless" and not listed:
        raise Misuse("the disks are missing: give -s SIZE or --disk 0:size=SIZE")
    for index, disk in enumerate(listed):
        if "size" in disk and not isinstance(disk["size"], int):
            disk["size"] = _size(index, disk["size"])
        if "size" not in disk and "adopt" not in disk:
            raise Misuse(f"disk {index} has no size: give --disk {index}:size=SIZE")
    return listed


def _size(index: int, text: Any) -> int:
    try:
        return values.parse_size(str(text))
    except values.UnitParseError as error:
        raise Misuse(f"disk {index}: {error}") from None


def make_nics(nics: Iterable[tuple[str, Any]], *, none: bool) -> list[dict[str, Any]]:
    """Build the opcode's NICs; without --net and --no-nics there is one with defaults."""
    listed = _indexed(nics, MAX_NICS, "NIC")
    if none and listed:
        raise Misuse("--no-nics and --net cannot be given together")
    return [] if none else listed or [{}]


def split_nodes(node: str | None) -> tuple[str | None, str | None]:
    """`PRIMARY[:SECONDARY]` to both names."""
    primary, _, secondary = (node or "").partition(":")
    return primary or None, secondary or None


@click.command()
@click.argument("name", metavar="INSTANCE")
@click.option("-t", "--disk-template", metavar="TEMPLATE", help="Kind of storage.")
@click.option(
    "--disk",
    "disks",
    type=values.IDENT,
    multiple=True,
    metavar="N:size=SIZE,…",
    help="A disk; for template ext also provider=NAME and its parameters.",
)
@click.option("-s", "--os-size", "size", type=values.SIZE, help="Size of the only disk.")
@click.option(
    "--net",
    "nics",
    type=values.IDENT,
    multiple=True,
    metavar="N:ip=ADDRESS,…",
    help="A NIC: ip (pool takes one from the network), network, mac, mode, link, name.",
)
@click.option("--no-nics", is_flag=True, help="No NIC at all.")
@click.option("-n", "--node", "node", metavar="NODE[:NODE]", help="Primary (and secondary) node.")
@click.option("-I", "--iallocator", metavar="NAME", help="Allocator that chooses the node.")
@click.option(
    "--opportunistic-locking", is_flag=True, help="Let the allocator choose among idle nodes."
)
@click.option("-o", "--os-type", metavar="OS[+VARIANT]", help="OS definition to install.")
@click.option("-O", "--os-parameters", "osparams", type=values.KEY_VALUES, help="OS parameters.")
@click.option(
    "--os-parameters-private",
    "osparams_private",
    type=values.KEY_VALUES,
    help="OS parameters that are stored but not shown.",
)
@click.option(
    "--os-parameters-secret",
    "osparams_secret",
    type=values.KEY_VALUES,
    help="OS parameters that are not stored.",
)
@click.option(
    "-H",
    "--hypervisor-parameters",
    "hypervisor",
    type=values.IDENT,
    metavar="NAME[:KEY=VALUE,…]",
    help="Hypervisor and its parameters.",
)
@click.option("--file-storage-dir", metavar="DIR", help="Directory below the storage directory.")
@click.option(
    "--file-driver",
    type=click.Choice(["loop", "blktap", "blktap2"]),
    default="loop",
    help="How file disks are attached.",
)
@click.option("--no-install", is_flag=True, help="Do not run the OS's create script.")
@click.option("--no-start", is_flag=True, help="Leave the instance stopped.")
@click.option("--no-wait-for-sync", is_flag=True, help="Do not wait for mirrors.")
@click.option("--no-conflicts-check", is_flag=True, help="Allow an address of another network.")
@click.option("--name-check/--no-name-check", default=False, help="The name must resolve.")
@click.option("--ip-check/--no-ip-check", default=False, help="The address must not answer.")
@click.option("--force-variant", is_flag=True, help="Take a variant the OS does not list.")
@click.option("--ignore-ipolicy", is_flag=True, help="Ignore the limits on sizes.")
@options(*JOB, "beparams", "nodegroup", "tags")
def add(name: str, **given: Any) -> int:
    """Create an instance: reserve what it needs, make its disks, install its OS, start it."""
    run_opcode(make_opcode(name, given), **job_options(given))
    return 0


def make_opcode(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Build OP_INSTANCE_CREATE from the command's options; raises Misuse."""
    disks = (
        make_disks(given["disk_template"] or "", given["size"], given["disks"])
        if (given["disk_template"])
        else _no_template(given)
    )
    primary, secondary = split_nodes(given["node"])
    hypervisor, hvparams = given["hypervisor"] or (None, {})
    return {
        "OP_ID": "OP_INSTANCE_CREATE",
        "mode": "create",
        "instance_name": name,
        "disk_template": given["disk_template"],
        "disks": disks,
        "nics": make_nics(given["nics"], none=given["no_nics"]),
        "pnode": primary,
        "snode": secondary,
        "group_name": given["nodegroup"],
        "iallocator": given["iallocator"],
        "opportunistic_locking": given["opportunistic_locking"],
        "os_type": given["os_type"],
        "osparams": given["osparams"] or {},
        "osparams_private": given["osparams_private"] or {},
        "osparams_secret": given["osparams_secret"] or {},
        "force_variant": given["force_variant"],
        "hypervisor": hypervisor,
        "hvparams": hvparams or {},
        "beparams": given["beparams"] or {},
        "file_storage_dir": given["file_storage_dir"],
        "file_driver": given["file_driver"],
        "no_install": given["no_install"],
        "start": not given["no_start"],
        "wait_for_sync": not given["no_wait_for_sync"],
        "conflicts_check": not given["no_conflicts_check"],
        "name_check": given["name_check"],
        "ip_check": given["ip_check"],
        "ignore_ipolicy": given["ignore_ipolicy"],
        "tags": given["tags"] or [],
    }


def _no_template(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Without a template the disks' keys decide: a provider means ext, else the cluster's first."""
    template = "ext" if any("provider" in disk[1] for disk in given["disks"] if disk[1]) else ""
    return make_disks(template or "default", given["size"], given["disks"])
