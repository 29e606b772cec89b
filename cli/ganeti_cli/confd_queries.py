"""The commands of gnt-confd: one for each request type, and one for any."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

from ganeti_cli.app import Finish, Misuse
from ganeti_kernel.confd.client import ConfdClient
from ganeti_kernel.confd.exchange import EXPIRE, Result
from ganeti_kernel.constants import CONFD_PORT, EXIT_FAILURE
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs.confd_query import (
    ERROR_ARGUMENT,
    ERROR_INTERNAL,
    ERROR_UNKNOWN_ENTRY,
    STATUS_NOT_IMPLEMENTED,
)

F = TypeVar("F", bound=Callable[..., Any])

ROLES: Final = ("master", "candidate", "offline", "drained", "regular")
MASTER_FIELDS: Final = ("name", "cluster-ip", "node-ip")
ERRORS: Final = {
    ERROR_UNKNOWN_ENTRY: "there is no such entry in the configuration",
    ERROR_INTERNAL: "the daemon failed to answer; see its log",
    ERROR_ARGUMENT: "the daemon cannot take this argument, or it leads nowhere",
}


def asking(function: F) -> F:
    """The options of every command that asks."""
    for option in reversed(
        (
            click.option("--json", "as_json", is_flag=True, help="Print the whole reply as JSON."),
            click.option("--peers", metavar="IP,...", help="Ask these addresses."),
            click.option("--port", type=click.IntRange(1, 65535), help="Port of the daemons."),
            click.option(
                "--coverage",
                type=int,
                default=0,
                metavar="N",
                help="How many peers to ask: 0 up to six, -1 all.",
            ),
            click.option(
                "--timeout",
                type=click.FloatRange(min=0, min_open=True),
                default=EXPIRE,
                show_default=True,
                metavar="SECONDS",
                help="How long to wait for answers.",
            ),
            click.option("--trace", is_flag=True, help="Show each datagram on standard error."),
        )
    ):
        function = option(function)
    return function


DEFAULTS: Final[Mapping[str, Any]] = {
    "as_json": False,
    "peers": None,
    "port": None,
    "coverage": 0,
    "timeout": EXPIRE,
    "trace": False,
}
"""What `ask` is given by a command without these options."""


def ask(number: int, query: Any, given: Mapping[str, Any], show: Callable[[Any], None]) -> int:
    """Ask, show the answer, return the exit code."""
    peers = [item.strip() for item in (given["peers"] or "").split(",") if item.strip()]
    client = ConfdClient.of_node(Paths.from_environment(), peers, given["port"] or _port())
    exchange = client.exchange(number, query, given["coverage"], given["timeout"])
    try:
        result = client.run(exchange)
    finally:
        if given["trace"]:
            for event in exchange.trace:
                click.echo(str(event), err=True)
    if given["as_json"]:
        click.echo(json.dumps(_as_json(result), indent=2, ensure_ascii=False))
        return 0 if result.ok else EXIT_FAILURE
    if not result.ok:
        click.echo(f"Failure: {result.peer} answers: {_problem(result)}", err=True)
        raise Finish(EXIT_FAILURE)
    if not result.consistent:
        click.echo("Warning: daemons with the same serial gave different answers", err=True)
    if not result.complete:
        click.echo(f"Warning: only {result.answered} of {result.asked} daemons answered", err=True)
    show(result.answer)
    return 0


def _as_json(result: Result) -> dict[str, Any]:
    return {
        "status": result.status,
        "answer": result.answer,
        "serial": result.serial,
        "peer": result.peer,
        "consistent": result.consistent,
        "complete": result.complete,
        "asked": result.asked,
        "answered": result.answered,
    }


def _problem(result: Result) -> str:
    answer = result.answer
    if isinstance(answer, dict) and "text" in answer:
        return str(answer["text"])
    if result.status == STATUS_NOT_IMPLEMENTED:
        return "it does not know this request type"
    return ERRORS.get(answer, str(answer)) if isinstance(answer, int) else str(answer)


def _port() -> int:
    try:
        return socket.getservbyname("ganeti-confd", "udp")
    except OSError:
        return CONFD_PORT


def show_value(value: Any) -> None:
    """A scalar as it is, a list of scalars one a line, anything else as JSON."""
    if isinstance(value, list) and all(not isinstance(item, dict | list) for item in value):
        for item in value:
            show_value(item)
    elif isinstance(value, str):
        click.echo(value)
    else:
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_rows(rows: list[list[Any]]) -> None:
    """Rows in columns, separated by blanks."""
    for row in rows:
        click.echo(" ".join(str(item) for item in row))


def _simple(number: int, help_text: str, argument: str = "") -> click.Command:
    """A command that sends nothing but one argument, if any."""

    def command(value: str | None = None, **given: Any) -> int:
        return ask(number, value, given, show_value)

    function = asking(command)
    if argument:
        required = not argument.startswith("[")
        function = click.argument("value", metavar=argument, required=required)(function)
    return click.command(help=help_text)(function)


ping = _simple(0, "See whether a daemon answers; print the configuration's version.")
node_ips = _simple(4, "Print the primary addresses of all nodes.")
candidate_ips = _simple(5, "Print the primary addresses of the master candidates.")
instance_ips = _simple(6, "Print the instances' addresses on a link.", "[LINK]")
instance_disks = _simple(9, "Print an instance's disks.", "INSTANCE")
config_query = _simple(
    10, "Print a value of the configuration, e.g. /cluster/cluster_name.", "POINTER"
)
data_collectors = _simple(11, "Print which data collectors are active, and their intervals.")


@click.command()
@click.argument("node")
@asking
def node_role(node: str, **given: Any) -> int:
    """Print a node's role; "master" only for the master's full name."""

    def show(role: Any) -> None:
        known = isinstance(role, int) and 0 <= role < len(ROLES)
        click.echo(ROLES[role] if known else str(role))

    return ask(1, node, given, show)


@click.command()
@click.argument("addresses", nargs=-1, required=True, metavar="IP...")
@click.option("--link", help="The link the addresses are on (default: the cluster's).")
@asking
def node_by_ip(addresses: tuple[str, ...], link: str | None, **given: Any) -> int:
    """Print the address of the node that runs the instance with an address."""
    query: dict[str, Any] = {} if link is None else {"0": link}
    if len(addresses) == 1:
        return ask(2, query | {"1": addresses[0]}, given, show_value)

    def show(rows: list[list[Any]]) -> None:
        for address, (status, answer, _serial) in zip(addresses, rows, strict=False):
            click.echo(f"{address} {'-' if status else answer}")

    return ask(2, query | {"2": list(addresses)}, given, show)


@click.command()
@click.option("--fields", metavar="FIELD,...", help=f"Any of {', '.join(MASTER_FIELDS)}.")
@asking
def cluster_master(fields: str | None, **given: Any) -> int:
    """Print the master node's name, or what --fields asks for."""
    query = None
    if fields is not None:
        names = fields.split(",")
        wrong = [name for name in names if name not in MASTER_FIELDS]
        if wrong:
            raise Misuse(f"there is no field {wrong[0]!r}; fields are {', '.join(MASTER_FIELDS)}")
        query = {"3": [MASTER_FIELDS.index(name) for name in names]}
    return ask(3, query, given, show_value)


