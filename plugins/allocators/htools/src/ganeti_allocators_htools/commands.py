"""A plan as upstream shows it: the solution's lines, the jobs, and the shell commands."""

from __future__ import annotations

from collections.abc import Sequence

from .model import NO_NODE, Cluster
from .numbers import fixed
from .search import Move

_SCRIPT_HEAD = """#!/bin/sh

# Auto-generated script for executing cluster rebalancing

# To stop, touch the file /tmp/stop-htools

set -e

check() {
  if [ -f /tmp/stop-htools ]; then
    echo 'Stop requested, exiting'
    exit 0
  fi
}

"""


def actions(cluster: Cluster, move: Move) -> str:
    """The move's steps, such as ``f r:node3``."""
    target = cluster.nodes.alias[move.target] if move.target != NO_NODE else ""
    return {
        "f": "f",
        "fa": f"fa:{target}",
        "r": f"r:{target}",
        "rf": f"r:{target} f",
        "frf": f"f r:{target} f",
        "fr": f"f r:{target}",
    }[move.kind]


def commands(cluster: Cluster, move: Move) -> list[str]:
    """The ``gnt-instance`` commands of one move, without their program's name."""
    insts = cluster.instances
    name = insts.alias[move.inst]
    verb = "migrate" if insts.running[move.inst] else "failover"
    target = cluster.nodes.alias[move.target] if move.target != NO_NODE else ""
    migrate, replace = f"{verb} -f {name}", f"replace-disks -n {target} {name}"
    return {
        "f": [migrate],
        "fa": [f"{verb} -f -n {target} {name}"],
        "r": [replace],
        "rf": [replace, migrate],
        "frf": [migrate, replace, migrate],
        "fr": [migrate, replace],
    }[move.kind]


class StepPrinter:
    """Formats the lines of the solution; widths depend on all names of the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.name_width = max(map(len, cluster.instances.alias), default=0)
        self.pair_width = 2 * max(map(len, cluster.nodes.alias), default=0) + 1

    def line(self, number: int, move: Move) -> str:
        alias = self.cluster.nodes.alias

        def pair(nodes: tuple[int, int]) -> str:
            primary, secondary = nodes
            if secondary == NO_NODE:
                return alias[primary]
            return f"{alias[primary]}:{alias[secondary]}"

        return (
            f"  {number:3d}. {self.cluster.instances.alias[move.inst]:{self.name_width}}"
            f" {pair(move.old):{self.pair_width}} => {pair(move.new):{self.pair_width}}"
            f" {fixed(move.score, 8):>12} a={actions(self.cluster, move)}"
        )


def job_sets(moves: Sequence[Move]) -> list[list[Move]]:
    """Consecutive moves that touch different nodes can run at the same time.

    As upstream's, the sets are formed backwards: the last one is as large as can be.
    """
    result: list[list[Move]] = []
    busy: set[int] = set()
    for move in reversed(moves):
        nodes = {node for node in (*move.old, *move.new) if node != NO_NODE}
        if not result or busy & nodes:
            result.insert(0, [])
            busy = set()
        result[0].insert(0, move)
        busy |= nodes
    return result


def command_lines(cluster: Cluster, moves: Sequence[Move]) -> list[str]:
    """The plan as shell commands, one line each, unindented; steps are marked with ``check``."""
    lines = []
    for number, jobs in enumerate(job_sets(moves), 1):
        lines += ["", f"echo jobset {number}, {len(jobs)} jobs"]
        for job, move in enumerate(jobs, 1):
            lines += [f"  echo job {number}/{job}", "  check"]
            lines += [f"  gnt-instance {command}" for command in commands(cluster, move)]
    return lines


def shown_commands(lines: Sequence[str]) -> str:
    """The commands for reading: each line indented, the checks left out."""
    return "".join(f"  {line}\n" for line in lines if line != "  check")


def script(lines: Sequence[str]) -> str:
    """The commands as a shell script that stops when told to."""
    return _SCRIPT_HEAD + "".join(f"{line}\n" for line in lines)
