"""gnt-mon: the cluster's nodes in a terminal, out of their monitoring daemons, worst first."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from ganeti_cli.app import CONTEXT, run
from ganeti_cli.mon_view import HEADS, NodeRow, cells, summarise, unreachable, worst_first
from ganeti_kernel.constants import EXIT_SUCCESS, MAX_SSCONF_BYTES, MOND_PORT
from ganeti_kernel.errors import GenericError, ParameterError
from ganeti_kernel.paths import Paths

if TYPE_CHECKING:
    from rich.console import RenderableType

DEADLINE: Final = 3.0
"""Seconds a node has to answer."""
FAN_OUT: Final = 32
MAX_BYTES: Final = 32 << 20
MAX_PROBLEMS: Final = 20
COLOURS: Final = {0: "green", 1: "yellow", 2: "magenta", 4: "red", 8: "red"}

Target = tuple[str, str, int]
"""Node name, address, port."""


@click.command(name="gnt-mon", context_settings=CONTEXT)
@click.option(
    "-n", "--node", "nodes", multiple=True, metavar="NODE[=ADDRESS[:PORT]]", help="Only this node."
)
@click.option("-p", "--port", default=MOND_PORT, show_default=True, help="Port of the daemons.")
@click.option("-w", "--watch", is_flag=True, help="Show it again and again until interrupted.")
@click.option("--interval", default=5.0, show_default=True, help="Seconds between two looks.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a node.")
def program(nodes: tuple[str, ...], port: int, watch: bool, interval: float, as_json: bool) -> int:
    """Show CPU, memory, disks and instances of every node, and what is wrong, worst first."""
    if interval <= 0:
        raise ParameterError(f"the interval must be more than 0 seconds, not {interval:g}")
    targets = [parse_target(node, port) for node in nodes] or cluster_nodes(port)
    if watch and sys.stdout.isatty() and not as_json:
        _watch(targets, interval)
        return EXIT_SUCCESS
    while True:
        rows = look(targets)
        if as_json:
            import json

            click.echo(json.dumps([row.as_json() for row in rows]))
        else:
            _console().print(picture(rows))
        if not watch:
            return EXIT_SUCCESS
        time.sleep(interval)


def parse_target(text: str, port: int) -> Target:
    """Read NODE[=ADDRESS[:PORT]]; an address of IPv6 with a port is in brackets."""
    name, _, where = text.partition("=")
    address, colon, number = where.rpartition(":")
    if not colon or (":" in address and not address.startswith("[")):
        address, number = where, str(port)
    if not name or not number.isdigit() or not 0 < int(number) < 65536:
        raise ParameterError(f"{text!r} is not NODE, NODE=ADDRESS or NODE=ADDRESS:PORT")
    return name, address.strip("[]") or name, int(number)


def cluster_nodes(port: int) -> list[Target]:
    """The nodes that this node's own files list. Raises GenericError without them."""
    path = Paths.from_environment().ssconf("node_primary_ips")
    try:
        with open(path, encoding="ascii") as stream:
            lines = stream.read(MAX_SSCONF_BYTES).splitlines()
    except OSError as error:
        raise GenericError(
            f"cannot read the cluster's nodes from {path}: {error.strerror}; run this on a node "
            "of the cluster or name nodes with --node"
        ) from None
    pairs = [line.split() for line in lines if line.strip()]
    return [(pair[0], pair[1], port) for pair in pairs if len(pair) == 2]


def look(targets: Sequence[Target]) -> list[NodeRow]:
    """Ask all nodes side by side."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(FAN_OUT, max(1, len(targets)))) as pool:
        return worst_first(list(pool.map(ask, targets)))


def ask(target: Target) -> NodeRow:
    """One node's row; a node that does not answer has one as well."""
    import http.client
    import json

    node, address, port = target
    connection = http.client.HTTPConnection(address, port, timeout=DEADLINE)
    try:
        connection.request("GET", "/1/report/all", headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(MAX_BYTES)
        if answer.status != http.client.OK:
            return unreachable(node, f"{address}:{port} answers {answer.status} {answer.reason}")
        return summarise(node, json.loads(body))
    except (OSError, http.client.HTTPException) as error:
        return unreachable(node, f"cannot ask {address}:{port}: {error}")
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        return unreachable(node, f"{address}:{port} sent no reports: {error}")
    finally:
        connection.close()


def picture(rows: Sequence[NodeRow]) -> RenderableType:
    """The table of nodes and the list of what is wrong."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(*HEADS, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        name, word, *rest = cells(row)
        table.add_row(name, Text(word, style=COLOURS.get(row.code, "red")), *rest)
    problems = [f"{row.node}: {problem}" for row in rows for problem in row.problems]
    shown = [Text(problem) for problem in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        shown.append(Text(f"... and {len(problems) - MAX_PROBLEMS} more"))
    return Group(table, *shown)


def _console() -> Any:
    from rich.console import Console

    # a file or pipe has no width: lines must not be broken for it
    return Console() if sys.stdout.isatty() else Console(width=160, color_system=None)


def _watch(targets: Sequence[Target], interval: float) -> None:
    from rich.live import Live

    with Live(picture(look(targets)), console=_console(), screen=True) as live:
        try:
            while True:
                time.sleep(interval)
                live.update(picture(look(targets)), refresh=True)
        except KeyboardInterrupt:
            return


def main(argv: Sequence[str] | None = None) -> None:
    run(program, argv)


if __name__ == "__main__":
    main()
