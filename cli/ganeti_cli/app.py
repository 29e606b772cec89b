"""The frame of every gnt-* program.

A program is a table of commands; a command's module is imported when it is run, so that `--help`
and short commands start fast. Exit codes are upstream's: 2 for an option that cannot be read, 1
for every other misuse and for failures.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import click

from ganeti_kernel.constants import EXIT_FAILURE, EXIT_USAGE
from ganeti_kernel.errors import GenericError
from ganeti_kernel.version import SOFTWARE_VERSION

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Entry(NamedTuple):
    """A command of a program: `module:attribute` to import, and the line `--help` shows."""

    target: str
    summary: str


class Program(click.Group):
    """A group whose commands are imported when they are needed."""

    def __init__(
        self, name: str, entries: Mapping[str, Entry], aliases: Mapping[str, str], summary: str
    ) -> None:
        super().__init__(
            name, help=summary, context_settings=CONTEXT, no_args_is_help=False, params=[_VERSION]
        )
        self.entries = entries
        self.aliases = aliases

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = self.aliases.get(cmd_name, cmd_name)
        entry = self.entries.get(name)
        if entry is None:
            return None
        import importlib

        module, _, attribute = entry.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        command.name = name
        if not command.help:
            command.help = entry.summary
        return command  # type: ignore[no-any-return] # by the table's construction

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self.entries[name].summary) for name in sorted(self.entries)]
            )
        if self.aliases:
            with formatter.section("Aliases"):
                formatter.write_dl(sorted(self.aliases.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise Misuse(
                f"there is no command {args[0]!r}; `{self.name} --help` lists the commands", ctx
            )
        return super().resolve_command(ctx, args)


class Misuse(click.UsageError):
    """A command used wrongly in another way than by an unreadable option: exit code 1."""

    exit_code = EXIT_FAILURE


class Finish(Exception):
    """A command's way to end with an exit code of its own; everything to say has been said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _show_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"{ctx.info_name} (ganeti-kernel {SOFTWARE_VERSION}) {SOFTWARE_VERSION}")
        ctx.exit()


_VERSION = click.Option(
    ["--version"],
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)


def run(program: click.Command, argv: Sequence[str] | None = None) -> NoReturn:
    """Run a program and exit; errors become text on standard error and an exit code."""
    sys.exit(execute(program, sys.argv[1:] if argv is None else argv))


def execute(program: click.Command, argv: Sequence[str]) -> int:
    """Run a program and return its exit code."""
    if not argv and isinstance(program, click.Group):
        with click.Context(program, info_name=program.name) as ctx:
            click.echo(program.get_help(ctx))
        return EXIT_FAILURE
    try:
        result = program.main(list(argv), prog_name=program.name, standalone_mode=False)
    except Finish as finish:
        return finish.code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return EXIT_FAILURE
    except click.ClickException as error:
        _show_usage(error)
        return _usage_code(error)
    except (click.Abort, KeyboardInterrupt):
        click.echo(
            "Aborted. A job already submitted goes on in the background; see `gnt-job list`.",
            err=True,
        )
        return EXIT_FAILURE
    except GenericError as error:
        from ganeti_cli.failures import explain

        text, code = explain(error)
        click.echo(text, err=True, nl=bool(text))
        return code
    except BrokenPipeError:
        # The reader went away (`| head`); leave without Python's complaint at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    return result if isinstance(result, int) else 0


def _usage_code(error: click.ClickException) -> int:
    """2 for what upstream's option parser refuses: unknown options, values of a simple type."""
    if isinstance(error, Misuse) or type(error) is click.UsageError:  # too many arguments
        return EXIT_FAILURE
    if isinstance(error, click.MissingParameter) and error.param_type != "option":
        return EXIT_FAILURE
    if isinstance(error, click.BadParameter) and error.param is not None:
        of_argument = isinstance(error.param, click.Argument)
        return EXIT_FAILURE if of_argument else getattr(error.param.type, "exit_code", EXIT_USAGE)
    return EXIT_USAGE


def _show_usage(error: click.ClickException) -> None:
    ctx: Any = getattr(error, "ctx", None)
    if ctx is not None:
        click.echo(ctx.get_usage(), err=True)
        click.echo(f"Try `{ctx.command_path} --help` for help.\n", err=True)
    name = ctx.find_root().info_name if ctx is not None else "gnt"
    click.echo(f"{name}: error: {error.format_message()}", err=True)
