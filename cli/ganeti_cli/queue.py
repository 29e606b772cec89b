"""The commands of gnt-job but `info`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import click

from ganeti_cli import listing, master, output
from ganeti_cli.app import Misuse
from ganeti_cli.asking import confirm
from ganeti_cli.options import OPTIONS, options
from ganeti_kernel import errors
from ganeti_kernel.constants import EXIT_CONFIRMATION
from ganeti_kernel.units import parse_duration

F = TypeVar("F", bound=Callable[..., Any])

STATUS_CHOICES: Final = {
    "--pending": frozenset({"queued", "waiting", "canceling"}),
    "--queued": frozenset({"queued"}),
    "--waiting": frozenset({"waiting"}),
    "--running": frozenset({"running"}),
    "--error": frozenset({"error"}),
    "--finished": frozenset({"error", "success", "canceled"}),
}


def _status_options(names: Iterable[str]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for flag in names:
            states = ", ".join(sorted(STATUS_CHOICES[flag]))
            function = click.option(
                flag, "status", flag_value=flag, default=None, help=f"Jobs that are {states}."
            )(function)
        return function

    return decorate


JOBS = listing.Resource(
    what="job",
    argument="JOB",
    fields=("id", "status", "summary"),
    overrides={
        "summary": output.format_list,
        "waiting_for": lambda value: "; ".join(value or ()) or "-",
    },
    units=False,
    key="id",
    numeric=True,
)

list_fields = listing.list_fields_command(JOBS)


@click.command("list")
@click.argument("ids", nargs=-1, metavar="[JOB...]")
@_status_options(("--pending", "--running", "--error", "--finished"))
@click.option("--archived", is_flag=True, help="Archived jobs too.")
@options("no_headers", "separator", "output", "verbose", "filter")
def list_jobs(ids: tuple[str, ...], status: str | None, archived: bool, **given: Any) -> int:
    """List jobs, oldest first."""
    fields = listing.choose_fields(JOBS.fields, given["output"])
    parts = [listing.make_filter(JOBS, ids, force=given["force_filter"])]
    if status:
        parts.append(_status_filter(status))
    if archived and "archived" not in fields:
        fields.append("archived")
    elif not archived and not ids and "archived" in fields:
        parts.append(["!", ["?", "archived"]])
    used = [part for part in parts if part]
    qfilter = ["&", *used] if len(used) > 1 else used[0] if used else None
    with master.connect(query=True) as client:
        result = client.query("job", fields, qfilter)
    return listing.show(result, JOBS, given)


def _status_filter(status: str) -> list[Any]:
    return ["|", *(["=", "status", state] for state in sorted(STATUS_CHOICES[status]))]


def parse_numbers(ids: Iterable[str]) -> list[int]:
    """Read job ids; `3-7` is a range. Raises Misuse."""
    out: list[int] = []
    for text in ids:
        first, dash, last = text.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise Misuse(f"{text!r} is not a job id; ids are numbers, see `gnt-job list`")
        out += range(int(first), int(last or first) + 1)
    return out


@click.command()
@click.argument("job", metavar="JOB")
@options()
def wait(job: str, **_given: Any) -> int:
    """Wait for a job's end; the exit code says how it ended."""
    return _follow(job, quiet=True)


@click.command()
@click.argument("job", metavar="JOB")
@options()
def watch(job: str, **_given: Any) -> int:
    """Show a job's log as it grows, until the job ends."""
    number = parse_numbers([job])[0]
    text = f"Output from job {number} follows"
    click.echo(f"{text}\n{'-' * len(text)}")
    return _follow(job, quiet=False)


def _follow(job: str, *, quiet: bool) -> int:
    number = parse_numbers([job])[0]
    with master.connect() as client:
        try:
            master.wait_job(client, number, quiet=quiet)
        except errors.JobLost:
            raise
        except errors.GenericError as error:
            click.echo(f"Job {number} has failed: {error}", err=True)
            return 1
    return 0


@click.command()
@click.argument("ids", nargs=-1, metavar="[JOB...]")
@_status_options(("--pending", "--queued", "--waiting"))
@click.option("--kill", is_flag=True, help="End running jobs' processes.")
@options("force", "yes_do_it")
def cancel(ids: tuple[str, ...], status: str | None, kill: bool, **given: Any) -> int:
    """Cancel jobs that have not ended."""
    if kill and not given["yes_do_it"]:
        raise Misuse("--kill ends processes in the middle of their work; it needs --yes-do-it")
    with master.connect() as client:
        failed = False
        for number in _chosen(client, ids, status, "Cancel job(s)?", force=given["force"]):
            ok, message = client.cancel_job(number, kill)
            click.echo(message)
            failed = failed or not ok
    return 1 if failed else 0


def _chosen(
    client: Any, ids: tuple[str, ...], status: str | None, question: str, *, force: bool
) -> list[int]:
    """The jobs that are named, or those in a state: these are shown, and `question` asked.

    Exit codes and errors are upstream 3.0's.
    """
    if bool(ids) == bool(status):
        raise errors.OpPrereqError(
            "Either a status filter or job ID(s) must be specified and never both",
            errors.ECODE_INVAL,
        )
    if ids:
        return parse_numbers(ids)
    assert status is not None
    result = client.query("job", list(JOBS.fields), _status_filter(status))
    numbers = [row[0][1] for row in result["data"]]
    if not numbers:
        raise errors.OpPrereqError(
            "No jobs with the requested status have been found", errors.ECODE_STATE
        )
    if not force:
        listing.show(result, JOBS, {"no_headers": False, "separator": None, "verbose": False})
        confirm(question, "--force", code=EXIT_CONFIRMATION)
    return numbers


@click.command()
@click.argument("ids", nargs=-1, metavar="[JOB...]")
@_status_options(("--pending", "--queued", "--waiting"))
@click.option(*OPTIONS["priority"][0], required=True, **OPTIONS["priority"][1])
@options("force")
def change_priority(ids: tuple[str, ...], status: str | None, priority: int, **given: Any) -> int:
    """Change the priority of jobs that have not ended."""
    failed = False
    with master.connect() as client:
        for number in _chosen(client, ids, status, "Change priority?", force=given["force"]):
            ok, message = client.call("ChangeJobPriority", [number, priority])
            click.echo(message)
            failed = failed or not ok
    return 1 if failed else 0


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="JOB...")
@options()
def archive(ids: tuple[str, ...], **_given: Any) -> int:
    """Move finished jobs to the archive."""
    failed = False
    with master.connect() as client:
        for number in parse_numbers(ids):
            if not client.call("ArchiveJob", [number]):
                click.echo(f"Job {number} was not archived: it is unknown or has not ended.")
                failed = True
    return 1 if failed else 0


@click.command()
@click.argument("age", metavar="AGE|all")
@options()
def autoarchive(age: str, **_given: Any) -> int:
    """Archive every job that ended longer than AGE ago (seconds, or with s, m, h, d, w)."""
    try:
        seconds = -1 if age == "all" else parse_duration(age)
    except errors.UnitParseError as error:
        raise Misuse(str(error)) from None
    with master.connect() as client:
        archived, left = client.call("AutoArchiveJobs", [seconds, 60])
    click.echo(f"Archived {archived} jobs, {left} unchecked left")
    return 0
