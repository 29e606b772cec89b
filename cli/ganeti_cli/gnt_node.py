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
        "list-drbd": Entry("ganeti_cli.node_storage:list_drbd", "List a node's DRBD minors."),
        "list-storage": Entry("ganeti_cli.node_storage:list_storage", "List storage units."),
        "modify-storage": Entry("ganeti_cli.node_storage:modify_storage", "Change a storage unit."),
        "repair-storage": Entry("ganeti_cli.node_storage:repair_storage", "Repair a storage unit."),
        "volumes": Entry("ganeti_cli.node_storage:volumes", "List the volumes on nodes."),
        "modify": Entry("ganeti_cli.node_modify:modify", "Change a node's role or parameters."),
        "evacuate": Entry("ganeti_cli.node_moves:evacuate", "Move instances away from a node."),
        "failover": Entry("ganeti_cli.node_moves:failover", "Fail over a node's instances."),
        "migrate": Entry("ganeti_cli.node_moves:migrate", "Migrate a node's instances."),
        "health": Entry("ganeti_cli.node_power:health", "Ask how nodes' hardware is."),
        "power": Entry("ganeti_cli.node_power:power", "Switch nodes on and off."),
        "powercycle": Entry("ganeti_cli.node_power:powercycle", "Reset a node hard."),
        "restricted-command": Entry(
            "ganeti_cli.node_restricted:restricted_command", "Run an allowed command on nodes."
        ),
        "remove": Entry("ganeti_cli.node:remove", "Remove a node from the cluster."),
    },
    {"show": "info"},
    "Manage nodes.",
)


def main() -> NoReturn:
    run(PROGRAM)
