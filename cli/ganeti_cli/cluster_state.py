"""gnt-cluster queue, watcher, master-ping: switches that are no jobs."""

from __future__ import annotations

import time
from typing import Final

import click

from ganeti_cli import master, values
from ganeti_cli.app import Misuse
from ganeti_cli.options import options
from ganeti_kernel.units import parse_duration

_DURATION: Final = values.Parsed("DURATION", parse_duration)


@click.command()
@click.argument("action", type=click.Choice(["drain", "undrain", "info"]))
@options()
def queue(action: str, **_given: object) -> int:
    """Close the job queue to new jobs, open it again, or say which it is."""
    with master.connect() as client:
        if action == "info":
            (drained,) = client.query_config_values(["drain_flag"])
            click.echo(f"The drain flag is {'set' if drained else 'unset'}")
        else:
            wanted = action == "drain"
            (drained,) = client.query_config_values(["drain_flag"])
            client.call("SetDrainFlag", [wanted])
            if bool(drained) == wanted:
                state = "drained already" if wanted else "not drained"
                click.echo(f"The queue was {state}; nothing changed.", err=True)
    return 0


@click.command()
@click.argument("action", type=click.Choice(["pause", "continue", "info"]))
@click.argument("duration", required=False, type=_DURATION, metavar="[DURATION]")
@options()
def watcher(action: str, duration: int | None, **_given: object) -> int:
    """Pause the watcher for a time, let it go on, or say which it is."""
    if (action == "pause") != (duration is not None):
        raise Misuse("`pause` takes a duration, for example 4h; the others take none")
    with master.connect() as client:
        if action == "info":
            (until,) = client.query_config_values(["watcher_pause"])
            if until is None or until < time.time():
                click.echo("The watcher is not paused.")
            else:
                click.echo(f"The watcher is paused until {time.ctime(until)}.")
            return 0
        until = None if duration is None else time.time() + duration
        until = client.call("SetWatcherPause", [until])
    if until is None:
        click.echo("The watcher is no longer paused.")
    else:
        click.echo(f"The watcher is paused until {time.ctime(until)}.")
    return 0


@click.command("master-ping")
@options()
def master_ping(**_given: object) -> int:
    """Succeed, without a word, when the master daemon answers."""
    with master.connect(query=True) as client:
        client.query_config_values(["cluster_name"])
    return 0
