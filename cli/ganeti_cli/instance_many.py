"""gnt-instance batch-create."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import msgspec

from ganeti_cli.app import Finish
from ganeti_cli.jobs import follow, job_options, run_opcode
from ganeti_cli.options import options
from ganeti_kernel import errors
from ganeti_kernel.constants import EXIT_FAILURE

MAX_FILE: Final = 16 << 20
"""Bytes of a definition file."""


@click.command()
@click.argument("file", metavar="FILE", type=Path)
@options("dry_run", "priority", "iallocator", "submit", "print_jobid")
def batch_create(file: Path, **given: Any) -> int:
    """Create the instances that a JSON file describes, where an allocator puts them."""
    opcode = {
        "OP_ID": "OP_INSTANCE_MULTI_ALLOC",
        "instances": [{"OP_ID": "OP_INSTANCE_CREATE", **item} for item in read_definitions(file)],
        "iallocator": given["iallocator"],
    }
    result = run_opcode(opcode, **job_options(given))
    if result is None:
        return 0
    names = result["allocatable"]
    if given["dry_run"]:
        click.echo(f"These instances can be created: {', '.join(names) or 'none'}")
        failed = 0
    else:
        failed = follow(result["jobs"], names)
    for name in result["failed"]:
        click.echo(f"There is no place for instance {name}", err=True)
    if failed or result["failed"]:
        raise Finish(EXIT_FAILURE)
    if not given["dry_run"]:
        click.echo("All instances created successfully.")
    return 0


def read_definitions(file: Path) -> list[dict[str, Any]]:
    """Read a JSON list of OP_INSTANCE_CREATE's fields; raises OpPrereqError naming the file."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise _bad(file, f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise _bad(file, f"has more than {MAX_FILE >> 20} MiB")
    try:
        return msgspec.json.decode(data, type=list[dict[str, Any]])
    except msgspec.ValidationError as error:
        raise _bad(file, f"must be a list of objects, one for each instance: {error}") from None
    except msgspec.DecodeError as error:
        raise _bad(file, f"is not JSON: {error}") from None


def _bad(file: Path, what: str) -> errors.OpPrereqError:
    return errors.OpPrereqError(f"instance definition file {file} {what}", errors.ECODE_INVAL)
