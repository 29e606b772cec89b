"""gnt-instance: instances."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

_HERE = "ganeti_cli"

PROGRAM = Program(
    "gnt-instance",
    {
        "add-tags": Entry("ganeti_cli.tags:add_instance", "Add tags."),
        "list-tags": Entry("ganeti_cli.tags:list_instance", "List tags."),
        "remove-tags": Entry("ganeti_cli.tags:remove_instance", "Remove tags."),
        "activate-disks": Entry(f"{_HERE}.instance_disks:activate", "Make disks usable."),
        "deactivate-disks": Entry(f"{_HERE}.instance_disks:deactivate", "Take disks out of use."),
        "add": Entry(f"{_HERE}.instance_add:add", "Create an instance."),
        "batch-create": Entry(
            f"{_HERE}.instance_many:batch_create", "Create the instances that a file describes."
        ),
        "console": Entry(f"{_HERE}.instance_console:console", "Open an instance's console."),
        "failover": Entry(
            f"{_HERE}.instance_move:failover", "Stop an instance, start it on another node."
        ),
        "info": Entry(f"{_HERE}.instance_info:info", "Show everything about instances."),
        "list": Entry(f"{_HERE}.instance_list:list_instances", "List instances."),
        "list-fields": Entry(f"{_HERE}.instance_list:list_fields", "List the fields of `list`."),
        "migrate": Entry(
            f"{_HERE}.instance_move:migrate", "Move a running instance to another node."
        ),
        "reboot": Entry(f"{_HERE}.instance_power:reboot", "Reboot instances."),
        "remove": Entry(f"{_HERE}.instance_remove:remove", "Shut down and remove an instance."),
        "shutdown": Entry(f"{_HERE}.instance_power:shutdown", "Stop instances."),
        "startup": Entry(f"{_HERE}.instance_power:startup", "Start instances."),
    },
    {"show": "info", "start": "startup", "stop": "shutdown"},
    "Manage instances.",
)


def main() -> NoReturn:
    run(PROGRAM)
