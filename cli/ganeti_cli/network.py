"""The commands of gnt-network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from ganeti_cli import master, values
from ganeti_cli.app import Misuse
from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.listing import Resource, list_command, list_fields_command
from ganeti_cli.options import JOB, options
from ganeti_cli.output import format_list
from ganeti_kernel import errors

MAP_WIDTH: Final = 64
"""Addresses in one line of a usage map (upstream 3.0)."""


def format_groups(value: Any) -> str:
    """`[(group, mode, link, vlan), …]` as upstream's listing shows them."""
    return ", ".join(f"{name} ({', '.join(str(item) for item in rest)})" for name, *rest in value)


NETWORKS = Resource(
    what="network",
    argument="NETWORK",
    fields=("name", "network", "gateway", "mac_prefix", "group_list", "tags"),
    overrides={"tags": format_list, "inst_list": format_list, "group_list": format_groups},
    units=False,
    filters=False,
)

list_networks = list_command(NETWORKS, "List networks.")
list_fields = list_fields_command(NETWORKS)


_FIELDS: Final = ("gateway", "network6", "gateway6", "mac_prefix", "add_reserved_ips")


def _addresses(function: Callable[..., int]) -> Callable[..., int]:
    """The options that say what is in a network."""
    for option in (
        click.option(
            "--add-reserved-ips",
            type=values.COMMA_LIST,
            help="Addresses that instances never get.",
        ),
        click.option(
            "-m", "--mac-prefix", metavar="AA:BB:CC", help="Prefix of generated MAC addresses."
        ),
        click.option("--gateway6", metavar="ADDRESS", help="IPv6 gateway."),
        click.option("--network6", metavar="CIDR", help="IPv6 network."),
        click.option("--gateway", metavar="ADDRESS", help="IPv4 gateway."),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("name", metavar="NETWORK")
@click.option("--network", required=True, metavar="CIDR", help="IPv4 network, /30 to /16.")
@_addresses
@click.option(
    "--no-conflicts-check", is_flag=True, help="Do not reserve nodes' and the master's addresses."
)
@options(*JOB, "tags")
def add(name: str, **given: Any) -> int:
    """Add a network with a pool of addresses."""
    opcode = {
        "OP_ID": "OP_NETWORK_ADD",
        "network_name": name,
        "network": given["network"],
        **{field: given[field] for field in _FIELDS},
        "conflicts_check": not given["no_conflicts_check"],
        "tags": given["tags"] or [],
    }
    run_opcode(opcode, **job_options(given))
    return 0


@click.command()
@click.argument("name", metavar="NETWORK")
@options(*JOB, "force")
def remove(name: str, **given: Any) -> int:
    """Remove a network that no group is connected to."""
    opcode = {"OP_ID": "OP_NETWORK_REMOVE", "network_name": name, "force": given["force"]}
    run_opcode(opcode, **job_options(given))
    return 0


@click.command()
@click.argument("name", metavar="NETWORK")
@_addresses
@click.option(
    "--remove-reserved-ips", type=values.COMMA_LIST, help="Addresses that instances may get again."
)
@options(*JOB)
def modify(name: str, **given: Any) -> int:
    """Change a network; the value `none` takes a gateway, prefix or IPv6 network away."""
    fields = {field: given[field] for field in (*_FIELDS, "remove_reserved_ips")}
    if all(value is None for value in fields.values()):
        raise Misuse("Please give at least one of the parameters.")
    opcode = {"OP_ID": "OP_NETWORK_SET_PARAMS", "network_name": name, **fields}
    run_opcode(opcode, **job_options(given))
    return 0


@click.command()
@click.argument("name", metavar="NETWORK")
@click.argument("new_name", metavar="NEW-NAME")
@options(*JOB)
def rename(name: str, new_name: str, **given: Any) -> int:
    """Rename a network."""
    opcode = {"OP_ID": "OP_NETWORK_RENAME", "network_name": name, "new_name": new_name}
    run_opcode(opcode, **job_options(given))
    return 0


def _groups(names: tuple[str, ...]) -> list[str]:
    if names:
        return list(names)
    with master.connect(query=True) as client:
        rows = client.query("group", ["name"], None)["data"]
    return [row[0][1] for row in rows]


@click.command()
@click.argument("name", metavar="NETWORK")
@click.argument("groups", nargs=-1, metavar="[GROUP...]")
@click.option("--no-conflicts-check", is_flag=True, help="Allow instances that use its addresses.")
@options("nicparams", "priority")
def connect(name: str, groups: tuple[str, ...], **given: Any) -> int:
    """Connect a network to node groups, all of them when none is named."""
    nicparams = given["nicparams"] or {}
    unknown = sorted(set(nicparams) - {"mode", "link", "vlan"})
    if unknown:
        raise errors.OpPrereqError(
            f"unknown NIC parameter {unknown[0]!r}: a network takes mode, link and vlan",
            errors.ECODE_INVAL,
        )
    for group in _groups(groups):
        run_opcode(
            {
                "OP_ID": "OP_NETWORK_CONNECT",
                "network_name": name,
                "group_name": group,
                "network_mode": nicparams.get("mode", "bridged"),
                "network_link": nicparams.get("link", "xen-br0"),
                "network_vlan": nicparams.get("vlan", ""),
                "conflicts_check": not given["no_conflicts_check"],
            },
            **job_options(given),
        )
    return 0


@click.command()
@click.argument("name", metavar="NETWORK")
@click.argument("groups", nargs=-1, metavar="[GROUP...]")
@options("priority")
def disconnect(name: str, groups: tuple[str, ...], **given: Any) -> int:
    """Disconnect a network from node groups, all of them when none is named."""
    for group in _groups(groups):
        opcode = {"OP_ID": "OP_NETWORK_DISCONNECT", "network_name": name, "group_name": group}
        run_opcode(opcode, **job_options(given))
    return 0


_INFO_FIELDS: Final = (
    "name", "network", "gateway", "network6", "gateway6", "mac_prefix", "free_count",
    "reserved_count", "map", "external_reservations", "group_list", "inst_list", "uuid",
    "serial_no",
)  # fmt: skip


@click.command()
@click.argument("names", nargs=-1, metavar="[NETWORK...]")
@options()
def info(names: tuple[str, ...], **_given: Any) -> int:
    """Show networks: their addresses, who uses them, and what is free."""
    qfilter = ["|", *(["=", "name", name] for name in names)] if names else None
    with master.connect(query=True) as client:
        answer = client.query("network", list(_INFO_FIELDS), qfilter)
        rows = [
            {field: value for field, (_status, value) in zip(_INFO_FIELDS, row, strict=True)}
            for row in answer["data"]
        ]
        users = {row["name"]: _users(client, row) for row in rows}
    lines = [line for row in rows for line in describe(row, users[row["name"]])]
    click.echo("\n".join(lines), nl=bool(lines))
    missing = [name for name in names if name not in users]
    if missing:
        raise errors.OpPrereqError(f"Network '{missing[0]}' not found", errors.ECODE_NOENT)
    return 0


def _users(client: Any, row: Mapping[str, Any]) -> list[tuple[str, list[tuple[int, str]]]]:
    """Who has an address in the network: (instance, [(NIC index, address)])."""
    if not row["inst_list"]:
        return []
    wanted = ["|", *(["=", "name", name] for name in row["inst_list"])]
    fields = ["name", "nic.ips", "nic.networks"]
    out = []
    for (_s, name), (_t, ips), (_u, nets) in client.query("instance", fields, wanted)["data"]:
        pairs = [
            (index, ip)
            for index, (ip, net) in enumerate(zip(ips, nets, strict=True))
            if net == row["uuid"]
        ]
        out.append((name, pairs))
    return sorted(out)


def usage_map(text: str) -> list[str]:
    """Split a usage map into numbered lines."""
    lines = []
    for start in range(0, len(text), MAP_WIDTH):
        part = text[start : start + MAP_WIDTH]
        lines.append(f"    {start:5d} {part:<{MAP_WIDTH}} {start + MAP_WIDTH - 1:d}")
    return lines


def describe(row: Mapping[str, Any], users: list[tuple[str, list[tuple[int, str]]]]) -> list[str]:
    """Lay out one network (upstream 3.0's form)."""
    size = row["free_count"] + row["reserved_count"]
    lines = [
        f"Network name: {row['name']}",
        f"UUID: {row['uuid']}",
        f"Serial number: {row['serial_no']}",
        f"  Subnet: {row['network']}",
        f"  Gateway: {row['gateway']}",
        f"  IPv6 Subnet: {row['network6']}",
        f"  IPv6 Gateway: {row['gateway6']}",
        f"  Mac Prefix: {row['mac_prefix']}",
        f"  Size: {size}",
        f"  Free: {row['free_count']} ({100 * row['free_count'] / size:.2f}%)",
        "  Usage map:",
        *usage_map(row["map"]),
        "         (X) used    (.) free",
    ]
    if row["external_reservations"]:
        lines += ["  externally reserved IPs:", f"    {row['external_reservations']}"]
    if row["group_list"]:
        lines.append("  connected to node groups:")
        lines += [
            f"    {group} (mode:{mode} link:{link} vlan:{vlan})"
            for group, mode, link, vlan in row["group_list"]
        ]
    else:
        lines.append("  not connected to any node group")
    if users:
        lines.append(f"  used by {len(users)} instances:")
        lines += [
            f"    {name}: {', '.join(f'{index}:{ip}' for index, ip in pairs)}"
            for name, pairs in users
        ]
    else:
        lines.append("  not used by any instances")
    return lines
