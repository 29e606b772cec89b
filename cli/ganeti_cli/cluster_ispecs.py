"""`show-ispecs-cmd`: the command that would make the same limits for instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ganeti_cli import master
from ganeti_cli.options import options


def _specs(values: Mapping[str, Any]) -> str:
    return ",".join(f"{key}={values[key]}" for key in sorted(values))


def _bounds(minmax: Sequence[Mapping[str, Any]]) -> list[str]:
    text = "//".join(f"min:{_specs(item['min'])}/max:{_specs(item['max'])}" for item in minmax)
    return [f"--ipolicy-bounds-specs {text}"] if text else []


def ispecs_command(name: str, policy: Mapping[str, Any]) -> str:
    """`gnt-cluster init` with the policy's limits, in upstream 3.0's form."""
    std = [f"--ipolicy-std-specs {_specs(policy['std'])}"] if "std" in policy else []
    return " ".join(["gnt-cluster init", *std, *_bounds(policy["minmax"]), name])


def group_command(name: str, policy: Mapping[str, Any]) -> str:
    """`gnt-group add` with a group's limits, in upstream 3.0's form."""
    return " ".join(["gnt-group add", *_bounds(policy.get("minmax", ())), name])


@click.command("show-ispecs-cmd")
@options()
def show_ispecs(**_given: object) -> int:
    """Show the command that would make a cluster with the same limits for instances."""
    with master.connect(query=True) as client:
        data = client.query_cluster_info()
    click.echo(ispecs_command(data["name"], data["ipolicy"]))
    return 0


@click.command("show-ispecs-cmd")
@click.argument("names", nargs=-1, metavar="[GROUP...]")
@click.option("--include-defaults", is_flag=True, help="Also limits inherited from the cluster.")
@options()
def show_group_ispecs(names: tuple[str, ...], include_defaults: bool, **_given: object) -> int:
    """Show the commands that would make groups with the same limits for instances."""
    field = "ipolicy" if include_defaults else "custom_ipolicy"
    qfilter = ["|", *(["=", "name", name] for name in names)] if names else None
    with master.connect(query=True) as client:
        data = client.query("group", ["name", field], qfilter)["data"]
    for (_s, name), (_t, policy) in data:
        click.echo(group_command(name, policy))
    return 0
