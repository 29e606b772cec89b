"""gnt-debug: looking into a running cluster, and exercising it."""

from __future__ import annotations

from typing import NoReturn

from ganeti_cli.app import Entry, Program, run

PROGRAM = Program(
    "gnt-debug",
    {
        "delay": Entry("ganeti_cli.debug:delay", "Run a job that only waits."),
        "locks": Entry("ganeti_cli.debug:locks", "List locks, who holds them and who waits."),
        "iallocator": Entry("ganeti_cli.debug:iallocator", "Not available yet."),
        "metad": Entry("ganeti_cli.debug:metad", "Not available yet."),
        "submit-job": Entry("ganeti_cli.debug:submit_job", "Not available yet."),
        "test-jobqueue": Entry("ganeti_cli.debug_jobqueue:test_jobqueue", "Test the job queue."),
        "test-osparams": Entry("ganeti_cli.debug:test_osparams", "Not available yet."),
        "wconfd": Entry("ganeti_cli.debug:wconfd", "Not available yet."),
    },
    {},
    "Look into a running cluster.",
)


def main() -> NoReturn:
    run(PROGRAM)
