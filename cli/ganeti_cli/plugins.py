"""gnt-plugins list, info, check. They work on this node alone and need no daemon."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import click

from ganeti_cli.options import options
from ganeti_cli.output import Column, Pairs, table, tree
from ganeti_kernel.errors import ECODE_NOENT, OpPrereqError, PluginError
from ganeti_kernel.paths import Paths, host_name
from ganeti_kernel.plugins import KINDS, Registry
from ganeti_kernel.plugins.kinds import kind_of
from ganeti_kernel.specs.base import Parameter, PluginContext, to_schema


def _registry() -> Registry:
    return Registry(PluginContext(paths=Paths.from_environment(), node_name=host_name()))


def _kinds(names: Iterable[str]) -> list[str]:
    return [kind_of(name).name for name in names] or list(KINDS)


@click.command("list")
@click.argument("kinds", nargs=-1, metavar="[KIND...]")
@options("json", "no_headers", "separator")
def list_plugins(kinds: tuple[str, ...], **given: Any) -> int:
    """List installed plugins, importing none of them.

    Names that a directory of scripts offers are shown by `check`, which has to look into it.
    """
    registry = _registry()
    rows = [
        {
            "kind": item.kind,
            "name": item.name,
            "distribution": item.distribution,
            "version": item.version,
            "state": "disabled" if registry.is_disabled(item) else "enabled",
        }
        for kind in _kinds(kinds)
        for item in registry.found(kind)
    ]
    _show(rows, given)
    return 0


def _show(rows: list[dict[str, Any]], given: Mapping[str, Any]) -> None:
    if given["as_json"]:
        click.echo(json.dumps(rows, indent=2))
        return
    titles = list(rows[0]) if rows else ["kind", "name", "distribution", "version", "state"]
    lines = table(
        [Column(title.capitalize()) for title in titles],
        [[str(row[title]) for title in titles] for row in rows],
        headers=not given["no_headers"],
        separator=given["separator"],
    )
    click.echo("\n".join(lines), nl=bool(lines))


@click.command()
@click.argument("kinds", nargs=-1, metavar="[KIND...]")
@options("json", "no_headers", "separator")
def check(kinds: tuple[str, ...], **given: Any) -> int:
    """Load every plugin as a daemon would; exit code 1 when one cannot be used."""
    registry = _registry()
    rows: list[dict[str, Any]] = []
    for kind in _kinds(kinds):
        good, broken = registry.load_all(kind)
        rows += [_row(kind, name, registry.location(kind, name), "") for name in good]
        rows += [
            _row(item.kind, item.name, item.distribution, item.reason)
            for item in (*broken, *registry.broken_sources(kind))
        ]
    rows.sort(key=lambda row: (row["kind"], row["name"]))
    _show(rows, given)
    if registry.config_problem is not None:
        click.echo(registry.config_problem, err=True)
    return 1 if registry.config_problem or any(row["state"] != "usable" for row in rows) else 0


def _row(kind: str, name: str, origin: str, problem: str) -> dict[str, Any]:
    state = "BROKEN" if problem else "usable"
    return {"kind": kind, "name": name, "state": state, "from": origin, "problem": problem}


@click.command()
@click.argument("kind", metavar="KIND")
@click.argument("name", metavar="NAME")
@options("json")
def info(kind: str, name: str, as_json: bool, **_given: Any) -> int:
    """Show what a plugin says of itself: summary, features, parameters."""
    registry = _registry()
    try:
        description = registry.describe(kind, name)
    except PluginError as error:
        raise OpPrereqError(str(error), ECODE_NOENT) from None
    origin = registry.location(kind, name)
    if as_json:
        answer = {
            "kind": kind_of(kind).name,
            "name": description.name,
            "version": description.version,
            "summary": description.summary,
            "from": origin,
            "features": sorted(description.features),
            "schema": to_schema(description),
        }
        click.echo(json.dumps(answer, indent=2))
        return 0
    rows = Pairs(
        [
            ("Plugin", f"{kind_of(kind).name} {description.name}"),
            ("From", origin),
            ("Version", description.version),
            ("Summary", description.summary),
            ("Features", ", ".join(sorted(description.features)) or "none"),
            ("Parameters", Pairs((item.name, _describe(item)) for item in description.parameters)),
        ]
    )
    click.echo("\n".join(tree(rows)))
    return 0


def _describe(item: Parameter) -> str:
    """One line on a parameter: type, limits, default, help."""
    parts = [item.type]
    if item.choices:
        parts.append(f"one of {', '.join(str(choice) for choice in item.choices)}")
    if item.minimum is not None:
        parts.append(f"at least {item.minimum:g}")
    if item.maximum is not None:
        parts.append(f"at most {item.maximum:g}")
    if item.required:
        parts.append("required")
    if item.cluster_only:
        parts.append("for the cluster only")
    if item.secret:
        parts.append("secret")
    else:
        parts.append(f"default {item.default!r}")
    text = "; ".join(parts)
    return f"{text}. {item.help}" if item.help else text
