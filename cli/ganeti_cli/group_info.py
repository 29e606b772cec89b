"""`gnt-group info`: a group's parameters, its own ones and those it inherits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ganeti_cli import master
from ganeti_cli.options import options
from ganeti_cli.output import Pairs, tree

FIELDS = (
    "name", "ndparams", "custom_ndparams", "diskparams", "custom_diskparams", "ipolicy",
    "custom_ipolicy",
)  # fmt: skip


@click.command()
@click.argument("names", nargs=-1, metavar="[GROUP...]")
@options()
def info(names: tuple[str, ...], **_given: Any) -> int:
    """Show node groups with their parameters; the master refuses a name that is not known."""
    qfilter = ["|", *(["=", "name", name] for name in names)] if names else None
    with master.connect(query=True) as client:
        data = client.query("group", list(FIELDS), qfilter)["data"]
    rows = [dict(zip(FIELDS, (value for _status, value in row), strict=True)) for row in data]
    if rows:
        click.echo("\n".join(tree([describe(row) for row in rows])))
    return 0


def params(filled: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
    """Values with `default (…)` around those that are not the group's own."""
    if not filled:
        return "default ({})"
    return Pairs(
        (key, str(own[key]) if key in own else f"default ({filled[key]})") for key in sorted(filled)
    )


def describe(row: Mapping[str, Any]) -> Pairs:
    """Lay out one group (upstream 3.0's form)."""
    own_disks = row["custom_diskparams"]
    disks = Pairs(
        (name, params(filled, own_disks.get(name, {})))
        for name, filled in sorted(row["diskparams"].items())
    )
    return Pairs(
        [
            ("Node group", row["name"]),
            ("Node parameters", params(row["ndparams"], row["custom_ndparams"])),
            ("Disk parameters", disks),
            ("Instance policy", policy(row["ipolicy"], row["custom_ipolicy"])),
        ]
    )


def policy(filled: Mapping[str, Any], own: Mapping[str, Any]) -> Pairs:
    """Lay out an instance policy."""
    bounds = [
        Pairs(
            (f"{end}/{index}", params(limits[end], limits[end] if "minmax" in own else {}))
            for end in ("min", "max")
        )
        for index, limits in enumerate(filled.get("minmax", ()))
    ]
    out = Pairs([("bounds specs", bounds)])
    for key, title in (
        ("disk-templates", "allowed disk templates"),
        ("vcpu-ratio", "vcpu-ratio"),
        ("spindle-ratio", "spindle-ratio"),
    ):
        if key in filled:
            value = filled[key]
            text = ", ".join(value) if isinstance(value, list) else str(value)
            out.append((title, text if key in own else f"default ({text})"))
    return out
