"""gnt-cluster doctor: what is wrong with this node, without LUXI and without daemons."""

from __future__ import annotations

import json

import click

from ganeti_cli.options import options
from ganeti_kernel.paths import Paths, host_name


@click.command()
@options("json")
def doctor(as_json: bool, **_given: object) -> int:
    """Look at this node's files, keys, daemons and peers; say what is wrong and what to do.

    Works when daemons are down. Exit code 1 when something is in the way, 0 when all is well or
    there are only warnings.
    """
    from ganeti_kernel.daemons import doctor as room  # heavy: certificates, plugins, node calls

    site = room.Site(Paths.from_environment(), host_name())
    findings = list(room.examine(site))
    errors = sum(item.severity == room.ERROR for item in findings)
    if as_json:
        click.echo(json.dumps(room.document(site, findings), indent=2))
        return 1 if errors else 0
    click.echo(f"{site.name} is {room.role(site)}")
    for item in findings:
        click.echo(item.line())
    warnings = len(findings) - errors
    click.echo(f"{errors} error(s), {warnings} warning(s)" if findings else "All is well.")
    return 1 if errors else 0
