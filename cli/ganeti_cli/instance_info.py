"""gnt-instance info."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ganeti_cli.app import Misuse
from ganeti_cli.jobs import run_opcode
from ganeti_cli.options import options
from ganeti_cli.output import Pairs, format_time, format_unit, tree
from ganeti_kernel.constants import EXIT_FAILURE


@click.command()
@click.argument("names", nargs=-1, metavar="[INSTANCE...]")
@click.option("-s", "--static", is_flag=True, help="Only what the configuration says.")
@click.option("--all", "show_all", is_flag=True, help="Every instance.")
@options("priority")
def info(names: tuple[str, ...], static: bool, show_all: bool, **given: Any) -> int:
    """Show everything about instances; asks their nodes unless --static."""
    if not names and not show_all:
        raise Misuse("no instance is named; --all shows every one", click.get_current_context())
    opcode = {
        "OP_ID": "OP_INSTANCE_QUERY_DATA",
        "instances": list(names),
        "static": static,
    }
    result = run_opcode(opcode, priority=given["priority"], reason=given["reason"])
    if not result:
        click.echo("No instances.")
        return EXIT_FAILURE
    items = sorted(result.values(), key=lambda data: _rank(names, data))
    click.echo("\n".join(tree([describe(data) for data in items])))
    return 0


def _rank(names: tuple[str, ...], data: Mapping[str, Any]) -> tuple[int, str]:
    """Instances in the order in which they were named, else by name."""
    name = str(data["name"])
    return (names.index(name) if name in names else len(names), name)


def describe(data: Mapping[str, Any]) -> Pairs:
    """Lay out what OP_INSTANCE_QUERY_DATA says of one instance."""
    actual = "" if data["run_state"] is None else f", actual state is {data['run_state']}"
    return Pairs(
        [
            ("Instance name", data["name"]),
            ("UUID", data["uuid"]),
            ("Serial number", data["serial_no"]),
            ("Creation time", format_time(data["ctime"])),
            ("Modification time", format_time(data["mtime"])),
            ("State", f"configured to be {data['config_state']}{actual}"),
            ("Nodes", _nodes(data)),
            ("Operating system", data["os"]),
            ("Operating system parameters", _params(data["os_instance"], data["os_actual"])),
            ("Allocated network port", data["network_port"]),
            ("Hypervisor", data["hypervisor"]),
            ("Hypervisor parameters", _params(data["hv_instance"], data["hv_actual"])),
            ("Back-end parameters", _params(data["be_instance"], data["be_actual"])),
            ("NICs", [_nic(index, nic) for index, nic in enumerate(data["nics"])]),
            ("Disk template", data["disk_template"]),
            ("Disks", [_disk(index, disk) for index, disk in enumerate(data["disks"])]),
        ]
    )


def _nodes(data: Mapping[str, Any]) -> list[Pairs]:
    primary = Pairs(
        [
            ("primary", data["pnode"]),
            ("group", f"{data['pnode_group_name']} (UUID {data['pnode_group_uuid']})"),
        ]
    )
    names = [
        f"{node} (group {group}, group UUID {uuid})"
        for node, group, uuid in zip(
            data["snodes"], data["snodes_group_names"], data["snodes_group_uuids"], strict=True
        )
    ]
    return [primary, Pairs([("secondaries", ", ".join(names))])]


def _params(own: Mapping[str, Any], filled: Mapping[str, Any]) -> Pairs:
    return Pairs(
        (key, str(own[key]) if key in own else f"default ({filled[key]})") for key in sorted(filled)
    )


def _nic(index: int, nic: Sequence[Any]) -> Pairs:
    name, uuid, address, mac, mode, link, vlan, _network, network = nic
    return Pairs(
        [
            (f"nic/{index}", ""),
            ("MAC", mac),
            ("IP", address),
            ("mode", mode),
            ("link", link),
            ("vlan", vlan),
            ("network", network["name"] if network else None),
            ("UUID", uuid),
            ("name", name),
        ]
    )


def _disk(index: int, disk: Mapping[str, Any]) -> Pairs:
    state = [] if disk["pstatus"] is None else [("on primary", _status(disk["pstatus"]))]
    return Pairs(
        [
            (f"disk/{index}", f"{disk['dev_type']}, size {format_unit(disk['size'], 'h')}"),
            ("access mode", disk["mode"]),
            ("logical_id", str(disk["logical_id"])),
            *state,
            ("name", disk["name"]),
            ("UUID", disk["uuid"]),
        ]
    )


def _status(status: Sequence[Any]) -> str:
    """A device's path and numbers."""
    path, major, minor = (value if value is not None else "N/A" for value in status[:3])
    return f"{path} ({major}:{minor})"
