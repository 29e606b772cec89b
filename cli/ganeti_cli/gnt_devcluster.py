"""gnt-devcluster: a whole cluster on one machine, for authors, tests and demonstrations."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

PROGRAM = Program(
    "gnt-devcluster",
    {
        "down": Entry("ganeti_cli.devcluster.commands:down", "Stop and remove the cluster."),
        "exec": Entry("ganeti_cli.devcluster.commands:exec_", "Run a command as on a node."),
        "status": Entry("ganeti_cli.devcluster.commands:status", "Show what runs."),
        "watch": Entry("ganeti_cli.devcluster.commands:watch", "Run the watcher once."),
        "up": Entry("ganeti_cli.devcluster.commands:up", "Make and start a cluster."),
    },
    {},
    "Run a whole cluster on this machine.",
)


def main() -> NoReturn:
    run(PROGRAM)
