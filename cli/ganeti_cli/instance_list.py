"""gnt-instance list, list-fields."""

from __future__ import annotations

from ganeti_cli.listing import Resource, list_command, list_fields_command
from ganeti_cli.output import format_list

_LISTS = (
    "tags", "snodes", "snodes.group", "snodes.group.uuid", "disk.sizes", "disk.spindles",
    "disk.names", "disk.uuids", "nic.macs", "nic.ips", "nic.names", "nic.uuids", "nic.modes",
    "nic.links", "nic.vlans", "nic.bridges", "nic.networks", "nic.networks.names",
)  # fmt: skip

INSTANCES = Resource(
    what="instance",
    argument="INSTANCE",
    fields=("name", "hypervisor", "os", "pnode", "status", "oper_ram"),
    overrides=dict.fromkeys(_LISTS, format_list),
    environment=True,
)

list_instances = list_command(INSTANCES, "List instances and their state.")
list_fields = list_fields_command(INSTANCES)
