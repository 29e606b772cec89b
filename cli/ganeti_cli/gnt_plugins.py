"""gnt-plugins: what is installed on this node, what is wrong with it, and new plugins."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

PROGRAM = Program(
    "gnt-plugins",
    {
        "check": Entry("ganeti_cli.plugins:check", "Load plugins and say what is wrong."),
        "info": Entry("ganeti_cli.plugins:info", "Show a plugin's parameters and features."),
        "list": Entry("ganeti_cli.plugins:list_plugins", "List installed plugins."),
        "new": Entry("ganeti_cli.plugin_template:new", "Write a new plugin's distribution."),
    },
    {"show": "info"},
    "Manage the plugins of this node.",
)


def main() -> NoReturn:
    run(PROGRAM)
