"""What happens in one schedule, drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ganeti_kernel.jobs.opcodes import Opcode, decode_opcode
from ganeti_kernel.jobs.operation import ALL, Lock, Pick
from ganeti_kernel.objects import FilterRule

NODES: Final = ("n1", "n2", "n3")
LABELS: Final = ("red", "blue")
HAPPENINGS: Final = (
    "cancel", "cancel", "kill", "priority", "priority", "rule", "rule", "unrule", "archive",
    "crash", "crash", "parent", "full",
)  # fmt: skip
PRIORITIES: Final = (-10, 0, 0, 0, 10)
_BLANK: Final = decode_opcode({"OP_ID": "OP_TEST_DELAY", "duration": 0})


@dataclass(slots=True)
class OpPlan:
    """What the process of a job does for one opcode; `keep`: narrows its locks to these."""

    locks: list[Lock]
    pick: Pick | None = None
    keep: int | None = None
    steps: int = 1
    work: float = 0.1
    fails: bool = False


@dataclass(slots=True)
class JobPlan:
    """A job to be submitted. `limit`: how many of its label may run at once."""

    number: int
    label: str
    priority: int
    ops: list[OpPlan]
    depends: list[tuple[int, list[str]]] = field(default_factory=list)
    limit: int = 0

    def opcodes(self) -> list[Opcode]:
        """As they are submitted; an opcode's comment tells the plan and the label."""
        reason = [["gnt:user", f"rate-limit:{self.limit}:{self.label}", 1]] if self.limit else []
        return [
            msgspec.structs.replace(
                _BLANK,
                comment=f"{self.number} {self.label}",
                priority=self.priority,
                reason=reason,
                depends=[list(item) for item in self.depends] if index == 0 else None,
            )
            for index in range(len(self.ops))
        ]


@dataclass(slots=True)
class Event:
    """Something that a user or fate does. `kind`: the name of a method of the driver."""

    time: float
    kind: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Schedule:
    """`deaths`: how likely a job's process dies at any request; `together`: the first one that
    dies takes the master daemon with it."""

    seed: int
    max_running: int
    deaths: float
    disk: float
    events: list[Event]
    together: bool = False


def draw(seed: int) -> Schedule:
    """One schedule: a few submissions, and what else happens meanwhile."""
    rng = random.Random(seed)
    if rng.random() < 0.02:
        return _flood(seed, rng)
    events: list[Event] = []
    jobs = 0
    for _ in range(rng.randint(1, 4)):
        count = rng.choice((1, 1, 1, 2, 3))
        plans = [_job(rng, jobs + i, i) for i in range(count)]
        jobs += count
        events.append(Event(rng.uniform(0, 4), "submit", {"jobs": plans}))
    for _ in range(rng.randint(0, 6)):
        kind = rng.choice(HAPPENINGS)
        time = rng.uniform(0, 6)
        if rng.random() < 0.5:  # together with something else
            time = rng.choice(events).time + rng.choice((0.0, 0.005, 0.03))
        events.append(Event(time, kind, _values(rng, kind, jobs)))
    if rng.random() < 0.05:
        events += _change_of_mind(rng, jobs)
    events.sort(key=lambda item: item.time)
    return Schedule(
        seed,
        max_running=rng.choice((1, 2, 3, 20)),
        deaths=rng.choice((0.0, 0.0, 0.02, 0.1)),
        disk=rng.choice((0.0, 0.001, 0.02)),
        events=events,
        together=rng.random() < 0.2,
    )


def _flood(seed: int, rng: random.Random) -> Schedule:
    """Urgent jobs without end, all for one lock, and one that is in no hurry.

    Or jobs that share the lock, some at any moment, and one that wants it alone.
    """
    shared = rng.random() < 0.5
    events = []
    for number in range(70):
        lock = Lock("node", "n1", exclusive=not shared or number == 1)
        priority = 0 if shared else 10 if number == 1 else -10
        plan = JobPlan(number, "red", priority, [OpPlan([lock], work=0.25)])
        events.append(Event(number * 0.1, "submit", {"jobs": [plan]}))
    return Schedule(seed, max_running=200, deaths=0.0, disk=0.0, events=events)


def _change_of_mind(rng: random.Random, number: int) -> list[Event]:
    """A job is kept from starting, and cancelled when it might start."""
    plan = _job(rng, number, 0)
    lifted = 3 + rng.choice((-0.001, 0.001, 0.01))
    return [
        Event(1.0, "rule", {"action": "PAUSE", "label": plan.label, "priority": 0}),
        Event(1.5, "submit", {"jobs": [plan]}),
        Event(3.0, "cancel", {"number": number}),
        Event(lifted, "unrule"),
    ]


def _values(rng: random.Random, kind: str, jobs: int) -> dict[str, Any]:
    if kind in ("cancel", "kill", "archive"):
        return {"number": rng.randrange(jobs)}
    if kind == "priority":
        return {"number": rng.randrange(jobs), "priority": rng.choice((-10, 0, 10))}
    if kind == "rule":
        action = rng.choice(["PAUSE", "PAUSE", "REJECT", ["RATE_LIMIT", 1], "ACCEPT"])
        return {"action": action, "label": rng.choice(LABELS), "priority": rng.randrange(3)}
    if kind in ("crash", "full"):
        return {"seconds": rng.choice((0.05, 0.5, 3.0))}
    return {}


def _job(rng: random.Random, number: int, position: int) -> JobPlan:
    plan = JobPlan(
        number,
        rng.choice(LABELS),
        rng.choice(PRIORITIES),
        [_op(rng) for _ in range(rng.choice((1, 1, 2)))],
        limit=rng.choice((0, 0, 0, 1, 2)),
    )
    if rng.random() < 0.3:
        ends = rng.choice(([], ["success"], ["success", "error"]))
        if position and rng.random() < 0.6:
            plan.depends = [(-1, ends)]
        elif number:
            plan.depends = [(rng.randint(1, number), ends)]
    return plan


def _op(rng: random.Random) -> OpPlan:
    plan = OpPlan(
        locks=_locks(rng),
        steps=rng.choice((0, 1, 1, 2)),
        work=rng.choice((0.0, 0.05, 1.0)),
        fails=rng.random() < 0.1,
    )
    if rng.random() < 0.15:
        plan.locks = [Lock("instance", rng.choice("ab"), exclusive=True)]
        bundles = [[Lock("node", n), Lock("node-res", n, exclusive=True)] for n in NODES]
        plan.pick = Pick(bundles, least=rng.choice((1, 1, 2)))
    if rng.random() < 0.3:
        plan.keep = rng.randint(0, 1)
    return plan


def _locks(rng: random.Random) -> list[Lock]:
    out: set[Lock] = set()
    if rng.random() < 0.1:
        out.add(Lock("cluster", "BGL", exclusive=rng.random() < 0.5))
    for level, names in (("instance", "ab"), ("node", NODES), ("node-res", NODES)):
        if rng.random() < 0.5:
            name = ALL if rng.random() < 0.25 else rng.choice(names)
            out.add(Lock(level, name, exclusive=rng.random() < 0.6))
    return sorted(out)


def make_rule(number: int, action: Any, label: str, priority: int) -> FilterRule:
    """A filter for jobs of one label, which is the second word of their comment."""
    test = ["opcode", ["=~", "comment", f" {label}$"]]
    return FilterRule(
        uuid=f"rule{number}", watermark=0, priority=priority, predicates=[test], action=action
    )
