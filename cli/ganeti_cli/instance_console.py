"""gnt-instance console."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

import click

from ganeti_cli import master
from ganeti_cli.app import Finish
from ganeti_cli.options import options
from ganeti_kernel import errors
from ganeti_kernel.paths import Paths, host_name


def command_line(console: Mapping[str, Any], remote_shell: list[str]) -> list[str]:
    """The program that opens a console of kind ssh; on this node it is run directly."""
    command = [str(part) for part in console["command"]]
    if console["host"] == host_name():
        return command
    user = console.get("user") or "root"
    return [*remote_shell, f"{user}@{console['host']}", shlex.join(command)]


def remote_shell(paths: Paths) -> list[str]:
    """The site's way to run a command on another node; ssh unless there is one of its own."""
    own = paths.conf_dir / "remote-shell"
    return [str(own)] if own.exists() else ["ssh", "-q", "-t"]


@click.command()
@click.argument("name", metavar="INSTANCE")
@click.option("--show-cmd", "show_command", is_flag=True, help="Print the command and exit.")
@options("priority")
def console(name: str, show_command: bool, **_given: Any) -> int:
    """Open the console of a running instance; what ends the session the console says."""
    with master.connect(query=True) as client:
        answer = client.query("instance", ["console", "oper_state"], ["=", "name", name])
    if not answer["data"]:
        raise errors.OpPrereqError(f"Instance '{name}' not known", errors.ECODE_NOENT)
    (status, found), (_state_status, running) = answer["data"][0]
    if status != 0 or not found:
        why = "is not running" if running is False else "has no console that can be reached now"
        raise errors.OpExecError(
            f"instance {name} {why}; `gnt-instance list {name}` shows its state"
        )
    return _open(found, show_command=show_command)


def _open(found: Mapping[str, Any], *, show_command: bool) -> int:
    kind = found["kind"]
    if kind == "msg":
        click.echo(found["message"])
        return 0
    if kind in ("vnc", "spice"):
        click.echo(
            f"Instance {found['instance']} has {kind.upper()} listening on "
            f"{found['host']}:{found['port']}"
        )
        return 0
    argv = command_line(found, remote_shell(Paths.from_environment()))
    if show_command:
        click.echo(shlex.join(argv))
        return 0
    try:
        os.execvp(argv[0], argv)  # noqa: S606 # the console takes over this terminal
    except OSError as error:
        click.echo(f"cannot run {argv[0]}: {error.strerror}", err=True)
        raise Finish(1) from None