@click.command()
@click.argument("node")
@asking
def node_drbd(node: str, **given: Any) -> int:
    """Print the DRBD minors of a node: node, minor, instance, disk, role, other node."""
    return ask(7, node, given, show_rows)


@click.command()
@click.argument("node")
@asking
def node_instances(node: str, **given: Any) -> int:
    """Print the instances of a node, with "primary" or "secondary"."""

    def show(groups: list[list[dict[str, Any]]]) -> None:
        for role, group in zip(("primary", "secondary"), groups, strict=False):
            show_rows([[inst.get("name") or inst.get("uuid"), role] for inst in group])

    return ask(8, node, given, show)


@click.command()
@click.argument("number", metavar="TYPE")
@click.argument("argument", metavar="[ARG]", required=False)
@asking
def query(number: str, argument: str | None, **given: Any) -> int:
    """Ask any request type, by number or by the name of an installed plugin.

    ARG is sent as a string, or as what it says if it is a JSON object, a list or null.
    """
    return ask(_number(number), _value(argument), given, show_value)


def _value(argument: str | None) -> Any:
    if argument is None or not (argument[:1] in ("{", "[") or argument == "null"):
        return argument
    try:
        return json.loads(argument)
    except ValueError as error:
        raise Misuse(f"{argument!r} is neither a plain string nor JSON: {error}") from None


def _number(text: str) -> int:
    """The number of a request type; a name is looked up among the installed plugins."""
    try:
        return int(text)
    except ValueError:
        pass
    from ganeti_kernel.plugins.registry import Registry
    from ganeti_kernel.specs import PluginContext

    registry = Registry(PluginContext(paths=Paths.from_environment()))
    names = registry.names("confd_query")
    if text not in names:
        raise Misuse(
            f"there is no request type {text!r} installed here (installed: {', '.join(names)}); "
            f"give its number"
        )
    return int(registry.get("confd_query", text).NUMBER)
