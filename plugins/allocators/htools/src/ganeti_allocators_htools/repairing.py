"""What harep knows of an instance: what its tags allow, how far a repair is, what is broken. Pure.

Repair state is kept in tags of the instance, which the next run reads again. Their forms, what
wins where several tags speak, and the jobs of each repair are upstream's (release 3.0, harep(1),
completed by observation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from .model import NO_NODE, Cluster
from .opcodes import replace_secondary
from .words import TEMPLATES

PREFIX = "ganeti:watcher:autorepair:"
FOREVER = float("inf")


class Repair(IntEnum):
    """Kinds of repair, the least destructive first. A permission includes those before it."""

    FIX_STORAGE = 0
    MIGRATE = 1
    FAILOVER = 2
    REINSTALL = 3

    @property
    def word(self) -> str:
        return self.name.lower().replace("_", "-")

    @property
    def shown(self) -> str:
        """As upstream prints it."""
        return "Ar" + self.name.title().replace("_", "")


WORDS = {kind.word: kind for kind in Repair}
SUCCESS, FAILURE, NO_PERMISSION = "success", "failure", "enoperm"
RESULTS = (SUCCESS, FAILURE, NO_PERMISSION)


@dataclass(frozen=True)
class Record:
    """One repair of an instance as a tag keeps it. ``result`` is "" while it is pending."""

    kind: Repair
    uuid: str
    time: int
    jobs: tuple[int, ...] = ()
    result: str = ""

    @property
    def tag(self) -> str:
        result = f":{self.result}" if self.result else ""
        what = "result" if self.result else "pending"
        jobs = "+".join(map(str, self.jobs))
        return f"{PREFIX}{what}:{self.kind.word}:{self.uuid}:{self.time}{result}:{jobs}"

    def ended(self, result: str, now: int) -> Record:
        return replace(self, result=result, time=now)


def parse(tag: str) -> Record | None:
    """The record that a tag keeps, None for every other tag."""
    if not tag.startswith(PREFIX):
        return None
    what, *fields = tag.removeprefix(PREFIX).split(":")
    if what == "result" and len(fields) == 5 and fields[3] in RESULTS:
        result = fields.pop(3)
    elif what == "pending" and len(fields) == 4:
        result = ""
    else:
        return None
    kind, uuid, time, jobs = fields
    numbers = jobs.split("+") if jobs else []
    if kind not in WORDS or not all(map(str.isdecimal, (time.removeprefix("-"), *numbers))):
        return None
    return Record(WORDS[kind], uuid, int(time), tuple(map(int, numbers)), result)


# -- states ---------------------------------------------------------------------------------------

HEALTHY, NEEDS_REPAIR = "Healthy", "Needs repair"
PENDING, FAILED = "Pending repair", "Failure"


@dataclass(frozen=True)
class Progress:
    """How far an instance's repair is. ``records``: what its tags keep of it, the newest first."""

    state: str = HEALTHY
    records: tuple[Record, ...] = ()


class UnfinishedRepair(Exception):
    """A repair is pending although a later one was begun."""


_RANKS = {"": 0, NO_PERMISSION: 1, SUCCESS: 2, FAILURE: 3}
"""Of several records of one repair (they share a UUID) that of the highest rank counts."""


def progress(tags: Sequence[str]) -> Progress:
    """The state that an instance's tags say; raises `UnfinishedRepair`.

    Repairs are taken in the order in which they began; after one that failed nothing counts.
    """
    repairs: dict[str, list[Record]] = {}
    for record in filter(None, map(parse, tags)):
        repairs.setdefault(record.uuid, []).append(record)
    now = Progress()
    for records in sorted(repairs.values(), key=_beginning):
        record = max(reversed(records), key=lambda item: (_RANKS[item.result], item.time))
        if now.state == PENDING:
            raise UnfinishedRepair(
                f'found tag "{record.tag}", but older pending tag "{now.records[0].tag}"exists.'
            )
        if now.state == FAILED:
            break
        now = Progress(_state_of(record), (record, *now.records))
    return now


def _beginning(records: Sequence[Record]) -> tuple[int, str]:
    return min(record.time for record in records), records[0].uuid


def _state_of(record: Record) -> str:
    # one that lacked permission is tried again: the administrator may have given it meanwhile
    return {FAILURE: FAILED, "": PENDING}.get(record.result, HEALTHY)


# -- permissions ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Policy:
    """What may be done: repairs up to ``allowed``, nothing before ``until``, or nothing at all."""

    allowed: Repair | None = None
    until: float = 0.0


def _own_policy(tags: Sequence[str], now: float) -> Policy | None:
    """What one object's tags say, None for nothing."""
    words = [tag.removeprefix(PREFIX) for tag in tags if tag.startswith(PREFIX)]
    ends = [FOREVER for word in words if word in ("suspend", "suspend:")]
    times = [word.removeprefix("suspend:") for word in words if word.startswith("suspend:")]
    ends += [float(time) for time in times if time.isdecimal() and int(time) > now]
    if ends:
        return Policy(until=max(ends))
    kinds = [WORDS[word] for word in words if word in WORDS]
    return Policy(min(kinds)) if kinds else None


def policy(objects: Sequence[Sequence[str]], now: float) -> Policy:
    """What may be done to an instance; ``objects``: tags, the nearest object's first."""
    for tags in objects:
        found = _own_policy(tags, now)
        if found is not None:
            return found
    return Policy()


# -- what is broken -------------------------------------------------------------------------------


def needed(cluster: Cluster, inst: int) -> Repair | None:
    """The repair that an instance needs, None when it is well. Only offline nodes are a reason."""
    insts, offline = cluster.instances, cluster.nodes.offline
    template = TEMPLATES[insts.template[inst]]
    first, second = int(insts.pnode[inst]), int(insts.snode[inst])
    if template == "plain" and offline[first]:
        return Repair.REINSTALL
    if template != "drbd":
        return None
    lost = (bool(offline[first]), second != NO_NODE and bool(offline[second]))
    return {
        (False, False): None,
        (False, True): Repair.FIX_STORAGE,
        (True, False): Repair.FAILOVER,
        (True, True): Repair.REINSTALL,
    }[lost]


def opcodes(kind: Repair, name: str, delay: float) -> list[dict[str, Any]]:
    """The opcodes of the one job that repairs an instance, after ``delay`` seconds."""
    recreate = {
        "OP_ID": "OP_INSTANCE_RECREATE_DISKS",
        "instance_name": name,
        "disks": [],
        "nodes": [],
        "iallocator": "hail",
    }
    steps: dict[Repair, list[dict[str, Any]]] = {
        Repair.FIX_STORAGE: [replace_secondary(name, iallocator="hail")],
        Repair.FAILOVER: [
            {
                "OP_ID": "OP_INSTANCE_FAILOVER",
                "instance_name": name,
                "shutdown_timeout": 120,
                "ignore_consistency": False,
                "ignore_ipolicy": False,
                "cleanup": False,
            }
        ],
        Repair.REINSTALL: [
            recreate,
            {"OP_ID": "OP_INSTANCE_REINSTALL", "instance_name": name, "force_variant": False},
        ],
    }
    wait: dict[str, Any] = {
        "OP_ID": "OP_TEST_DELAY",
        "duration": int(delay) if delay == int(delay) else delay,
        "on_master": True,
        "on_nodes": [],
        "repeat": 0,
        "interruptible": False,
        "no_locks": False,
    }
    return [wait, *steps[kind]] if delay > 0 else steps[kind]
