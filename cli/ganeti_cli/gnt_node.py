"""gnt-node: nodes."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

PROGRAM = Program(
    "gnt-node",
    {
        "add-tags": Entry("ganeti_cli.tags:add_node", "Add tags."),
        "list-tags": Entry("ganeti_cli.tags:list_node", "List tags."),
        "remove-tags": Entry("ganeti_cli.tags:remove_node", "Remove tags."),
        "add": Entry("ganeti_cli.node:add", "Add a node, preparing it for the cluster."),
        "info": Entry("ganeti_cli.node:info", "Show everything about nodes."),
        "list": Entry("ganeti_cli.node:list_nodes", "List nodes."),
        "list-fields": Entry("ganeti_cli.node:list_fields", "List the fields of `list`."),
        "modify": Entry("ganeti_cli.node_modify:modify", "Change a node's role or parameters."),
        "remove": Entry("ganeti_cli.node:remove", "Remove a node from the cluster."),
    },
    {"show": "info"},
    "Manage nodes.",
)


def main() -> NoReturn:
    run(PROGRAM)
