"""gnt-backup: exports of instances."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

PROGRAM = Program(
    "gnt-backup",
    {
        "list": Entry("ganeti_cli.backup:list_exports", "List exports."),
        "list-fields": Entry("ganeti_cli.backup:list_fields", "List the fields of `list`."),
    },
    {},
    "Look at exports of instances.",
)


def main() -> NoReturn:
    run(PROGRAM)
