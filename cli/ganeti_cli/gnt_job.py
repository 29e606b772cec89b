"""gnt-job: the job queue."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

PROGRAM = Program(
    "gnt-job",
    {
        "archive": Entry("ganeti_cli.queue:archive", "Archive finished jobs."),
        "autoarchive": Entry("ganeti_cli.queue:autoarchive", "Archive all jobs of an age."),
        "cancel": Entry("ganeti_cli.queue:cancel", "Cancel jobs."),
        "change-priority": Entry("ganeti_cli.queue:change_priority", "Change jobs' priority."),
        "info": Entry("ganeti_cli.queue_info:info", "Show everything about jobs."),
        "list": Entry("ganeti_cli.queue:list_jobs", "List jobs."),
        "list-fields": Entry("ganeti_cli.queue:list_fields", "List the fields of `list`."),
        "wait": Entry("ganeti_cli.queue:wait", "Wait for a job's end."),
        "watch": Entry("ganeti_cli.queue:watch", "Show a job's log as it grows."),
    },
    {"show": "info"},
    "Manage the job queue.",
)


def main() -> NoReturn:
    run(PROGRAM)
