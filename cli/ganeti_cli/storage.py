"""The commands of gnt-storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ganeti_cli.jobs import run_opcode
from ganeti_cli.options import options


def _rows(fields: Sequence[str], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    opcode = {"OP_ID": "OP_EXT_STORAGE_DIAGNOSE", "output_fields": list(fields), "names": []}
    result = run_opcode(opcode, priority=given["priority"], reason=given["reason"])
    return [dict(zip(fields, row, strict=True)) for row in result]


@click.command()
@options("priority")
def diagnose(**given: Any) -> int:
    """Say for each provider and node whether it can be used and, if not, why."""
    for row in _rows(("name", "node_status", "nodegroup_status"), given):
        click.echo("\n".join(diagnosis(row)))
    return 0


def diagnosis(row: Mapping[str, Any]) -> list[str]:
    """Lay out one provider's state on all nodes and groups (upstream 3.0's form)."""
    lines = [f"Provider: {row['name']}", "---"]
    for node, entries in sorted(row["node_status"].items()):
        lines += _node_lines(node, entries)
    lines.append("  --")
    for group, valid in sorted(row["nodegroup_status"].items()):
        lines.append(f"  For nodegroup: {group} --> {'valid' if valid else 'invalid'}")
    return [*lines, ""]


def _node_lines(node: str, entries: Sequence[Sequence[Any]]) -> list[str]:
    if not entries:
        return [f"  Node: {node}, status: ExtStorage provider not found"]
    lines = []
    for path, valid, message, params in entries:
        state = "valid" if valid else f"invalid - {message}"
        names = ", ".join(name for name, _help in params)
        shown = f"[parameters: {names}]" if names else "[no parameters]"
        lines.append(f"  Node: {node}, status: {state} (path: {path}) {shown}")
    return lines


@click.command()
@click.argument("names", nargs=-1, metavar="[PROVIDER...]")
@options("priority")
def info(names: tuple[str, ...], **given: Any) -> int:
    """Show providers: where they can be used and which parameters they take."""
    rows = {row["name"]: row for row in _rows(("name", "nodegroup_status", "parameters"), given)}
    for name in names or sorted(rows):
        click.echo("\n".join(describe(rows[name]) if name in rows else [f"{name}: Not Found", ""]))
    return 1 if any(name not in rows for name in names) else 0


def describe(row: Mapping[str, Any]) -> list[str]:
    """Lay out one provider (upstream 3.0's form)."""
    groups = sorted(name for name, valid in row["nodegroup_status"].items() if valid)
    if not groups:
        return [f"{row['name']}:", "  - Invalid for all nodegroups", ""]
    return [
        f"{row['name']}:",
        "  - Valid for nodegroups:",
        *(f"      {group}" for group in groups),
        "  - Supported parameters:",
        *(f"      {name}: {text}" for name, text in row["parameters"]),
        "",
    ]
