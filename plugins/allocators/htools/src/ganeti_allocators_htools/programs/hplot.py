"""hplot: draw the nodes' load before and after balancing, or of two saved states."""

from __future__ import annotations

import argparse
import sys

from ganeti_allocators_htools.building import build_state, build_static
from ganeti_allocators_htools.errors import LoadError, UsageError
from ganeti_allocators_htools.loaders import text
from ganeti_allocators_htools.plot import png, svg
from ganeti_allocators_htools.prepare import prepare
from ganeti_allocators_htools.score import lower_bound
from ganeti_allocators_htools.search import Limits, Search, balance
from ganeti_allocators_htools.state import State


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hplot",
        description="Draw nodes' memory, disk, CPUs and load before and after balancing.",
    )
    parser.add_argument("before", help="data file (as saved by hscan or hbal --save)")
    parser.add_argument(
        "after", nargs="?", help="data file of the state after; without it hbal's plan is drawn"
    )
    parser.add_argument("-o", "--output", default="-", help="FILE.svg or FILE.png [SVG to stdout]")
    return parser


def _load(path: str) -> State:
    loaded = prepare(text.read(path))
    return build_state(build_static(loaded.cluster, loaded.rules))


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    try:
        before = _load(arguments.before)
        after = _load(arguments.after) if arguments.after else before.copy()
    except LoadError as err:
        raise UsageError(f"Error: failed to load data, aborting: {err}") from err
    if before.static.cluster.nodes.name != after.static.cluster.nodes.name:
        raise UsageError("Error: the two files are of clusters with different nodes.")
    if not arguments.after:
        for _ in balance(Search(after), Limits(min_score=1e-9 + lower_bound(after))):
            pass
    output = arguments.output
    if output == "-":
        sys.stdout.write(svg(before, after))
        return 0
    if not output.endswith((".svg", ".png")):
        raise UsageError(f"Error: {output}: the name must end in .svg or .png")
    content = png(before, after) if output.endswith(".png") else svg(before, after).encode()
    try:
        with open(output, "wb") as stream:
            stream.write(content)
    except OSError as err:
        raise UsageError(f"Error: cannot write {output}: {err.strerror}") from err
    return 0
