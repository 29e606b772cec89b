"""gnt-network: collision domains with address pools."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

PROGRAM = Program(
    "gnt-network",
    {
        "add-tags": Entry("ganeti_cli.tags:add_network", "Add tags."),
        "list-tags": Entry("ganeti_cli.tags:list_network", "List tags."),
        "remove-tags": Entry("ganeti_cli.tags:remove_network", "Remove tags."),
        "add": Entry("ganeti_cli.network:add", "Add a network."),
        "connect": Entry("ganeti_cli.network:connect", "Connect a network to node groups."),
        "disconnect": Entry("ganeti_cli.network:disconnect", "Disconnect it from node groups."),
        "info": Entry("ganeti_cli.network:info", "Show networks with their address pools."),
        "list": Entry("ganeti_cli.network:list_networks", "List networks."),
        "list-fields": Entry("ganeti_cli.network:list_fields", "List the fields of `list`."),
        "modify": Entry("ganeti_cli.network:modify", "Change a network."),
        "remove": Entry("ganeti_cli.network:remove", "Remove a network."),
        "rename": Entry("ganeti_cli.network:rename", "Rename a network."),
    },
    {},
    "Manage networks.",
)


def main() -> NoReturn:
    run(PROGRAM)
