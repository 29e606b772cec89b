"""harep: repair instances that tags allow to be repaired, one step a run.

A run first looks at repairs under way and notes in tags how they ended, then starts those that are
needed and allowed. What upstream shows and submits is kept (release 3.0.2, by observation); a job
that is in the queue no longer counts as failed here, where upstream stops.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections import Counter
from dataclasses import replace
from typing import Any

from ganeti_allocators_htools import execute
from ganeti_allocators_htools.command_line import version_line
from ganeti_allocators_htools.errors import UsageError
from ganeti_allocators_htools.luxi import Client, LuxiError, master_socket
from ganeti_allocators_htools.model import Cluster
from ganeti_allocators_htools.options import Options
from ganeti_allocators_htools.prepare import load
from ganeti_allocators_htools.repairing import (
    FAILED,
    FAILURE,
    FOREVER,
    HEALTHY,
    NEEDS_REPAIR,
    NO_PERMISSION,
    PENDING,
    SUCCESS,
    Policy,
    Progress,
    Record,
    Repair,
    UnfinishedRepair,
    needed,
    opcodes,
    policy,
    progress,
)

PROGRAM = "harep"
ENDED = {"success", "error", "canceled"}


class _Master:
    """The master daemon: jobs are submitted and waited for, or with ``--dry-run`` only shown."""

    def __init__(self, client: Client, options: Options) -> None:
        self._client = client
        self._options = options

    def statuses(self, jobs: tuple[int, ...]) -> list[str]:
        """Statuses of jobs; one that the queue does not have any more is told and has failed."""
        try:
            rows = self._client.call("QueryJobs", list(jobs), ["status"])
        except LuxiError as error:
            raise UsageError(f"Error: could not check job status: {error}") from error
        if not isinstance(rows, list) or len(rows) != len(jobs):
            raise UsageError("Error: could not check job status: unexpected answer")
        found = []
        for job, row in zip(jobs, rows, strict=True):
            lost = not (isinstance(row, list) and row and isinstance(row[0], str))
            if lost:
                sys.stderr.write(f"Warning: job {job} is not in the queue; taken as failed\n")
            found.append("error" if lost else str(row[0]))
        return found

    def submit(self, steps: list[dict[str, Any]]) -> list[Any]:
        """Submit one job and return its id in a list, which is empty with ``--dry-run``."""
        if self._options.dry_run:
            return []
        common = self._common()
        try:
            return execute.submit(self._client, [[{**common, **step} for step in steps]])
        except LuxiError as error:
            raise UsageError(f"Error: Job submission error: {error}") from error

    def _common(self) -> dict[str, Any]:
        fields = execute.common_fields(PROGRAM, self._options, time.time_ns())
        fields["comment"] = f"automated repairs by {version_line(PROGRAM)}"
        return fields

    def change_tags(self, verb: str, name: str, tags: list[str]) -> None:
        """Have an instance's tags set or deleted, and wait for that."""
        step = {"OP_ID": f"OP_TAGS_{verb}", "kind": "instance", "tags": tags, "name": name}
        ids = self.submit([step])
        try:
            states = execute.wait(self._client, ids) if ids else {}
        except LuxiError as error:
            raise UsageError(f"Error: could not check job status: {error}") from error
        failed = [f"{job}=>{state}" for job, state in states.items() if state != "success"]
        if failed:
            raise UsageError(f"Error: The following jobs failed: {', '.join(failed)}")


