"""gnt-backup: what exports there are."""

from __future__ import annotations

from ganeti_cli.listing import Resource, list_command, list_fields_command

EXPORTS = Resource(
    what="export",
    argument="NODE",
    fields=("node", "export"),
    overrides={},
    key="node",
    units=False,
    filters=False,
)

list_exports = list_command(EXPORTS, "List the exports that nodes keep.")
list_fields = list_fields_command(EXPORTS)
