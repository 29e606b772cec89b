"""mon-collector: one report of one collector on standard output.

Options and exit codes are upstream's: 0 with a report, 2 for an option that cannot be read, 1 for
everything else. Collectors that upstream's tool does not offer work the same way; one that needs
samples takes two, a second apart.
"""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ganeti_kernel.constants import EXIT_FAILURE, EXIT_SUCCESS, EXIT_USAGE
from ganeti_kernel.errors import GenericError, ParameterError
from ganeti_kernel.version import SOFTWARE_VERSION

if TYPE_CHECKING:
    from ganeti_kernel.plugins.registry import Registry
    from ganeti_kernel.specs.collector import Collector, Input

PROGRAM: Final = "mon-collector"
KIND: Final = "collector"
SAMPLE_PAUSE: Final = 1.0
WIDTH: Final = 79

GENERIC: Final = (
    ("version", "V", "show the version of the program"),
    ("help", "h", "show help"),
    ("help-completion", "", "show completion info"),
)
COMPLETION: Final = {"file": "file", "address": "file", "port": "integer"}


class Misuse(Exception):
    """An option that cannot be read; the text says which."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run and exit. Called by the name of a collector (a symbolic link), it needs no name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    called = Path(sys.argv[0]).name
    try:
        sys.exit(run(called, arguments))
    except GenericError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILURE)
    except BrokenPipeError:
        sys.exit(EXIT_FAILURE)


def run(called: str, arguments: list[str]) -> int:
    """Do what the arguments say; returns the exit code, raises GenericError for failures."""
    if called == PROGRAM or called.endswith(".py"):
        if arguments == ["--version"]:
            print(version())
            return EXIT_SUCCESS
        name, arguments = (arguments[0], arguments[1:]) if arguments else ("", [])
    else:
        name = called
    registry = make_registry()
    names = registry.names(KIND)
    if name == "--help-completion":
        print(f"choices={','.join(names)} 1 1")
        return EXIT_SUCCESS
    if name not in names:
        print(overview(registry, names))
        return EXIT_SUCCESS if name in ("-h", "--help") else EXIT_FAILURE
    return run_collector(name, registry, arguments)


def run_collector(name: str, registry: Registry, arguments: Sequence[str]) -> int:
    collector: Collector = registry.get(KIND, name)
    try:
        values, rest = parse_options(collector.INPUTS, arguments)
    except Misuse as problem:
        print(f"Command line error: {problem}\n\n{usage(collector.INPUTS)}", file=sys.stderr)
        return EXIT_USAGE
    if "help" in values:
        print(usage(collector.INPUTS))
    elif "version" in values:
        print(version())
    elif "help-completion" in values:
        print(completion(collector.INPUTS))
    elif rest:
        raise ParameterError(f"This program takes exactly zero arguments, got '{' '.join(rest)}'")
    else:
        print(report(name, collector, values))
    return EXIT_SUCCESS


def report(name: str, collector: Collector, values: Mapping[str, str]) -> str:
    """Collect once and return the report."""
    from dataclasses import replace

    from ganeti_kernel.mond.report import encode, identity_of, timestamp_now
    from ganeti_kernel.mond.worker import describe

    kinds = {item.name: item.kind for item in collector.INPUTS}
    files = {option: value for option, value in values.items() if kinds[option] == "file"}
    collector.context = replace(
        collector.context, cluster=lookup(values.get("address"), values.get("port"))
    )
    if files:
        collector.use_inputs(files)
    try:
        if collector.STATEFUL:
            collector.update(time.clock_gettime(time.CLOCK_BOOTTIME))
            time.sleep(SAMPLE_PAUSE)
            collector.update(time.clock_gettime(time.CLOCK_BOOTTIME))
        data = collector.collect()
        return encode(identity_of(name, collector), timestamp_now(), data).decode()
    except GenericError:
        raise
    except Exception as error:  # a plugin's defect: one line, as for everything else
        raise GenericError(f"collector {name}: {describe(error)}") from error


def lookup(address: str | None, port: str | None) -> Any:
    from ganeti_kernel.daemons.lookup import ConfdLookup
    from ganeti_kernel.paths import Paths

    number = None
    if port is not None:
        if not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
            raise ParameterError(
                f"Error while parsing command line arguments: {port!r} is not a port"
            )
        number = int(port)
    return ConfdLookup(Paths.from_environment(), address=address, port=number)


def make_registry() -> Registry:
    from ganeti_kernel.paths import Paths, host_name
    from ganeti_kernel.plugins.registry import Registry
    from ganeti_kernel.specs import PluginContext

    return Registry(PluginContext(paths=Paths.from_environment(), node_name=host_name()))


def parse_options(
    inputs: Sequence[Input], arguments: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Split into options by long name and other arguments. Raises Misuse.

    Long options may be shortened as long as they are clear, as upstream's.
    """
    taking = {item.name: item.metavar for item in inputs}
    short = {item.short: item.name for item in inputs} | {s: name for name, s, _ in GENERIC if s}
    known = [*taking, *(name for name, _short, _help in GENERIC)]
    values: dict[str, str] = {}
    rest: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            return values, rest + left
        if word.startswith("--"):
            given, equals, value = word[2:].partition("=")
            name = _long(given, known)
            attached = value if equals else None
        elif word.startswith("-") and word != "-":
            found = short.get(word[1])
            if found is None:
                raise Misuse(f"unrecognized option `-{word[1]}'")
            name, attached = found, word[2:] or None
            if name not in taking and attached:
                left.insert(0, f"-{attached}")
                attached = None
        else:
            rest.append(word)
            continue
        if name not in taking:
            if attached is not None:
                raise Misuse(f"option `--{name}' doesn't allow an argument")
            values[name] = ""
        elif attached is not None:
            values[name] = attached
        elif left:
            values[name] = left.pop(0)
        else:
            raise Misuse(f"option `{word}' requires an argument {taking[name]}")
    return values, rest


