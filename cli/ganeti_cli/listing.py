"""`list` and `list-fields` of every resource."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import click

from ganeti_cli import app, master, output
from ganeti_cli.options import options
from ganeti_kernel.constants import EXIT_UNKNOWN_FIELD

FILTER_CHARACTERS: Final = frozenset(" \t\n!\"'()/<=>\\~")
GLOB_CHARACTERS: Final = frozenset("*?")


class Resource(NamedTuple):
    """What can be listed: `what` in LUXI, default fields, and how some fields are written."""

    what: str
    argument: str
    fields: tuple[str, ...]
    overrides: Mapping[str, Callable[[Any], str]] = {}
    units: bool = True
    filters: bool = True
    key: str = "name"
    numeric: bool = False
    environment: bool = False
    """Whether options are also taken from a variable, e.g. GNT_INSTANCE_LIST (upstream 3.0)."""


def choose_fields(default: Sequence[str], text: str | None) -> list[str]:
    """`None` gives the default, `+a,b` appends, `a,b` replaces."""
    if not text:
        return list(default)
    if text.startswith("+"):
        return [*default, *text[1:].split(",")]
    return text.split(",")


def make_filter(resource: Resource, args: Sequence[str], *, force: bool) -> Any:
    """Turn arguments into a query filter.

    One argument with an operator's character is a filter, one with `*` or `?` a glob; the rest
    are names (upstream 3.0).
    """
    if not args:
        return None
    if len(args) == 1 and (force or FILTER_CHARACTERS & set(args[0])):
        from ganeti_kernel.query.filter import parse_filter

        return parse_filter(args[0])
    parts = [_name_filter(resource, arg) for arg in args]
    return ["|", *parts]


def _name_filter(resource: Resource, arg: str) -> list[Any]:
    if GLOB_CHARACTERS & set(arg):
        from ganeti_kernel.query.filter import glob_to_regex

        return ["=~", resource.key, glob_to_regex(arg)]
    return ["=", resource.key, int(arg) if resource.numeric and arg.isdigit() else arg]


def show(result: Mapping[str, Any], resource: Resource, values: Mapping[str, Any]) -> int:
    """Print a query's answer; returns the exit code."""
    lines, unknown = output.query_table(
        result,
        overrides=resource.overrides,
        headers=not values["no_headers"],
        separator=values["separator"],
        units=values.get("units"),
        verbose=values["verbose"],
    )
    click.echo("\n".join(lines), nl=bool(lines))
    if unknown:
        click.echo(f"Warning: Queried for unknown fields {', '.join(unknown)}", err=True)
        return EXIT_UNKNOWN_FIELD
    return 0


def list_command(resource: Resource, summary: str) -> click.Command:
    """Make the `list` command of a resource."""
    names = ["no_headers", "separator", "output", "verbose"]
    names += ["units"] * resource.units + ["filter"] * resource.filters

    kind = _FromEnvironment if resource.environment else click.Command

    @click.command(cls=kind, help=summary, epilog=_epilog(resource))
    @click.argument("names", nargs=-1, metavar=f"[{resource.argument}...]")
    @options(*names)
    def command(names: tuple[str, ...], **values: Any) -> int:
        fields = choose_fields(resource.fields, values["output"])
        qfilter = make_filter(resource, names, force=values.get("force_filter", False))
        with master.connect(query=True) as client:
            result = client.query(resource.what, fields, qfilter)
        if names and not result["data"]:
            click.echo(f"No {resource.what} matches {' '.join(names)}", err=True)
        return show(result, resource, values)

    return command


def _epilog(resource: Resource) -> str:
    return f"Default fields: {', '.join(resource.fields)}. `list-fields` shows all."


def list_fields_command(resource: Resource) -> click.Command:
    """Make the `list-fields` command of a resource."""

    @click.command(help="List the fields that `list -o` takes.")
    @click.argument("fields", nargs=-1, metavar="[FIELD...]")
    @options("no_headers", "separator")
    def command(fields: tuple[str, ...], **values: Any) -> int:
        with master.connect(query=True) as client:
            result = client.query_fields(resource.what, list(fields) or None)
        rows = [
            [item["name"], _kind_word(item["kind"]), item["title"], item["doc"]]
            for item in result["fields"]
        ]
        columns = [output.Column(title) for title in ("Name", "Type", "Title", "Description")]
        lines = output.table(
            columns, rows, headers=not values["no_headers"], separator=values["separator"]
        )
        click.echo("\n".join(lines))
        unknown = any(item["kind"] == "unknown" for item in result["fields"])
        return EXIT_UNKNOWN_FIELD if unknown else 0

    return command


_KIND_WORDS: Final = {
    "unknown": "(unknown)",
    "text": "Text",
    "bool": "Boolean",
    "number": "Number",
    "float": "Floating-point number",
    "unit": "Storage size",
    "timestamp": "Timestamp",
    "other": "Custom",
}


def _kind_word(kind: str) -> str:
    return _KIND_WORDS.get(kind, kind)


class _FromEnvironment(click.Command):
    """A command whose variable (GNT_INSTANCE_LIST for `gnt-instance list`) holds more options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        name = ctx.command_path.upper().replace("-", "_").replace(" ", "_")
        try:
            given = shlex.split(os.environ.get(name, ""))
        except ValueError as error:
            raise app.Misuse(f"the variable {name} cannot be read: {error}", ctx) from None
        return super().parse_args(ctx, [*given, *args])


__all__ = ["Resource", "app", "list_command", "list_fields_command"]
