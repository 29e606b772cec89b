"""gnt-os: guest OS definitions."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

PROGRAM = Program(
    "gnt-os",
    {
        "diagnose": Entry("ganeti_cli.os_definitions:diagnose", "Say what is wrong with which OS."),
        "info": Entry("ganeti_cli.os_definitions:info", "Show OS definitions."),
        "list": Entry("ganeti_cli.os_definitions:list_os", "List OSes that can be installed."),
        "modify": Entry("ganeti_cli.os_modify:modify", "Change an OS's parameters and lists."),
    },
    {"show": "info"},
    "Manage guest OS definitions.",
)


def main() -> NoReturn:
    run(PROGRAM)