class _Run:
    """One run over all instances; ``progress`` is what the tags say, kept up to date."""

    def __init__(self, cluster: Cluster, master: _Master, options: Options) -> None:
        self.cluster = cluster
        self.master = master
        self.options = options
        self.progress = [self._read(inst) for inst in range(len(cluster.instances))]

    def _read(self, inst: int) -> Progress:
        insts = self.cluster.instances
        try:
            return progress(insts.tags[inst])
        except UnfinishedRepair as error:
            raise UsageError(
                "Error: when parsing auto-repair tags: An unfinished repair was found in instance "
                f"{insts.name[inst]}: {error}"
            ) from error

    def _say(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def _note(self, inst: int, state: str, record: Record) -> None:
        """Keep a new record in the instance's tags instead of the one before."""
        name = self.cluster.instances.name[inst]
        old = self.progress[inst].records
        self._say(f'>>> Adding the following tag to {name}:\n"{record.tag}"')
        self.master.change_tags("SET", name, [record.tag])
        if old:
            shown = "\n".join(f'"{item.tag}"' for item in old)
            self._say(f">>> Removing the following tags from {name}:\n{shown}")
            self.master.change_tags("DEL", name, [item.tag for item in old])
        self.progress[inst] = Progress(state, (record,))

    def look_after_pending(self) -> None:
        """Note how repairs ended whose jobs all did."""
        for inst, now in enumerate(self.progress):
            if now.state != PENDING:
                continue
            record = now.records[0]
            states = self.master.statuses(record.jobs)
            if not ENDED.issuperset(states):
                continue
            good = all(state == "success" for state in states)
            state, result = (HEALTHY, SUCCESS) if good else (FAILED, FAILURE)
            name = self.cluster.instances.name[inst]
            self._say(f'Moving {name} from "{PENDING}" to "{state}"')
            self._note(inst, state, record.ended(result, int(time.time())))

    def repair(self) -> None:
        """Start the repairs that are needed and allowed."""
        cluster, now = self.cluster, time.time()
        insts = cluster.instances
        for inst, current in enumerate(self.progress):
            kind = needed(cluster, inst)
            if kind is None or current.state in (PENDING, FAILED):
                continue
            group = cluster.groups[int(cluster.nodes.group[insts.pnode[inst]])]
            rule = policy((insts.tags[inst], group.tags, cluster.tags), now)
            if rule.allowed is None:
                self._say(f"Not repairing {insts.name[inst]} because it's in state {_shown(rule)}")
            else:
                self._start(inst, kind, rule.allowed)

    def _start(self, inst: int, kind: Repair, allowed: Repair) -> None:
        name = self.cluster.instances.name[inst]
        record = Record(kind, str(uuid.uuid4()), int(time.time()))
        if kind > allowed:
            self._say(
                f"Not performing a repair of type {kind.shown} on {name} because only repairs up "
                f"to {allowed.shown} are allowed"
            )
            self._note(inst, NEEDS_REPAIR, replace(record, result=NO_PERMISSION))
            return
        steps = opcodes(kind, name, self.options.job_delay)
        self._say(f"Executing {kind.shown} repair on {name}")
        if self.options.dry_run:
            self._say(f"jobs: {json.dumps([steps], separators=(',', ':'))}")
        jobs = tuple(self.master.submit(steps))
        self._note(inst, PENDING, replace(record, jobs=jobs))

    def count(self) -> None:
        """Show how many instances are in which state."""
        rule = "---------------------"
        self._say(f"{rule}\nInstance status count\n{rule}")
        for state, number in sorted(Counter(item.state for item in self.progress).items()):
            self._say(f"{state}: {number}")


def _shown(rule: Policy) -> str:
    """Why nothing is done, as upstream prints it."""
    if not rule.until:
        return "ArNotEnabled"
    if rule.until == FOREVER:
        return "ArSuspended Forever"
    moment = time.strftime("%a %b %e %H:%M:%S UTC %Y", time.gmtime(rule.until))
    return f"ArSuspended (Until {moment})"


def run(options: Options) -> int:
    if options.arguments:
        raise UsageError("Error: this program doesn't take any arguments.")
    # upstream asks the master by default, the only source it has here
    cluster = load(options if options.luxi is not None else replace(options, luxi="")).cluster
    try:
        with Client(master_socket(options.luxi or "")) as client:
            work = _Run(cluster, _Master(client, options), options)
            work.look_after_pending()
            work.repair()
            work.count()
    except LuxiError as error:
        raise UsageError(f"Error: {error}") from error
    return 0
