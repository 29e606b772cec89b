"""hbal: bring the cluster into balance, one move after the other."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from ganeti_allocators_htools.commands import StepPrinter, command_lines, script, shown_commands
from ganeti_allocators_htools.errors import HtoolsError, UsageError, open_error
from ganeti_allocators_htools.loaders import text
from ganeti_allocators_htools.model import Cluster
from ganeti_allocators_htools.moves import Rules
from ganeti_allocators_htools.numbers import fixed, general
from ganeti_allocators_htools.options import Options
from ganeti_allocators_htools.output import instance_list, metrics_table, node_list, policy_text
from ganeti_allocators_htools.prepare import Loaded, load, make_state, select_group, set_offline
from ganeti_allocators_htools.score import lower_bound, metric_values
from ganeti_allocators_htools.search import Limits, Move, Search, balance
from ganeti_allocators_htools.state import State

from .hinfo import bad_items, split_instances

ERASE_LINE = "\r\x1b[K"


def choose_group(cluster: Cluster, options: Options) -> int:
    """The number of the group to balance; raises `UsageError` when it is not clear which."""
    names = "".join(f"  {group.name}\n" for group in cluster.groups)
    if options.group is not None:
        number = cluster.group_index.get(options.group)
        if number is None:
            raise UsageError(
                f"Node group {options.group} not found. Node group list is:\n{names}"
                "Error: Aborting."
            )
        return number
    if len(cluster.groups) != 1:
        raise UsageError(f"Found multiple node groups:\n{names}Error: Aborting.")
    return 0


def _introduce(loaded: Loaded, options: Options) -> bool:
    """Say what was loaded; False when there is nothing to balance."""
    out, cluster = sys.stdout, loaded.cluster
    if options.verbose > 1:
        out.write(f"Loaded cluster tags: {','.join(cluster.tags)}\n")
        out.write(f"Loaded cluster ipolicy: {policy_text(cluster.policy)}\n")
    if not len(cluster.instances):
        out.write("Cluster is empty, exiting.\n")
        return False
    out.write(f"Loaded {len(cluster.nodes)} nodes, {len(cluster.instances)} instances\n")
    if loaded.suffix and options.verbose > 1:
        out.write(f"Note: Stripping common suffix of '{loaded.suffix}' from names\n")
    return True


def policy_violations(state: State) -> int:
    """How many nodes are beyond their policy's CPU or spindle ratio.

    Nodes already counted as failing N+1 are left out; offline ones with instances are not.
    """
    static = state.static
    nodes = static.cluster.nodes
    beyond = (static.hi_cpu >= 0) & (state.ucpu > static.hi_cpu * nodes.tcpu)
    beyond |= ~nodes.exclusive & (state.isp > static.hi_spindles)
    bad = state.fails_n1 & ~static.offline
    return int((beyond & ~bad).sum())


def _check(state: State, options: Options) -> None:
    out = sys.stdout
    nodes, instances = bad_items(state)
    if options.verbose > 0:
        out.write(f"Initial check done: {nodes} bad nodes, {instances} bad instances.\n")
    if nodes:
        out.write(
            "Cluster is not N+1 happy, continuing but no guarantee that the cluster will end N+1"
            " happy.\n"
        )
    violating = policy_violations(state)
    if violating:
        out.write(f"The cluster contains {violating} policy-violating nodes.\n")
        if options.ignore_soft_errors:
            out.write("Continuing, ignoring soft errors.\n")
        else:
            out.write(
                "Continuing, but the set of moves might be too restricted; consider using the"
                " --ignore-soft-errors option.\n"
            )


def show_state(state: State, options: Options, when: str) -> None:
    """The tables asked for, on standard error."""
    if options.print_instances:
        sys.stderr.write(f"\n{when} instance map:\n{instance_list(state)}\n")
    if options.print_nodes is not None:
        table = node_list(state, options.print_nodes)
        sys.stderr.write(f"\n{when} cluster status:\n{table}\n\n")


def write_file(path: str, content: str) -> None:
    """Write an output file; raises `HtoolsError` in upstream's words."""
    try:
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(content)
    except OSError as err:
        raise HtoolsError(open_error(path, err)) from err


def save(content: str, options: Options, suffix: str, when: str) -> None:
    """Write the text to the file asked for with ``--save``, with ``suffix`` added."""
    if options.save is None:
        return
    path = f"{options.save}.{suffix}"
    write_file(path, content)
    sys.stderr.write(f"The cluster state {when} has been written to file '{path}'\n")


def saved_text(state: State) -> str:
    """The data file of a state."""
    columns = (state.fdsk.astype(np.int64), state.fsp.astype(np.int64))
    return text.format_cluster(state.static.cluster, state.pnode, state.snode, *columns)


def _totals(state: State) -> str:
    memory = int(state.static.cluster.nodes.fmem.sum())
    return f"mem={memory} disk={int(state.fdsk.sum())}"


def _print_commands(cluster: Cluster, moves: Sequence[Move], options: Options) -> None:
    if options.print_commands is None:
        return
    lines = command_lines(cluster, moves)
    if options.print_commands == "":
        sys.stdout.write("\nCommands to run to reach the above solution:\n")
        sys.stdout.write(shown_commands(lines))
    else:
        write_file(options.print_commands, script(lines))
        sys.stdout.write(f"The commands have been written to file '{options.print_commands}'\n")


