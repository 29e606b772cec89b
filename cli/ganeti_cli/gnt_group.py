"""gnt-group: node groups."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

PROGRAM = Program(
    "gnt-group",
    {
        "add": Entry("ganeti_cli.group:add", "Add a node group."),
        "add-tags": Entry("ganeti_cli.tags:add_group", "Add tags."),
        "list-tags": Entry("ganeti_cli.tags:list_group", "List tags."),
        "remove-tags": Entry("ganeti_cli.tags:remove_group", "Remove tags."),
        "assign-nodes": Entry("ganeti_cli.group:assign_nodes", "Move nodes to a node group."),
        "evacuate": Entry(
            "ganeti_cli.node_moves:evacuate_group", "Move all instances out of a group."
        ),
        "info": Entry("ganeti_cli.group_info:info", "Show node groups."),
        "list": Entry("ganeti_cli.group:list_groups", "List node groups."),
        "list-fields": Entry("ganeti_cli.group:list_fields", "List the fields of `list`."),
        "modify": Entry("ganeti_cli.group:modify", "Change a node group."),
        "remove": Entry("ganeti_cli.group:remove", "Remove an empty node group."),
        "rename": Entry("ganeti_cli.group:rename", "Rename a node group."),
        "show-ispecs-cmd": Entry(
            "ganeti_cli.cluster_ispecs:show_group_ispecs", "Show a group's limits as a command."
        ),
    },
    {},
    "Manage node groups.",
)


def main() -> NoReturn:
    run(PROGRAM)
