"""Carrying a plan out: each move is one job, each set of independent moves one submission.

Jobs, their order and what is printed are upstream's (release 3.0). A first interrupt (SIGINT) lets
the running set end and submits no more; SIGTERM ends the program at once, jobs run on.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from .command_line import version_line
from .commands import job_sets
from .luxi import Client, LuxiError
from .model import NO_NODE, Cluster
from .opcodes import migrate, replace_secondary
from .options import Options
from .search import Move

PRIORITIES = {"low": 10, "normal": 0, "high": -10}
_RUNNING = frozenset({"queued", "waiting", "canceling", "running"})
FIRST_WAIT, LONGEST_WAIT = 0.2, 10.0
EXIT_TERMINATED = 2


def opcodes(cluster: Cluster, move: Move, common: dict[str, Any]) -> list[Any]:
    """The opcodes of one move; ``common`` are the fields of all (see `common_fields`)."""
    name = cluster.instances.name[move.inst]
    target = cluster.nodes.name[move.target] if move.target != NO_NODE else None
    swap = {**common, **migrate(name)}
    replace = {**common, **replace_secondary(name, remote_node=target)}
    return {
        "f": [swap],
        "fa": [{**common, **migrate(name, target)}],
        "r": [replace],
        "rf": [replace, swap],
        "frf": [swap, replace, swap],
        "fr": [swap, replace],
    }[move.kind]


def common_fields(
    program: str, options: Options, now: int, doing: str = "rebalancing via"
) -> dict[str, Any]:
    """What every opcode a program submits carries."""
    version = version_line(program)
    called = version if program == "hbal" else version.removeprefix(f"{program} ")
    text = options.reason if options.reason is not None else f"{version} called"
    return {
        "priority": PRIORITIES[options.priority or "normal"],
        "depends": None,
        "comment": f"{doing} {called}",
        "reason": [[program, text, now]],
    }


class _Stop:
    """Whether an interrupt asked to submit no more."""

    asked = False


@contextmanager
def _signals() -> Iterator[_Stop]:
    stop = _Stop()

    def interrupted(_: int, __: FrameType | None) -> None:
        stop.asked = True
        sys.stderr.write("Cancel request registered, will exit at the end of the current job set\n")

    def terminated(_: int, __: FrameType | None) -> None:
        sys.stderr.write("Exiting on termination; jobs already submitted go on\n")
        raise SystemExit(EXIT_TERMINATED)

    before = (
        signal.signal(signal.SIGINT, interrupted),
        signal.signal(signal.SIGTERM, terminated),
    )
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def submit(client: Client, jobs: Sequence[Sequence[Any]]) -> list[Any]:
    """Submit jobs and return their ids; raises `LuxiError` when one is refused."""
    answers = client.call("SubmitManyJobs", [list(job) for job in jobs])
    if not isinstance(answers, list) or len(answers) != len(jobs):
        raise LuxiError("SubmitManyJobs: unexpected answer")
    for answer in answers:
        if not isinstance(answer, list) or len(answer) != 2:
            raise LuxiError("SubmitManyJobs: unexpected answer")
        if answer[0] is not True:
            raise LuxiError(f"job refused: {answer[1]}")
    return [answer[1] for answer in answers]


def wait(client: Client, ids: Sequence[Any]) -> dict[Any, str]:
    """Each job's final status; polls, at first often."""
    pause = FIRST_WAIT
    while True:
        rows = client.call("QueryJobs", list(ids), ["status"])
        if not isinstance(rows, list) or len(rows) != len(ids):
            raise LuxiError("QueryJobs: unexpected answer")
        states = [
            row[0] if isinstance(row, list) and row and isinstance(row[0], str) else "lost"
            for row in rows
        ]
        if not any(state in _RUNNING for state in states):
            return dict(zip(ids, states, strict=True))
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_WAIT)


def run_jobs(client: Client, jobs: Sequence[Sequence[Any]]) -> bool:
    """Submit one set of jobs and wait for them; False when one did not succeed."""
    ids = submit(client, jobs)
    sys.stdout.write(f"Got job IDs {','.join(map(str, ids))}\n")
    sys.stdout.flush()
    failed = {job: state for job, state in wait(client, ids).items() if state != "success"}
    if failed:
        shown = ", ".join(f"job {job}: {state}" for job, state in failed.items())
        sys.stderr.write(f"Error: Not all jobs completed successfully: {shown}\nAborting.\n\n")
    return not failed


def execute(socket: str, sets: Sequence[Sequence[Sequence[Any]]], only_first: bool = False) -> bool:
    """Run sets of jobs one after the other; False when a job failed, which ends it.

    Raises `LuxiError` when the master cannot be asked.
    """
    with _signals() as stop, Client(socket) as client:
        for jobs in sets:
            if stop.asked:
                return True
            if not run_jobs(client, jobs):
                return False
            if only_first:
                return True
    return True


def balancing_jobs(cluster: Cluster, moves: Sequence[Move], options: Options) -> list[Any]:
    """hbal's sets of jobs."""
    return _move_jobs(cluster, moves, common_fields("hbal", options, time.time_ns()))


def squeezing_jobs(
    cluster: Cluster, moves: Sequence[Move], names: Sequence[str], tag: str, options: Options
) -> list[Any]:
    """hsqueeze's sets of jobs when nodes become needless: moves, tags, then the power."""
    doing = f"condensing by {len(names)} nodes"
    common = common_fields("hsqueeze", options, time.time_ns(), doing)
    last = [_tag_jobs(names, [tag], common), _power_jobs(names, False, common)]
    return _move_jobs(cluster, moves, common) + last


def expanding_jobs(
    cluster: Cluster, moves: Sequence[Move], names: Sequence[str], options: Options
) -> list[Any]:
    """hsqueeze's sets of jobs when nodes are needed: the power, then moves."""
    doing = f"expanding by {len(names)} nodes"
    common = common_fields("hsqueeze", options, time.time_ns(), doing)
    power = _power_jobs(names, True, common)
    return ([power] if power else []) + _move_jobs(cluster, moves, common)


def _move_jobs(cluster: Cluster, moves: Sequence[Move], common: dict[str, Any]) -> list[Any]:
    return [[opcodes(cluster, move, common) for move in jobs] for jobs in job_sets(moves)]


def _power_jobs(names: Sequence[str], on: bool, common: dict[str, Any]) -> list[Any]:
    """One set of jobs that mark nodes on- or offline and switch their power."""
    return [
        [
            {
                **common,
                "OP_ID": "OP_NODE_SET_PARAMS",
                "node_name": name,
                "force": False,
                "offline": not on,
                "auto_promote": False,
            },
            {
                **common,
                "OP_ID": "OP_OOB_COMMAND",
                "node_names": [name],
                "command": "power-on" if on else "power-off",
                "timeout": 60,
                "ignore_status": False,
                "power_delay": 2,
            },
        ]
        for name in names
    ]


def _tag_jobs(names: Sequence[str], tags: Sequence[str], common: dict[str, Any]) -> list[Any]:
    """One set of jobs that add tags to nodes."""
    return [
        [{**common, "OP_ID": "OP_TAGS_SET", "kind": "node", "tags": list(tags), "name": name}]
        for name in names
    ]
