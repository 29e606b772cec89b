"""Broken planners, each with one rule forgotten: the checks of plans must find every one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from tests.interop.htools.plans import wrong

SEEDS = 300


def part(name: str) -> Any:
    """A module of the package, as one that may be broken."""
    return importlib.import_module(f"ganeti_allocators_htools.{name}")


colouring, commands, mover, prepare, rolling, search = map(
    part, ("colouring", "commands", "mover", "prepare", "rolling", "search")
)
hbal, hroller, hsqueeze = map(part, ("programs.hbal", "programs.hroller", "programs.hsqueeze"))
building, message, moves, text = map(part, ("building", "message", "moves", "loaders.text"))

ANYTHING = message.Rules(False, True, None)
"""hail's rules without the check of redundancy, soft limits ignored."""

pytestmark = pytest.mark.timeout(300)

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Mutant:
    """How a program is broken, the kind of cluster and the first seed that may show it."""

    program: str
    kind: str
    apply: Callable[[Patch], None]
    says: str
    first: int = 0


def statics(**fields: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """Change what the program knows of the cluster's limits."""

    def build(*args: Any, **kwargs: Any) -> Any:
        static = building.build_static(*args, **kwargs)
        return replace(static, **{name: make(static) for name, make in fields.items()})

    def apply(patch: Patch) -> None:
        for module in (prepare, hsqueeze):
            patch.setattr(module, "build_static", build)

    return apply


def forgets_the_room(patch: Patch) -> None:
    patch.setattr(hsqueeze, "has_room", lambda *_: True)
    patch.setattr(hsqueeze, "hopeless", lambda *_: False)


def puts(module: Any, name: str, value: Any) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(module, name, value)


NO_RESERVE = statics(sec_mem=lambda static: static.sec_mem * 0)
NO_CPU_LIMIT = statics(hi_cpu=lambda static: static.hi_cpu * 0 - 1)
NO_EXCLUSION = statics(exclusion=lambda static: tuple(() for _ in static.exclusion))
NO_MIGRATION_TAGS = statics(rules=lambda static: replace(static.rules, migration=()))


def anything_moves(patch: Patch) -> None:
    start = search.Search.__init__

    def init(self: Any, *args: Any) -> None:
        start(self, *args)
        self.movable = np.ones_like(self.movable)

    patch.setattr(search.Search, "__init__", init)


def wrong_node(patch: Patch) -> None:
    right = commands.commands

    def wrongly(cluster: Any, move: Any) -> Any:
        other = (move.target + 1) % len(cluster.nodes) if move.target >= 0 else move.target
        return right(cluster, replace(move, target=other))

    patch.setattr(commands, "commands", wrongly)


def first_state(now: Any) -> Any:
    insts = now.static.cluster.instances
    columns = (now.fdsk.astype(np.int64), now.fsp.astype(np.int64))
    return text.format_cluster(now.static.cluster, insts.pnode, insts.snode, *columns)


def rising_score(patch: Patch) -> None:
    right = commands.StepPrinter.line

    def line(self: Any, number: int, move: Any) -> Any:
        return right(self, number, replace(move, score=move.score + number))

    patch.setattr(commands.StepPrinter, "line", line)


def secondaries_stay(patch: Patch) -> None:
    right = mover.replace_secondary
    wrong_node = {"remote_node": "node-0-0"}
    patch.setattr(mover, "replace_secondary", lambda name, **_: right(name, **wrong_node))


def one_colour(patch: Patch) -> None:
    right = colouring.best
    patch.setattr(
        colouring,
        "best",
        lambda found: [sorted(node for colour in right(found) for node in colour)],
    )


def weightless_guests(patch: Patch) -> None:
    start = rolling.Planner.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        start(self, *args, **kwargs)
        self.mem = [0.0] * len(self.mem)

    patch.setattr(rolling.Planner, "__init__", init)


def every_node(cluster: Any, _options: Any) -> list[int]:
    return [int(number) for number in np.flatnonzero(~cluster.nodes.offline)]


MUTANTS = {
    "hbal forgets N+1": Mutant("hbal", "tight", NO_RESERVE, "fails N+1"),
    "hbal forgets the CPU ratio": Mutant("hbal", "policy", NO_CPU_LIMIT, "virtual CPUs"),
    "hbal forgets the spindle ratio": Mutant(
        *("hbal", "policy"),
        statics(hi_spindles=lambda static: static.hi_spindles + 1e9),
        "spindle use",
    ),
    "hbal forgets the free disk": Mutant(
        "hbal", "mixed", statics(lo_dsk=lambda static: static.lo_dsk * 0), "disk free"
    ),
    "hbal forgets exclusion tags": Mutant("hbal", "tags", NO_EXCLUSION, "meets"),
    "hbal forgets migration tags": Mutant("hbal", "migration", NO_MIGRATION_TAGS, "migration tags"),
    "hbal moves what must stay": Mutant("hbal", "drbd", anything_moves, "auto_balance"),
    "hbal forgets its options": Mutant(
        "hbal", "drbd", puts(hbal, "rules_of", lambda _options: moves.Rules()), ""
    ),
    "hbal names another node": Mutant("hbal", "shared", wrong_node, ""),
    "hbal puts all jobs into one set": Mutant(
        "hbal", "drbd", puts(commands, "job_sets", lambda found: [list(found)]), ""
    ),
    "hbal saves the first state": Mutant(
        "hbal", "shared", puts(hbal, "saved_text", first_state), "should be on"
    ),
    "hbal lets the score rise": Mutant("hbal", "drbd", rising_score, "score rises"),
    # a request that meets a node this full is rare
    "hail forgets N+1": Mutant("hail", "tight", NO_RESERVE, "fails N+1", first=578),
    "hail forgets all soft limits": Mutant(
        "hail", "tight", puts(message, "Rules", lambda *_: ANYTHING), "virtual CPUs"
    ),
    "hail forgets the CPU ratio": Mutant("hail", "policy", NO_CPU_LIMIT, "virtual CPUs"),
    "hail forgets migration tags": Mutant("hail", "migration", NO_MIGRATION_TAGS, "migration tags"),
    "hail gives every secondary the same node": Mutant("hail", "drbd", secondaries_stay, ""),
    "hail answers for other nodes": Mutant(
        *("hail", "mixed"),
        puts(mover.Mover, "where", lambda _self, _inst: ("group-0", ["node-0-0"])),
        "should be on",
    ),
    "hsqueeze forgets the room": Mutant("hsqueeze", "shared", forgets_the_room, ""),
    "hsqueeze forgets who is left": Mutant(
        "hsqueeze", "tight", puts(hsqueeze, "all_online", lambda _state: True), ""
    ),
    "hsqueeze saves the first state": Mutant(
        "hsqueeze", "shared", puts(hsqueeze, "saved_text", first_state), "should be on"
    ),
    "hroller reboots all at once": Mutant("hroller", "drbd", one_colour, ""),
    "hroller forgets the guests' memory": Mutant(
        "hroller", "shared", weightless_guests, "no memory left"
    ),
    "hroller forgets its options": Mutant(
        "hroller", "shared", puts(hroller, "selected_nodes", every_node), "instead of"
    ),
}


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_the_mutant_is_found(name: str, monkeypatch: Patch) -> None:
    mutant = MUTANTS[name]
    mutant.apply(monkeypatch)
    for seed in range(mutant.first, mutant.first + SEEDS):
        found = wrong(mutant.program, seed, mutant.kind)
        if any(mutant.says in line for line in found):
            return
    raise AssertionError(f"nothing is found wrong in {SEEDS} plans")