def _report(
    search: Search, limits: Limits, before: State, moves: list[Move], options: Options
) -> None:
    """What goes beyond upstream: the explanation, the bound and the plan as JSON."""
    from ganeti_allocators_htools import report

    if options.explain:
        sys.stdout.write(report.explain(search, limits, before))
    if options.bound:
        sys.stdout.write(report.bound_text(before, search.state))
    if options.json is not None:
        content = report.plan_json(before, search.state, moves)
        if options.json:
            write_file(options.json, content)
        else:
            sys.stdout.write(content)


def _execute(cluster: Cluster, moves: Sequence[Move], options: Options) -> bool:
    """Carry the plan out if asked to; False when a job failed."""
    if not options.exec or not moves:
        return True
    if options.luxi is None:
        sys.stderr.write("Error: hbal: Execution of commands possible only on LUXI\n\n")
        return False
    from ganeti_allocators_htools.execute import balancing_jobs, execute
    from ganeti_allocators_htools.luxi import master_socket

    sys.stdout.flush()
    jobs = balancing_jobs(cluster, moves, options)
    return execute(master_socket(options.luxi), jobs, options.first_job_group)


def rules_of(options: Options) -> Rules:
    return Rules(
        disk_moves=options.disk_moves,
        instance_moves=options.instance_moves,
        restricted_migration=options.restricted_migration,
        ignore_soft_errors=options.ignore_soft_errors,
        evac_mode=options.evac_mode,
    )


def _solve(search: Search, limits: Limits, options: Options) -> list[Move]:
    printer = StepPrinter(search.state.static.cluster)
    terminal = sys.stderr.isatty() and not sys.stdout.isatty()
    progress = terminal if options.progress is None else options.progress
    start = search.score
    moves = []
    # on one terminal the bar must go before a line is written where it stands
    erase = ERASE_LINE if progress and sys.stderr.isatty() and sys.stdout.isatty() else ""
    for number, move in enumerate(balance(search, limits), 1):
        sys.stdout.write(f"{erase}{printer.line(number, move)}\n")
        moves.append(move)
        if progress:
            from ganeti_allocators_htools.report import progress_line

            sys.stdout.flush()
            sys.stderr.write(progress_line(number, start, move.score, limits.min_score))
    if progress and moves:
        sys.stderr.write("\n")
    return moves


def _show_score(search: Search, label: str, plain: str, options: Options) -> None:
    if options.verbose > 2:
        sys.stdout.write(
            f"{label} {fixed(search.score, 8)}\n{metrics_table(metric_values(search.state))}\n"
        )
    elif plain:
        sys.stdout.write(f"{plain} {fixed(search.score, 8)}\n")


def run(options: Options) -> int:
    loaded = load(options)
    whole = set_offline(loaded.cluster, options)
    if not _introduce(loaded, options):
        return 0
    split = split_instances(whole)
    if split and options.group is None and len(whole.groups) == 1:
        raise UsageError("Found instances belonging to multiple node groups")
    group = choose_group(whole, options)
    cluster = select_group(whole, group)
    state = make_state(cluster, loaded.rules, options)
    save(text.format_cluster(whole), options, "original", "before balancing")
    sys.stdout.write(
        f"Group size {len(cluster.nodes)} nodes, {len(cluster.instances)} instances\n"
        f"Selected node group: {whole.groups[group].name}\n"
    )
    _check(state, options)
    show_state(state, options, "Initial")
    initial_state = state.copy()
    search = Search(state, rules_of(options))
    _show_score(search, "Initial coefficients: overall", "Initial score:", options)
    bound = lower_bound(state)
    limits = Limits(
        options.max_length, options.min_score + bound, options.min_gain, options.min_gain_limit
    )
    initial, before = search.score, _totals(state)
    if not initial >= limits.min_score:
        sys.stdout.write(
            f"Cluster is already well balanced (initial score {general(initial)},\n"
            f"optimum score due to N+1 reservations {general(bound)},\n"
            f"minimum score {general(options.min_score)}).\nNothing to do, exiting\n"
        )
        return 0
    sys.stdout.write("Trying to minimize the CV...\n")
    moves = _solve(search, limits, options)
    if moves:
        if options.verbose > 2:
            _show_score(search, "Final coefficients:   overall", "", options)
        else:
            sys.stdout.write(
                f"Cluster score improved from {fixed(initial, 8)} to {fixed(search.score, 8)}\n"
            )
    else:
        sys.stdout.write("No solution found\n")
    if options.verbose > 0:
        sys.stdout.write(f"Solution length={len(moves)}\n")
    _print_commands(cluster, moves, options)
    if options.explain or options.bound or options.json is not None:
        _report(search, limits, initial_state, moves, options)
    done = _execute(cluster, moves, options)
    save(saved_text(state), options, "balanced", "after balancing")
    show_state(state, options, "Final")
    if options.verbose > 3:
        sys.stdout.write(f"Original: {before}\nFinal:    {_totals(state)}\n")
    return 0 if done else 1
