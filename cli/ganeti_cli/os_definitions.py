"""The commands of gnt-os."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ganeti_cli.jobs import run_opcode
from ganeti_cli.options import options
from ganeti_cli.output import Column, table


def _rows(fields: Sequence[str], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    opcode = {"OP_ID": "OP_OS_DIAGNOSE", "output_fields": list(fields), "names": []}
    result = run_opcode(opcode, priority=given["priority"], reason=given["reason"])
    return [dict(zip(fields, row, strict=True)) for row in result]


@click.command("list")
@options("no_headers", "priority")
def list_os(**given: Any) -> int:
    """List the OSes, with their variants, that can be installed on every node."""
    names = []
    for row in _rows(("name", "variants", "valid", "hidden", "blacklisted"), given):
        if row["valid"] and not row["hidden"] and not row["blacklisted"]:
            variants = row["variants"] or []
            names += [f"{row['name']}+{variant}" for variant in variants] or [row["name"]]
    lines = table(
        [Column("Name")],
        [[name] for name in names],
        headers=not given["no_headers"],
        pad_header=True,
    )
    click.echo("\n".join(lines))
    return 0


@click.command()
@click.argument("names", nargs=-1, metavar="[OS...]")
@options("priority")
def info(names: tuple[str, ...], **given: Any) -> int:
    """Show OS definitions: versions, variants, parameters."""
    fields = (
        "name", "valid", "variants", "parameters", "api_versions", "blacklisted", "hidden",
        "trusted",
    )  # fmt: skip
    rows = {row["name"]: row for row in _rows(fields, given)}
    for name in names or sorted(rows):
        click.echo("\n".join(describe(rows[name]) if name in rows else [f"{name}: ", ""]))
    missing = [name for name in names if name not in rows]
    for name in missing:
        click.echo(f"OS {name!r} is on no node; `gnt-os diagnose` shows the search path", err=True)
    return 1 if missing else 0


def describe(row: Mapping[str, Any]) -> list[str]:
    """Lay out one OS definition (upstream 3.0's form)."""
    lines = [
        f"{row['name']}:",
        f"  - valid: {row['valid']}",
        f"  - hidden: {row['hidden']}",
        f"  - blacklisted: {row['blacklisted']}",
    ]
    if row["valid"]:
        lines.append("  - API versions:")
        lines += [f"    - {version}" for version in sorted(row["api_versions"])]
        lines.append("  - variants:")
        lines += [f"    - {variant}" for variant in row["variants"]]
        lines.append("  - parameters:")
        lines += [f"    - {name}: {text}" for name, text in row["parameters"]]
    return [*lines, f"  - trusted: {row['trusted']}", ""]


@click.command()
@options("priority")
def diagnose(**given: Any) -> int:
    """Say for each OS and node whether it can be installed and, if not, why."""
    rows = _rows(("name", "valid", "variants", "node_status", "hidden", "blacklisted"), given)
    bad = False
    for row in rows:
        lines, valid = diagnosis(row)
        bad = bad or not valid
        click.echo("\n".join(lines))
    return 1 if bad else 0


def diagnosis(row: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Lay out one OS's state on all nodes; says too whether it is valid."""
    notes = [word for word in ("hidden", "blacklisted") if row[word]]
    state = "valid" if row["valid"] else "invalid"
    extra = f" ({', '.join(notes)})" if notes else ""
    lines = [f"OS: {row['name']} [global status: {state}]{extra}"]
    if row["variants"]:
        lines.append(f"  Variants: [{', '.join(row['variants'])}]")
    for node, entries in sorted(row["node_status"].items()):
        lines += _node_lines(node, entries)
    return [*lines, ""], bool(row["valid"])


def _node_lines(node: str, entries: Sequence[Sequence[Any]]) -> list[str]:
    if not entries:
        return [f"  Node: {node}, status: OS not found"]
    lines = []
    for index, (path, valid, message, variants, params, versions, trusted) in enumerate(entries):
        if index:
            text = f"    [hidden by the one above] path: {path}, {'valid' if valid else message}"
            lines.append(text)
            continue
        text = f"  Node: {node}, status: {'valid' if valid else f'invalid - {message}'}"
        text += f" (path: {path})"
        known = ", ".join(str(version) for version in sorted(versions or []))
        text += f" [API versions: {known}]" if known else " [no API versions declared]"
        if variants:
            text += f" [variants: {', '.join(variants)}]"
        if params:
            text += f" [parameters: {', '.join(name for name, _help in params)}]"
        lines.append(text + (" [trusted]" if trusted else " [untrusted]"))
    return lines
