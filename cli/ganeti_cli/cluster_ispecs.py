"""gnt-cluster show-ispecs-cmd: the options that would make the same instance policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ganeti_cli import master
from ganeti_cli.options import options


def _specs(values: Mapping[str, Any]) -> str:
    return ",".join(f"{key}={values[key]}" for key in sorted(values))


def ispecs_command(name: str, policy: Mapping[str, Any]) -> str:
    """`gnt-cluster init` with the policy's limits, in upstream 3.0's form."""
    parts = ["gnt-cluster init"]
    if "std" in policy:
        parts.append(f"--ipolicy-std-specs {_specs(policy['std'])}")
    bounds = "//".join(
        f"min:{_specs(item['min'])}/max:{_specs(item['max'])}" for item in policy["minmax"]
    )
    if bounds:
        parts.append(f"--ipolicy-bounds-specs {bounds}")
    return " ".join([*parts, name])


@click.command("show-ispecs-cmd")
@options()
def show_ispecs(**_given: object) -> int:
    """Show the command that would make a cluster with the same limits for instances."""
    with master.connect(query=True) as client:
        data = client.query_cluster_info()
    click.echo(ispecs_command(data["name"], data["ipolicy"]))
    return 0
