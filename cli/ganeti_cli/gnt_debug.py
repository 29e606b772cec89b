"""gnt-debug: looking into a running cluster, and exercising it."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

PROGRAM = Program(
    "gnt-debug",
    {
        "delay": Entry("ganeti_cli.debug:delay", "Run a job that only waits."),
        "locks": Entry("ganeti_cli.debug:locks", "List locks, who holds them and who waits."),
    },
    {},
    "Look into a running cluster.",
)


def main() -> NoReturn:
    run(PROGRAM)
