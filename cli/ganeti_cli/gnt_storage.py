"""gnt-storage: ExtStorage providers."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

PROGRAM = Program(
    "gnt-storage",
    {
        "diagnose": Entry("ganeti_cli.storage:diagnose", "Say what is wrong with which provider."),
        "info": Entry("ganeti_cli.storage:info", "Show providers and their parameters."),
    },
    {},
    "Manage ExtStorage providers.",
)


def main() -> NoReturn:
    run(PROGRAM)
