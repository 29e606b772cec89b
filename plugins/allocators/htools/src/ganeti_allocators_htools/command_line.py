"""Reading of command lines in the manner of GNU getopt, and the texts about them.

Exit codes and the wording of errors are upstream's (release 3.0): long options may be shortened, an
optional argument is attached (``-pFIELDS``, ``--print-nodes=FIELDS``), options and arguments may be
mixed. A home-made reader rather than argparse, which knows no attached optional arguments and costs
a tenth of a small run's time.
"""

from __future__ import annotations

import sys

from . import __version__
from .errors import LoadError, UsageError
from .option_table import PROGRAMS, Option, program_options
from .options import Options

PROGRAM_VERSION = "3.0.2"


def help_table(options: list[Option]) -> str:
    """Options, one a line, columns aligned."""
    rows = [(*option.spelled, option.help) for option in options]
    short, long = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "".join(f"  {a:{short}}  {b:{long}}  {c}\n" for a, b, c in rows)


def version_line(program: str) -> str:
    return f"{program} (ganeti) version {PROGRAM_VERSION}"


def usage(program: str) -> str:
    """The text of ``--help``."""
    table = help_table(program_options(program))
    return f"{version_line(program)}\nUsage: {program} [OPTION...]\n{table}"


def completion(program: str) -> str:
    """The text of ``--help-completion``: options with the kind of value, then arguments."""
    lines = [
        f"{f'-{option.short},' if option.short else ''}--{option.long} {option.completion}"
        for option in program_options(program)
    ]
    arguments = PROGRAMS[program][1]
    return "".join(f"{line}\n" for line in lines + ([arguments] if arguments else []))


class _Malformed(Exception):
    """The command line breaks getopt's rules; the text is the whole message."""


def _find_long(name: str, options: list[Option]) -> Option:
    exact = [option for option in options if option.long == name]
    matches = exact or [option for option in options if option.long.startswith(name)]
    if not matches:
        raise _Malformed(f"unrecognized option `--{name}'\n")
    if len(matches) > 1:
        table = "".join(f"    {line.lstrip()}\n" for line in help_table(matches).splitlines())
        raise _Malformed(f"option `--{name}' is ambiguous; could be one of:\n{table}")
    return matches[0]


def _read_long(text: str, rest: list[str], options: list[Option]) -> tuple[Option, str | None]:
    name, equals, value = text.partition("=")
    option = _find_long(name, options)
    if option.takes == "no" and equals:
        raise _Malformed(f"option `--{name}' doesn't allow an argument\n")
    if option.takes == "required" and not equals:
        if not rest:
            raise _Malformed(f"option `--{name}' requires an argument {option.argument}\n")
        return option, rest.pop(0)
    return option, (value if equals else None)


def _read_short(
    text: str, rest: list[str], options: list[Option]
) -> list[tuple[Option, str | None]]:
    found: list[tuple[Option, str | None]] = []
    while text:
        letter, text = text[0], text[1:]
        option = next((option for option in options if option.short == letter), None)
        if option is None:
            raise _Malformed(f"unrecognized option `-{letter}'\n")
        if option.takes == "no":
            found.append((option, None))
            continue
        value: str | None = text or None
        if option.takes == "required" and value is None:
            if not rest:
                raise _Malformed(f"option `-{letter}' requires an argument {option.argument}\n")
            value = rest.pop(0)
        found.append((option, value))
        break
    return found


def read(program: str, argv: list[str]) -> Options:
    """Parse ``argv`` (without the program's name).

    Raises `UsageError` whose text is what belongs on standard error, with upstream's exit code.
    """
    table = program_options(program)
    chosen: list[tuple[Option, str | None]] = []
    result = Options()
    rest = list(argv)
    try:
        while rest:
            text = rest.pop(0)
            if text == "--":
                result.arguments += rest
                break
            if text.startswith("--"):
                chosen.append(_read_long(text[2:], rest, table))
            elif text.startswith("-") and text != "-":
                chosen += _read_short(text[1:], rest, table)
            else:
                result.arguments.append(text)
    except _Malformed as err:
        raise UsageError(f"Command line error: {err}\n{usage(program)}", 2) from err
    try:
        for option, value in chosen:
            option.apply(result, option.name, value)
    except (LoadError, UsageError) as err:
        raise UsageError(f"Error while parsing command line arguments:\n{err}") from err
    return result


def answered(program: str, options: Options) -> bool:
    """Whether ``--help``, ``--version`` or ``--help-completion`` was asked for, and print it."""
    if options.help:
        sys.stdout.write(usage(program))
    elif options.version:
        sys.stdout.write(
            f"{version_line(program)}\nganeti-allocators-htools {__version__}\n"
            f"running on {sys.platform} python {sys.version.split()[0]}\n"
        )
    elif options.help_completion:
        sys.stdout.write(completion(program))
    else:
        return False
    return True
