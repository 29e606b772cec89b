"""The commands of gnt-filter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ganeti_cli import master, values
from ganeti_cli.listing import Resource, list_command, list_fields_command
from ganeti_cli.options import options
from ganeti_cli.output import Pairs, tree
from ganeti_kernel import errors

MAX_FILE = 1 << 20

FILTERS = Resource(
    what="filter",
    argument="FILTER",
    fields=("uuid", "watermark", "priority", "predicates", "action", "reason_trail"),
    units=False,
    filters=False,
    key="uuid",
)

list_filters = list_command(FILTERS, "List job filters.")
list_fields = list_fields_command(FILTERS)


def parse_action(text: str) -> Any:
    """Parse `ACCEPT`, `PAUSE`, `REJECT`, `CONTINUE` or `RATE_LIMIT n`; raises ValueError."""
    name, _, number = text.strip().partition(" ")
    name = name.upper()
    if name == "RATE_LIMIT" and number.strip().isdigit() and int(number) > 0:
        return [name, int(number)]
    if name in ("ACCEPT", "PAUSE", "REJECT", "CONTINUE") and not number:
        return name
    raise ValueError(
        f"{text!r} is no action: write ACCEPT, PAUSE, REJECT, CONTINUE or 'RATE_LIMIT n'"
    )


def parse_predicates(text: str) -> list[Any]:
    """Parse a JSON list, or the one in a file (`@file`); raises ValueError."""
    if text.startswith("@"):
        try:
            with Path(text[1:]).open() as stream:
                text = stream.read(MAX_FILE)
        except OSError as error:
            raise ValueError(f"cannot read {text[1:]}: {error.strerror}") from None
    value = json.loads(text)
    if not isinstance(value, list):
        raise ValueError(f"{text!r} is no JSON list of predicates")
    return value


_ACTION = values.Parsed("ACTION", parse_action)
_PREDICATES = values.Parsed("JSON|@FILE", parse_predicates)


def _save(uuid: str | None, command: str, given: dict[str, Any]) -> str:
    trail = master.reason_trail("gnt-filter", command, given["reason"])
    args = [uuid, given["priority"], given["predicates"], given["action"], trail]
    with master.connect() as client:
        return str(client.call("ReplaceFilter", args))


def _rule(function: Any) -> Any:
    for option in (
        click.option("--priority", type=click.IntRange(min=0), default=0, help="Lower is first."),
        click.option("--predicates", type=_PREDICATES, default="[]", help="Which jobs match."),
        click.option("--action", type=_ACTION, default="CONTINUE", help="What becomes of them."),
        options(),
    ):
        function = option(function)
    return function


def _add(**given: Any) -> int:
    """Add a job filter and print its UUID."""
    click.echo(_save(None, "add", given))
    return 0


def _replace(uuid: str, **given: Any) -> int:
    """Replace a job filter."""
    click.echo(_save(uuid, "replace", given))
    return 0


add = click.command("add")(_rule(_add))
replace = click.command("replace")(click.argument("uuid", metavar="FILTER")(_rule(_replace)))


@click.command()
@click.argument("uuid", metavar="FILTER")
@options()
def delete(uuid: str, **_given: Any) -> int:
    """Delete a job filter."""
    with master.connect() as client:
        client.call("DeleteFilter", [uuid])
    return 0


@click.command()
@click.argument("uuids", nargs=-1, metavar="[FILTER...]")
@options()
def info(uuids: tuple[str, ...], **_given: Any) -> int:
    """Show job filters."""
    fields = list(FILTERS.fields)
    qfilter = ["|", *(["=", "uuid", uuid] for uuid in uuids)] if uuids else None
    with master.connect(query=True) as client:
        rows = client.query("filter", fields, qfilter)["data"]
    found = [dict(zip(fields, (value for _status, value in row), strict=True)) for row in rows]
    titles = {"uuid": "UUID", "reason_trail": "Reason trail"}
    for row in found:
        pairs = [(titles.get(key, key.title()), str(value)) for key, value in row.items()]
        click.echo("\n".join(tree(Pairs([pairs[0]])) + tree(Pairs(pairs[1:]), 2)))
    missing = [uuid for uuid in uuids if all(row["uuid"] != uuid for row in found)]
    if missing:
        raise errors.OpPrereqError(f"Job filter '{missing[0]}' not known", errors.ECODE_NOENT)
    return 0
