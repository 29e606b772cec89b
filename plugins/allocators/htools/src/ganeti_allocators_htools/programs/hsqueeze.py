"""hsqueeze: which nodes can be powered down, or must be brought back, given the load.

Nodes are tried one after the other; after each the cluster is balanced as hbal would, and every
node left must still have room for a new instance of some multiples of the standard size.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ganeti_allocators_htools.building import build_state, build_static
from ganeti_allocators_htools.commands import command_lines, script, shown_commands
from ganeti_allocators_htools.model import Bools, Cluster
from ganeti_allocators_htools.options import Options
from ganeti_allocators_htools.prepare import load
from ganeti_allocators_htools.search import Limits, Move, Search, balance
from ganeti_allocators_htools.state import ROW, State
from ganeti_allocators_htools.tags import STANDBY

from .hbal import save, saved_text, write_file

AUTO_TAG = f"{STANDBY}auto"


def with_offline(state: State, offline: Bools) -> State:
    """The same placement with other nodes offline."""
    static = state.static
    cluster = static.cluster
    changed = replace(cluster, nodes=replace(cluster.nodes, offline=offline))
    result = state.copy()
    result.static = replace(static, cluster=changed, offline=offline)
    return result


def balanced(state: State) -> tuple[State, list[Move]]:
    """A copy of the state balanced as far as it goes, and the moves."""
    copy = state.copy()
    return copy, list(balance(Search(copy), Limits()))


def _standard(state: State, factor: float) -> tuple[int, int, int]:
    """Memory, disk and CPUs of ``factor`` times the standard size."""
    std = state.static.cluster.policy.std
    return int(factor * std.mem), int(factor * std.disk), int(factor * std.cpu)


def hopeless(state: State, factor: float) -> bool:
    """Whether the online nodes surely lack memory or CPUs for everything that is on offline ones
    and such an instance on each: then there is no need to balance."""
    static = state.static
    online = ~static.offline
    mem, _, cpus = _standard(state, factor)
    leaving = static.offline[state.pnode] & static.real
    left = state.umem[online].sum() - static.counted[leaving].sum()
    most = (static.hi_cpu * static.cluster.nodes.tcpu - cpus)[online].sum()
    used = state.ucpu[online].sum() + static.vcpus[leaving].sum()
    return bool(online.any() and (left <= mem * online.sum() or used > most + 1e-6))


def has_room(state: State, factor: float) -> bool:
    """Whether each online node takes an instance of ``factor`` times the standard size."""
    static = state.static
    nodes = static.cluster.nodes
    mem, dsk, cpus = _standard(state, factor)
    q = state.q
    umem, fdsk = q[ROW["umem"]] - mem, q[ROW["fdsk"]] - dsk
    fails = (umem <= q[ROW["rmem"]]) | (fdsk <= 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        used = np.maximum(q[ROW["ucpu"]], q[ROW["ucpu_f"]])
        crowded = static.hi_cpu < (used + cpus) / nodes.tcpu
    bad = (umem <= 0) | (fdsk <= 0) | (fails & ~state.fails_n1) | crowded
    bad |= (q[ROW["umem_f"]] - mem <= 0) | (q[ROW["fdsk_f"]] - dsk <= 0)
    return not bool((bad & ~static.offline).any())


def all_online(state: State) -> bool:
    """Whether no instance is on an offline node; planned ones may have their secondary there."""
    offline = state.static.offline
    return not bool(offline[state.pnode].any() or (offline & (state.nsec > 0)).any())


def offline_candidates(state: State) -> list[int]:
    """Online nodes but the master that hold no disks of plain or DRBD instances, fullest first.

    Planned instances do not count.
    """
    static = state.static
    nodes = static.cluster.nodes
    local = static.cluster.instances.local
    result = [
        node
        for node in range(len(nodes))
        if not static.offline[node]
        and not nodes.master[node]
        and not state.nsec[node]
        and not any(local[inst] for inst in state.plist[node] if static.real[inst])
    ]
    return sorted(result, key=lambda node: -int(state.npri[node]))


def online_candidates(state: State) -> list[int]:
    """Offline nodes marked as stand-by."""
    tags = state.static.cluster.nodes.tags
    return [
        node
        for node in np.flatnonzero(state.static.offline).tolist()
        if any(tag.startswith(STANDBY) for tag in tags[node])
    ]


def squeeze(state: State, factor: float) -> tuple[list[int], State, list[Move]]:
    """Nodes to power down (latest first), the state then, and the moves that lead there.

    Each attempt is balanced anew from the given state with all chosen nodes offline.
    """
    chosen: list[int] = []
    best, moves = state, list[Move]()
    for node in reversed(offline_candidates(state)):
        offline = state.static.offline.copy()
        offline[[node, *chosen]] = True
        attempt = with_offline(state, offline)
        if hopeless(attempt, factor):
            continue
        tried, plan = balanced(attempt)
        if all_online(tried) and has_room(tried, factor):
            chosen.insert(0, node)
            best, moves = tried, plan
    return chosen, best, moves


def expand(state: State, factor: float) -> tuple[list[int], State, list[Move], bool]:
    """Nodes to bring back, the state then, the moves, and whether that is enough."""
    candidates = online_candidates(state)
    for count in range(len(candidates) + 1):
        offline = state.static.offline.copy()
        offline[candidates[:count]] = False
        tried, moves = balanced(with_offline(state, offline))
        if has_room(tried, factor):
            return candidates[:count], tried, moves, True
    return candidates, tried, moves, False


def _names(cluster: Cluster, nodes: Sequence[int]) -> list[str]:
    return [cluster.nodes.alias[node] for node in nodes]


def _show_commands(lines: Sequence[str], options: Options) -> None:
    if options.print_commands is None:
        return
    if options.print_commands == "":
        sys.stdout.write(f"\nCommands to run:\n{shown_commands(lines)}")
    else:
        write_file(options.print_commands, script(lines))
        sys.stdout.write(f"The commands have been written to file '{options.print_commands}'\n")


def _header(text: str, options: Options) -> None:
    if options.headers:
        sys.stdout.write(f"'{text}'\n")


def _list(names: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{name}\n" for name in names))


def run(options: Options) -> int:
    loaded = load(replace(options, verbose=0))
    cluster = loaded.cluster
    state = build_state(build_static(cluster, loaded.rules))
    save(saved_text(state), options, "original", "before hsqueeze run")
    if options.verbose > 1:
        for label, nodes in (
            ("Offline", offline_candidates(state)),
            ("Online", online_candidates(state)),
        ):
            sys.stdout.write(f"{label} candidates: {','.join(_names(cluster, nodes))}\n")
    if not has_room(state, options.minimal_resources):
        return _expand(state, options)
    chosen, after, moves = squeeze(state, options.target_resources)
    names = _names(cluster, chosen)
    if not names:
        _header("No action", options)
        _show_commands(["echo Nothing to do"], options)
        save(saved_text(state), options, "squeezed", "after hsqueeze doing nothing")
        return 0
    _header("Nodes to offline", options)
    _list(names)
    lines = command_lines(cluster, moves)
    lines += ["", "echo Tagging Commands"]
    lines += [f"  gnt-node add-tags {name} {AUTO_TAG}" for name in names]
    lines += ["", "echo Power Commands"]
    lines += [f"  gnt-node power -f off {name}" for name in names]
    _show_commands(lines, options)
    save(saved_text(after), options, "squeezed", "after hsqueeze run")
    return _carry_out(cluster, moves, chosen, False, options)


def _expand(state: State, options: Options) -> int:
    cluster = state.static.cluster
    chosen, after, moves, enough = expand(state, options.minimal_resources)
    names = _names(cluster, chosen)
    _header("Nodes to online", options)
    _list(names)
    if not enough and options.verbose > 1:
        sys.stdout.write("Onlining all nodes will not yield enough capacity\n")
    lines = ["echo Power Commands", *(f"  gnt-node power -f on {name}" for name in names)]
    _show_commands(lines + command_lines(cluster, moves), options)
    save(saved_text(after), options, "squeezed", "after hsqueeze expansion")
    return _carry_out(cluster, moves, chosen, True, options)


def _carry_out(
    cluster: Cluster, moves: Sequence[Move], nodes: Sequence[int], power: bool, options: Options
) -> int:
    """Submit the plan and the change of ``nodes``' power if asked to."""
    if not options.exec:
        return 0
    if options.luxi is None:
        sys.stderr.write("Error: hsqueeze: Execution of commands possible only on LUXI\n\n")
        return 1
    from ganeti_allocators_htools.execute import execute, expanding_jobs, squeezing_jobs
    from ganeti_allocators_htools.luxi import master_socket

    names = [cluster.nodes.name[node] for node in nodes]
    if power:
        jobs = expanding_jobs(cluster, moves, names, options)
    else:
        jobs = squeezing_jobs(cluster, moves, names, AUTO_TAG, options)
    sys.stdout.flush()
    return 0 if execute(master_socket(options.luxi), jobs) else 1
