"""Where hail puts a new instance: the best place of a group, and the best group.

Raises `Refused` for a request that cannot be fulfilled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .allocation import Outcome, Placement, allocate, tally
from .capacity import Site
from .limits import (
    FAILURES,
    Request,
    exclusion_numbers,
    primary_codes,
    secondary_codes,
)
from .loaders.ialloc import items, optional, section
from .model import Floats, Ints, ISpec
from .numbers import fixed
from .placing import place, with_instances
from .state import ROW, State, Static
from .words import TEMPLATES, choice


class Refused(Exception):
    """The request cannot be fulfilled; the text goes into the response."""


@dataclass(frozen=True)
class Rules:
    """Options of the run."""

    capacity_checks: bool = True
    ignore_soft_errors: bool = False
    restrict_to: tuple[str, ...] | None = None


def new_request(record: Mapping[str, Any]) -> Request:
    """An instance to allocate from its JSON form; raises `LoadError`."""
    what = "invalid request dict"
    disks = section(record, "disks", list, what)
    nics = items(record, "nics", dict, what)
    section(record, "tags", list, what)
    return Request(
        name=section(record, "name", str, what),
        mem=section(record, "memory", int, what),
        dsk=section(record, "disk_space_total", int, what),
        vcpus=section(record, "vcpus", int, what),
        template=choice(section(record, "disk_template", str, what), TEMPLATES, "DiskTemplate"),
        disks=tuple(section(disk, "size", int, what) for disk in disks),
        disk_spindles=tuple(optional(disk, "spindles", int, what) for disk in disks),
        spindle_use=section({"spindle_use": 1, **record}, "spindle_use", int, what),
        nics=len(nics),
        networks=tuple(nic["network"] for nic in nics if optional(nic, "network", str, what)),
        tags=tuple(items(record, "tags", str, what)),
    )


Cost = tuple[list[int], int]
"""Later allocations of each policy range's minimum that a place costs, and the disk left there."""


def describe(outcome: Outcome, state: State, cost: Cost | None = None) -> str:
    """One group's result in words; ``cost`` is shown instead of a score."""
    failures = ", ".join(
        f"{name}: {outcome.failures[name]}" for name in FAILURES if outcome.failures[name]
    )
    if outcome.best is None:
        return f"No valid allocation solutions, failure reasons: {failures or 'unknown reasons'}"
    names = "/".join(state.static.cluster.nodes.name[node] for node in outcome.best.nodes)
    score = fixed(outcome.best.score, 8)
    if cost is not None:
        score = f"([{','.join(map(str, cost[0]))}],{cost[1]})"
    return (
        f"score: {score}, successes {outcome.successes},"
        f" failures {sum(outcome.failures.values())} ({failures}) for node(s) {names}"
    )