def _long(given: str, known: Sequence[str]) -> str:
    matches = [name for name in known if name == given] or [
        name for name in known if name.startswith(given)
    ]
    if not matches:
        raise Misuse(f"unrecognized option `--{given}'")
    if len(matches) > 1:
        both = " or ".join(f"--{name}" for name in matches)
        raise Misuse(f"option `--{given}' is ambiguous: {both}")
    return matches[0]


def usage(inputs: Sequence[Input]) -> str:
    rows = [
        (f"-{item.short} {item.metavar}", f"--{item.name}={item.metavar}", item.help)
        for item in inputs
    ]
    rows += [(f"-{short}" if short else "", f"--{name}", text) for name, short, text in GENERIC]
    first = max(len(row[0]) for row in rows)
    second = max(len(row[1]) for row in rows)
    lines = [f"  {a:{first}}  {b:{second}}  {text}" for a, b, text in rows]
    head = f"{PROGRAM} (ganeti) version {SOFTWARE_VERSION}\nUsage: {PROGRAM} [OPTION...]"
    return "\n".join([head, *lines])


def completion(inputs: Sequence[Input]) -> str:
    lines = [f"-{item.short},--{item.name} {COMPLETION[item.kind]}" for item in inputs]
    lines += [
        f"-{short},--{name} none" if short else f"--{name} none" for name, short, _ in GENERIC
    ]
    return "\n".join([*lines, "file 0 0"])


def overview(registry: Registry, names: Sequence[str]) -> str:
    """What the program says when it is called without a collector's name."""
    width = max((len(name) for name in names), default=0)
    lines = [
        f"Usage: {PROGRAM} {{command}} [options...] [argument...]",
        f"{PROGRAM} <command> --help to see details",
        "",
        "Commands:",
    ]
    for name in names:
        try:
            summary = registry.describe(KIND, name).summary
        except GenericError as error:
            summary = f"cannot be used: {error}"
        lines += textwrap.wrap(
            summary,
            WIDTH,
            initial_indent=f" {name:{width}} - ",
            subsequent_indent=" " * (width + 4),
        )
    return "\n".join(lines)


def version() -> str:
    return f"{PROGRAM} (ganeti) version {SOFTWARE_VERSION}"


if __name__ == "__main__":
    main()
