"""`add-tags`, `list-tags` and `remove-tags` of every kind of object, and the search for tags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ganeti_cli import master
from ganeti_cli.jobs import job_options, run_opcode
from ganeti_cli.options import options
from ganeti_kernel import errors

F = TypeVar("F", bound=Callable[..., Any])

MAX_FILE = 4096 * 130
"""Bytes of a file with tags: as many as an object can have."""


def read_tags(source: str | None) -> list[str]:
    """Read tags, one a line, from a file or (`-`) standard input."""
    if source is None:
        return []
    try:
        with click.open_file(source) as stream:
            text = stream.read(MAX_FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise errors.OpPrereqError(
            f"cannot read tags from {Path(source)}: {error}", errors.ECODE_INVAL
        ) from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _change_command(kind: str, op_id: str, summary: str, verb: str) -> click.Command:
    @click.command(help=summary)
    @_name(kind)
    @click.argument("tags", nargs=-1, metavar="[TAG...]")
    @click.option("--from", "source", metavar="FILE", help="Read tags from FILE, - for input.")
    @options("priority", "submit", "print_jobid")
    def command(tags: tuple[str, ...], source: str | None, **given: Any) -> int:
        wanted = [*tags, *read_tags(source)]
        if not wanted:
            raise errors.OpPrereqError(f"No tags to be {verb}", errors.ECODE_INVAL)
        opcode = {"OP_ID": op_id, "kind": kind, "name": given.get("name"), "tags": wanted}
        run_opcode(opcode, **job_options(given))
        return 0

    return command


def _name(kind: str) -> Callable[[F], F]:
    if kind == "cluster":
        return lambda function: function
    return click.argument("name", metavar="GROUP" if kind == "nodegroup" else kind.upper())


def _list_command(kind: str) -> click.Command:
    @click.command(help="List tags.")
    @_name(kind)
    @options()
    def command(**given: Any) -> int:
        with master.connect(query=True) as client:
            tags = client.query_tags(kind, given.get("name") or "")
        for tag in sorted(tags):
            click.echo(tag)
        return 0

    return command


def _commands(kind: str) -> tuple[click.Command, click.Command, click.Command]:
    return (
        _change_command(kind, "OP_TAGS_SET", "Add tags.", "added"),
        _list_command(kind),
        _change_command(kind, "OP_TAGS_DEL", "Remove tags.", "removed"),
    )


add_cluster, list_cluster, remove_cluster = _commands("cluster")
add_node, list_node, remove_node = _commands("node")
add_group, list_group, remove_group = _commands("nodegroup")
add_instance, list_instance, remove_instance = _commands("instance")
add_network, list_network, remove_network = _commands("network")


@click.command()
@click.argument("pattern")
@options("priority")
def search(pattern: str, **given: Any) -> int:
    """Find tags of all objects by a regular expression; exit code 1 when there is none."""
    found = run_opcode({"OP_ID": "OP_TAGS_SEARCH", "pattern": pattern}, **job_options(given))
    for path, tag in sorted(found):
        click.echo(f"{path} {tag}")
    if not found:
        click.echo(f"no tag matches {pattern!r}", err=True)
    return 0 if found else 1