def _fitting(static: Static, node: int, column: Floats, spec: ISpec) -> int:
    """How many instances of a size fit on a node by memory, disk, CPUs and spindles.

    ``column`` has the node's quantities (`State.q`). As upstream: how many spindles of exclusive
    storage are free is not looked at, unless more than there are have been taken.
    """
    if static.cluster.nodes.exclusive[node] and column[ROW["fsp"]] < 0:
        return 0
    have = {name: float(column[ROW[name]]) for name in ("umem", "rmem", "fdsk", "ucpu", "isp")}
    amounts = (
        (have["umem"] - have["rmem"] - 1, spec.mem),  # some memory and disk must be left
        (have["fdsk"] - 1, spec.disk),
        (float(static.hi_cpu[node] * static.cluster.nodes.tcpu[node]) - have["ucpu"], spec.cpu),
        (float(static.hi_spindles[node]) - have["isp"], spec.spindle_use),
    )
    return max(0, min(int(free // need) for free, need in amounts if need > 0))


@dataclass(frozen=True)
class Found:
    """A place for a request: group number, its outcome, and all groups' results in words."""

    group: int
    outcome: Outcome
    messages: tuple[str, ...]


class Placer:
    """Finds places for one request in the groups of a cluster."""

    def __init__(self, state: State, request: Request, rules: Rules) -> None:
        request = replace(request, exclusion=exclusion_numbers(state, request.tags))
        self.number = len(state.static.cluster.instances)
        self.state = with_instances(state, [request])
        self.request = replace(request, exclusion=exclusion_numbers(self.state, request.tags))
        self.rules = rules
        self.site = Site.of(self.state) if rules.capacity_checks else None

    def nodes(self, group: int, names: Sequence[str] | None) -> Ints:
        table = self.state.static.cluster.nodes
        chosen = (table.group == group) & ~table.offline
        if names is not None:
            wanted = set(names)
            chosen = chosen & np.array([name in wanted for name in table.name], dtype=bool)
        return np.flatnonzero(chosen)

    def attempt(self, nodes: Ints) -> Outcome:
        """The best place on these nodes; raises `Refused` when there are too few."""
        needed = 2 if self.request.template == "drbd" else 1
        if len(nodes) < needed:
            raise Refused("Not enough online nodes" if needed > 1 else "No online nodes")
        return allocate(
            self.state,
            self.request,
            nodes,
            force=self.rules.ignore_soft_errors,
            check=self._check if self.site is not None else None,
        )

    def _check(self, nodes: tuple[int, ...]) -> bool:
        assert self.site is not None
        trial = self.site.copy()
        trial.place(self.number, nodes)
        return trial.redundant()

    def dedicated(self) -> bool:
        """Whether all nodes, offline ones too, of groups that take instances have exclusive
        storage."""
        cluster = self.state.static.cluster
        takes = [group.alloc_policy != "unallocable" for group in cluster.groups]
        nodes = np.array(takes, dtype=bool)[cluster.nodes.group]
        return bool(cluster.nodes.exclusive[nodes].all())

    def attempt_dedicated(self, nodes: Ints) -> tuple[Outcome, Cost | None]:
        """The place that costs the fewest later allocations, and that cost."""
        mirrored = self.request.template == "drbd"
        if len(nodes) < 1 + mirrored:
            raise Refused("Not enough online nodes" if mirrored else "No online nodes")
        state, request, force = self.state, self.request, self.rules.ignore_soft_errors
        codes = primary_codes(state, request.sizes, force=force)[0, nodes]
        places: list[tuple[int, ...]] = [(node,) for node in nodes.tolist()]
        if mirrored:
            needed = request.mem if request.uses_sec_mem else 0
            rmem = np.maximum(state.rmem[None, :], state.peers[:, nodes].T + needed)
            second = secondary_codes(state, request, rmem, force=force)[:, nodes]
            rows, columns = np.nonzero(~np.eye(len(nodes), dtype=bool))
            codes = np.where(codes[:, None] > 0, codes[:, None], second)[rows, columns]
            places = list(zip(nodes[rows].tolist(), nodes[columns].tolist(), strict=True))
        outcome = Outcome(failures=tally(codes))
        good = [place for place, code in zip(places, codes.tolist(), strict=True) if not code]
        outcome.successes = len(good)
        if not good:
            return outcome, None
        costs = [self._lost(place) for place in good]
        cheapest = min(costs)
        # the last of equals wins
        index = len(costs) - 1 - costs[::-1].index(cheapest)
        outcome.best = Placement(good[index], 0.0)
        return outcome, cheapest

    def _lost(self, nodes: tuple[int, ...]) -> Cost:
        state, static, inst = self.state, self.state.static, self.number
        cluster = static.cluster
        policy = cluster.groups[int(cluster.nodes.group[nodes[0]])].policy
        after = []
        for node, table in zip(nodes, (static.as_primary, static.as_secondary), strict=False):
            column = state.q[:, node] + table[:, inst] * static.usable[:, node]
            if table is static.as_secondary:
                reserved = state.peers[node, nodes[0]] + static.sec_mem[inst]
                column[ROW["rmem"]] = max(column[ROW["rmem"]], reserved)
            after.append(column)
        ranges = sorted(
            (bound.min for bound in policy.minmax),
            key=lambda spec: (spec.mem, spec.disk, spec.cpu),
            reverse=True,
        )
        lost = [
            sum(
                _fitting(static, node, state.q[:, node], spec)
                - _fitting(static, node, column, spec)
                for node, column in zip(nodes, after, strict=True)
            )
            for spec in ranges
        ]
        return lost, int(sum(column[ROW["fdsk"]] for column in after))

    def best_group(
        self,
        names: Sequence[str] | None,
        allowed: set[int] | None = None,
        *,
        dedicated: bool = False,
    ) -> Found:
        """The place in the best of the ``allowed`` groups (default: all), the last of equals.

        With ``dedicated`` storage it is the one that costs the fewest later allocations. Raises
        `Refused`.
        """
        cluster = self.state.static.cluster
        messages: list[str] = []
        unconnected: list[str] = []
        found: list[tuple[int, Cost | float, int, Outcome]] = []
        for number, group in enumerate(cluster.groups):
            if allowed is not None and number not in allowed:
                continue
            if not set(self.request.networks) <= set(group.networks):
                unconnected.append(
                    f"group {group.name} is not connected to a network required by instance"
                    f" {self.request.name}"
                )
                continue
            cost: Cost | None = None
            try:
                if dedicated:
                    outcome, cost = self.attempt_dedicated(self.nodes(number, names))
                else:
                    outcome = self.attempt(self.nodes(number, names))
            except Refused as err:
                if (cluster.nodes.group == number).any() or names:
                    messages.append(f"Group {group.name}: error {err}")
                continue
            words = describe(outcome, self.state, cost)
            messages.append(f"Group {group.name} ({group.alloc_policy}): {words}")
            if outcome.best is not None and group.alloc_policy != "unallocable":
                rank = ("preferred", "last_resort").index(group.alloc_policy)
                found.append((rank, cost or outcome.best.score, number, outcome))
        messages = messages + unconnected
        if not found:
            raise Refused(", ".join(messages))
        _, _, number, outcome = min(reversed(found), key=lambda item: item[:2])
        return Found(number, outcome, tuple(messages))

    def placed(self, outcome: Outcome) -> State:
        assert outcome.best is not None
        final = self.state.copy()
        place(final, self.number, outcome.best.nodes)
        return final


def names_of(state: State, nodes: Sequence[int]) -> list[str]:
    return [state.static.cluster.nodes.name[node] for node in nodes]


def allocate_one(request: Mapping[str, Any], state: State, rules: Rules) -> tuple[str, Any, State]:
    placer = Placer(state, new_request(request), rules)
    names = rules.restrict_to or request.get("restrict-to-nodes")
    wanted = optional(request, "group_name", str, "invalid request dict")
    if wanted is not None:
        groups = state.static.cluster.groups
        number = state.static.cluster.group_index.get(wanted)
        if number is None:
            raise Refused(f"Wrong number of elems found with name {wanted}")
        outcome = placer.attempt(placer.nodes(number, names))
        words = describe(outcome, placer.state)
        info = f"Group {groups[number].name} ({groups[number].alloc_policy}): {words}"
        if outcome.best is None:
            raise Refused(info)
    else:
        found = placer.best_group(names, dedicated=placer.dedicated())
        outcome = found.outcome
        chosen = f"Selected group: {state.static.cluster.groups[found.group].name}"
        info = ", ".join((chosen, *found.messages))
    assert outcome.best is not None
    return info, names_of(state, outcome.best.nodes), placer.placed(outcome)


def allocate_many(request: Mapping[str, Any], state: State, rules: Rules) -> tuple[str, Any, State]:
    """Place one after the other; with dedicated storage all go to the first one's group."""
    placed = []
    allowed: set[int] | None = None
    for record in section(request, "instances", list, "invalid request dict"):
        wanted = new_request(record)
        placer = Placer(state, wanted, rules)
        names = rules.restrict_to or record.get("restrict-to-nodes")
        dedicated = placer.dedicated()
        found = placer.best_group(names, allowed, dedicated=dedicated)
        allowed = {found.group} if dedicated else None
        assert found.outcome.best is not None
        placed.append([wanted.name, names_of(state, found.outcome.best.nodes)])
        state = placer.placed(found.outcome)
    info = f"0 instances failed to allocate and {len(placed)} were allocated successfully"
    return info, [placed, []], state
