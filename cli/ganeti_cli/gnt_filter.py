"""gnt-filter: rules that hold back, limit or refuse jobs."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

PROGRAM = Program(
    "gnt-filter",
    {
        "add": Entry("ganeti_cli.filters:add", "Add a job filter."),
        "delete": Entry("ganeti_cli.filters:delete", "Delete a job filter."),
        "info": Entry("ganeti_cli.filters:info", "Show job filters."),
        "list": Entry("ganeti_cli.filters:list_filters", "List job filters."),
        "list-fields": Entry("ganeti_cli.filters:list_fields", "List the fields of `list`."),
        "replace": Entry("ganeti_cli.filters:replace", "Replace a job filter."),
    },
    {},
    "Manage job filters.",
)


def main() -> NoReturn:
    run(PROGRAM)
