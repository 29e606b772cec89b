"""Asking the person at the terminal, and saying so when there is none."""

from __future__ import annotations

import click

from ganeti_cli.app import Finish
from ganeti_kernel.constants import EXIT_FAILURE

YES = ("y", "yes")


def confirm(question: str, option: str, *, code: int = EXIT_FAILURE) -> None:
    """Return when the answer is yes; else end with exit code `code`, which is told.

    The question goes to the controlling terminal, so that pipes do not answer it; without one the
    command says that `option` answers it.
    """
    try:
        with open("/dev/tty", "r+b", buffering=0) as terminal:
            terminal.write(f"{question}\ny/[n]: ".encode())
            answer = terminal.read(64).decode("utf-8", "replace").strip().lower()
    except OSError:
        hint = f"There is no terminal to ask at, so nothing was done; {option} answers yes."
        click.echo(f"{question}\n{hint}", err=True)
        raise Finish(code) from None
    if answer not in YES:
        click.echo("Nothing was done.", err=True)
        raise Finish(code)
