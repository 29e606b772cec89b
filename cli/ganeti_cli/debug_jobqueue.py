"""`gnt-debug test-jobqueue`: hold the job queue of a running cluster against what it promises.

Headings and order are upstream 3.0's; its own command passes against our master daemon too.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from ganeti_cli import master
from ganeti_cli.jobs import complete, follow
from ganeti_cli.options import options
from ganeti_kernel import errors
from ganeti_kernel.jobs.sockets import short_address
from ganeti_kernel.luxi.client import Client

Opcode = Mapping[str, Any]

SOCKET_SECONDS: Final = 10.0
"""How long to try to connect to the socket of a job that stands still."""

TEST_ENTRY: Final = "jqueue-test"
PREFIX: Final = "TESTMSG="

MESSAGES: Final = ("Hello World", "A", "", "B", "Foo|bar|baz")

EXPECTED: Final = {"expandnames": "waiting", "exec": "running", "logmsg": "running"}
"""Where a job stands still -> its status then."""


@click.command()
@options("priority")
def test_jobqueue(priority: int | None, reason: str | None, **_given: Any) -> int:
    """Submit jobs that test priorities, dependencies, logs, results and failures."""

    def full(ops: Sequence[Opcode]) -> list[dict[str, Any]]:
        return complete(ops, priority=priority, reason=reason)

    with master.connect() as client:
        click.echo("Testing job submission")
        check_submission(client)
        click.echo("Job submission tests were successful")
        click.echo("Testing job dependencies")
        check_dependencies(client, full)
        click.echo("Job dependency tests were successful")
        for title, ops in scenarios():
            click.echo(f"Testing {title}")
            check_scenario(client, full(ops))
    click.echo("Job queue test successful")
    return 0


def expect(good: bool, what: str) -> None:
    if not good:
        raise errors.OpExecError(what)


def delay(seconds: float = 0, **fields: Any) -> dict[str, Any]:
    return {"OP_ID": "OP_TEST_DELAY", "duration": seconds, **fields}


# -- submitting --------------------------------------------------------------------------------


def check_submission(client: Client) -> None:
    """A job with a priority that cannot be given is refused, alone and among others."""
    before = _newest(client)
    for wrong in (19, 18, 1, -1, -19, -20, -21):
        for place in (0, 2, 4):
            ops = [delay() for _ in range(place + 1)]
            ops[place] = delay(priority=wrong)
            for what, submit in (
                ("a job", lambda ops=ops: client.submit_job(ops)),
                ("many jobs", lambda ops=ops: client.submit_many_jobs([[delay()], ops])),
            ):
                taken = True
                try:
                    submit()
                except errors.GenericError:
                    taken = False
                expect(not taken, f"{what} with priority {wrong} in opcode {place} was taken")
    newest = _newest(client)
    expect(newest == before, f"job {newest} was queued although its submission was refused")


def _newest(client: Client) -> int:
    return max((row[0] for row in client.query_jobs(None, ["id"]) if row), default=0)


# -- dependencies ------------------------------------------------------------------------------


def check_dependencies(client: Client, full: Any) -> None:
    """Jobs begin after those they depend on, and relative numbers become absolute ones."""
    alone = None
    with contextlib.suppress(errors.GenericError):
        alone = client.submit_job([delay(depends=[[-1, []]])])
    expect(alone is None, f"job {alone} depends on a job before the first one and was taken")
    depends: list[list[list[Any]]] = [[], [[-1, []]], [[-2, ["success"]]], [], [[-2, ["success"]]]]
    answers = client.submit_many_jobs([full([delay(1, depends=item)]) for item in depends])
    expect(all(ok for ok, _ in answers), f"not all jobs were taken: {answers}")
    expect(follow(answers) == 0, "jobs that depend on each other failed")
    ids = [value for _, value in answers]
    rows = [row for row in client.query_jobs(ids, ["opexec", "end_ts", "ops"]) if row]
    expect(len(rows) == len(ids), "a job is not in the queue any more")
    for number, (begun, _, ops) in enumerate(rows):
        wanted = [[ids[number + back], states] for back, states in depends[number]]
        found = [list(item) for item in ops[0].get("depends") or ()]
        expect(found == wanted, f"job {ids[number]} depends on {found}, not on {wanted}")
        for job_id, _ in wanted:
            ended = rows[ids.index(job_id)][1]
            expect(begun[0] >= ended, f"job {ids[number]} began before job {job_id} had ended")


# -- what a job tells while it runs ------------------------------------------------------------


def scenarios() -> Iterator[tuple[str, list[Opcode]]]:
    """Title and opcodes of each job."""
    for title, fails in (
        ("job success", [False]),
        ("multiple successful opcodes", [False, False]),
        ("job failure", [True]),
        ("partial job failure", [False, False, True, False]),
    ):
        yield (
            title,
            [
                {
                    "OP_ID": "OP_TEST_JQUEUE",
                    "notify_waitlock": True,
                    "notify_exec": True,
                    "log_messages": [f"Testing {title}", *MESSAGES, time.ctime()],
                    "fail": fail,
                }
                for fail in fails
            ],
        )


def check_scenario(client: Client, ops: Sequence[Mapping[str, Any]]) -> None:
    """The job stands still where it should, tells its messages in order, and ends as asked."""
    fails = [bool(op["fail"]) for op in ops]
    ran = fails.index(True) + 1 if True in fails else len(ops)
    follower = Follower(client)
    job_id = client.submit_job(ops)
    try:
        results = follower.wait(job_id)
        expect(True not in fails, f"job {job_id} did not fail although it was asked to")
        expect(results == [True] * len(ops), f"job {job_id} gave {results}")
    except errors.OpExecError as error:
        if "failure was requested" not in str(error):
            raise
        click.echo(f"Ignoring error for 'job fail' test: {error}")
    wanted = [message for op in ops[:ran] for message in op["log_messages"]]
    expect(follower.messages == wanted, f"job {job_id} told {follower.messages}, not {wanted}")
    expect(
        follower.stops == [stop for op in ops[:ran] for stop in _stops(op)],
        f"job {job_id} stood still at {follower.stops}",
    )
    row = client.query_jobs([job_id], ["status", "opstatus"])[0] or ["lost", []]
    bad = [] if ran == len(ops) and True not in fails else ["error"] * (len(ops) - ran + 1)
    statuses = ["success"] * (len(ops) - len(bad)) + bad
    expect(row == [statuses[-1], statuses], f"job {job_id} ended {row[0]}, its opcodes {row[1]}")


def _stops(op: Mapping[str, Any]) -> list[tuple[str, int | None]]:
    count = len(op["log_messages"])
    return [
        ("expandnames", None),
        ("exec", None),
        ("startmsg", count),
        *(("logmsg", number) for number in range(1, count + 1)),
    ]


class Follower:
    """Reads a job's log, looks at the job where it stands still, and lets it go on."""

    def __init__(self, client: Client) -> None:
        self.messages: list[str] = []
        self.stops: list[tuple[str, int | None]] = []
        self._client = client
        self._job_id = 0

    def wait(self, job_id: int) -> list[Any]:
        """Return the job's results once it has ended; raises its failure."""
        self._job_id = job_id
        return master.wait_job(self._client, job_id, show=self._entry)

    def _entry(self, _timestamp: Sequence[int], kind: str, message: Any) -> None:
        if kind != TEST_ENTRY:
            if str(message).startswith(PREFIX):
                self.messages.append(message.removeprefix(PREFIX))
            return
        path, where, argument = message
        with _connected(Path(path)):
            self.stops.append((where, argument))
            if where in EXPECTED:
                row = self._client.query_jobs([self._job_id], ["status"])[0]
                expect(row == [EXPECTED[where]], f"job {self._job_id} at {where} is {row}")


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[None]:
    """Hold a connection to a job that stands still; it goes on when the block is left."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(SOCKET_SECONDS)
        try:
            with short_address(path) as address:
                line.connect(address)
        except OSError as error:
            raise errors.OpExecError(
                f"cannot connect to {path}, where the job waits: {error}; run this on the master"
            ) from None
        yield
