"""The IAllocator protocol: from a request and a cluster to a response, without any I/O.

`answer` is the whole of it; the types are those of protocol version 2 (upstream 3.0, and
``allocate-secondary`` of 2.16). A request that cannot be understood raises `LoadError`; one that
cannot be fulfilled gets a response that says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .allocation import Outcome, Placement, allocate, tally
from .capacity import Site
from .errors import LoadError
from .evacuation import instance_request
from .limits import (
    CODE,
    FAILURES,
    Request,
    Sizes,
    exclusion_numbers,
    policy_failure,
    primary_codes,
    secondary_codes,
)
from .loaders.ialloc import section
from .loaders.text import choice
from .model import MIRROR, NO_NODE, TEMPLATES, Cluster, Floats, Ints, ISpec
from .moves import (
    ALLOWED,
    CPU_RATIO,
    DISK,
    LOW_DISK,
    MEMORY,
    MIGRATION,
    N1,
    SPINDLE_RATIO,
    SPINDLES,
    TAGS,
    ExactScorer,
    refusals,
)
from .numbers import fixed
from .placing import place, with_instances
from .score import score
from .state import ROW, State, Static

#: What upstream calls the objections in `moves.REASONS`.
_FAILURE_OF = {
    MEMORY: "FailMem",
    DISK: "FailDisk",
    SPINDLES: "FailSpindles",
    LOW_DISK: "FailDisk",
    SPINDLE_RATIO: "FailDisk",
    CPU_RATIO: "FailCPU",
    N1: "FailMem",
    TAGS: "FailTags",
    MIGRATION: "FailMig",
}
EVAC_MODES = ("primary-only", "secondary-only", "all")


class Refused(Exception):
    """The request cannot be fulfilled; the text goes into the response."""


@dataclass(frozen=True)
class Rules:
    """Options of the run."""

    capacity_checks: bool = True
    ignore_soft_errors: bool = False
    restrict_to: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Answer:
    """The response and the state it leads to."""

    response: dict[str, Any]
    state: State


def answer(request: Mapping[str, Any], state: State, rules: Rules | None = None) -> Answer:
    """Fulfil one decoded request on a prepared state; raises `LoadError`."""
    kind = section(request, "type", str, "invalid request dict")
    handler = _HANDLERS.get(kind)
    if handler is None:
        raise LoadError(f"Invalid request type '{kind}'")
    try:
        info, result, final = handler(request, state, rules or Rules())
    except Refused as err:
        return Answer({"success": False, "info": f"Request failed: {err}", "result": []}, state)
    return Answer({"success": True, "info": f"Request successful: {info}", "result": result}, final)


def new_request(record: Mapping[str, Any]) -> Request:
    """An instance to allocate from its JSON form; raises `LoadError`."""
    what = "invalid request dict"
    disks = section(record, "disks", list, what)
    nics = record.get("nics") or []
    return Request(
        name=section(record, "name", str, what),
        mem=section(record, "memory", int, what),
        dsk=section(record, "disk_space_total", int, what),
        vcpus=section(record, "vcpus", int, what),
        template=choice(section(record, "disk_template", str, what), TEMPLATES, "DiskTemplate"),
        disks=tuple(section(disk, "size", int, what) for disk in disks),
        disk_spindles=tuple(disk.get("spindles") for disk in disks),
        spindle_use=int(record.get("spindle_use", 1)),
        nics=len(nics),
        networks=tuple(nic["network"] for nic in nics if nic.get("network")),
        tags=tuple(section(record, "tags", list, what)),
    )


# -- allocation --------------------------------------------------------------------------------


def describe(outcome: Outcome, state: State, cost: str | None = None) -> str:
    """One group's result in words; ``cost`` is shown instead of a score."""
    failures = ", ".join(
        f"{name}: {outcome.failures[name]}" for name in FAILURES if outcome.failures[name]
    )
    if outcome.best is None:
        text = "No valid allocation solutions"
        return f"{text}, failure reasons: {failures}" if failures else text
    names = "/".join(state.static.cluster.nodes.name[node] for node in outcome.best.nodes)
    return (
        f"score: {cost or fixed(outcome.best.score, 8)}, successes {outcome.successes},"
        f" failures {sum(outcome.failures.values())} ({failures}) for node(s) {names}"
    )


def _fitting(static: Static, node: int, column: Floats, spec: ISpec) -> int:
    """How many instances of a size fit on a node by memory, disk, CPUs and spindles.

    ``column`` has the node's quantities (`State.q`). As upstream: free spindles of exclusive
    storage are not looked at.
    """
    have = {name: float(column[ROW[name]]) for name in ("umem", "rmem", "fdsk", "ucpu", "isp")}
    amounts = (
        (have["umem"] - have["rmem"], spec.mem),
        (have["fdsk"], spec.disk),
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
        """Whether all nodes of groups that take instances have exclusive storage."""
        cluster = self.state.static.cluster
        takes = [group.alloc_policy != "unallocable" for group in cluster.groups]
        nodes = np.array(takes, dtype=bool)[cluster.nodes.group] & ~cluster.nodes.offline
        return bool(cluster.nodes.exclusive[nodes].all())

    def attempt_dedicated(self, nodes: Ints) -> tuple[Outcome, str]:
        """The place that costs the fewest later allocations, and that cost as text."""
        mirrored = self.request.template == "drbd"
        if len(nodes) < 1 + mirrored:
            raise Refused("Not enough online nodes" if mirrored else "No online nodes")
        state, request, force = self.state, self.request, self.rules.ignore_soft_errors
        codes = primary_codes(state, Sizes.of([request]), force=force)[0, nodes]
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
            return outcome, ""
        costs = [self._lost(place) for place in good]
        cheapest = min(costs)
        # the last of equals wins
        index = len(costs) - 1 - costs[::-1].index(cheapest)
        outcome.best = Placement(good[index], 0.0)
        lost, left = cheapest
        return outcome, f"([{','.join(map(str, lost))}],{left})"

    def _lost(self, nodes: tuple[int, ...]) -> tuple[list[int], int]:
        """Later allocations of each policy range's minimum that this place costs its nodes, and
        the disk left on them."""
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

    def best_group(self, names: Sequence[str] | None, allowed: set[int] | None = None) -> Found:
        """The place in the best group; raises `Refused`."""
        cluster = self.state.static.cluster
        messages: list[str] = []
        unconnected: list[str] = []
        found: list[tuple[int, Any, int, Outcome]] = []
        dedicated = allowed is None and self.dedicated()
        for number, group in enumerate(cluster.groups):
            if allowed is not None and number not in allowed:
                continue
            if not set(self.request.networks) <= set(group.networks):
                unconnected.append(
                    f"group {group.name} is not connected to a network required by instance"
                    f" {self.request.name}"
                )
                continue
            cost: Any = None
            try:
                if dedicated:
                    outcome, cost = self.attempt_dedicated(self.nodes(number, names))
                else:
                    outcome = self.attempt(self.nodes(number, names))
            except Refused as err:
                if cluster.nodes.group[~cluster.nodes.offline].tolist().count(number) or names:
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
        _, _, number, outcome = min(found, key=lambda item: item[:2])
        return Found(number, outcome, tuple(messages))

    def placed(self, outcome: Outcome) -> State:
        assert outcome.best is not None
        final = self.state.copy()
        place(final, self.number, outcome.best.nodes)
        return final


def _names(state: State, nodes: Sequence[int]) -> list[str]:
    return [state.static.cluster.nodes.name[node] for node in nodes]


def _allocate(request: Mapping[str, Any], state: State, rules: Rules) -> tuple[str, Any, State]:
    placer = Placer(state, new_request(request), rules)
    names = rules.restrict_to or request.get("restrict-to-nodes")
    wanted = request.get("group_name")
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
        found = placer.best_group(names)
        outcome = found.outcome
        chosen = f"Selected group: {state.static.cluster.groups[found.group].name}"
        info = ", ".join((chosen, *found.messages))
    assert outcome.best is not None
    return info, _names(state, outcome.best.nodes), placer.placed(outcome)


def _multi_allocate(
    request: Mapping[str, Any], state: State, rules: Rules
) -> tuple[str, Any, State]:
    placed = []
    for record in section(request, "instances", list, "invalid request dict"):
        wanted = new_request(record)
        placer = Placer(state, wanted, rules)
        found = placer.best_group(rules.restrict_to or record.get("restrict-to-nodes"))
        assert found.outcome.best is not None
        placed.append([wanted.name, _names(state, found.outcome.best.nodes)])
        state = placer.placed(found.outcome)
    info = f"0 instances failed to allocate and {len(placed)} were allocated successfully"
    return info, [placed, []], state


# -- moves -------------------------------------------------------------------------------------


def _find_instance(state: State, name: Any) -> int:
    number = state.static.cluster.instances.index.get(name)
    if number is None:
        raise LoadError(f"Wrong number of elems found with name {name}")
    return number


def _migrate(name: str, target: str | None = None) -> dict[str, Any]:
    job: dict[str, Any] = {"OP_ID": "OP_INSTANCE_MIGRATE", "instance_name": name}
    if target is not None:
        job["target_node"] = target
    return job | {
        "allow_runtime_changes": False,
        "ignore_ipolicy": False,
        "cleanup": False,
        "allow_failover": True,
        "ignore_hvversions": True,
    }


def _replace_secondary(name: str, node: str) -> dict[str, Any]:
    return {
        "OP_ID": "OP_INSTANCE_REPLACE_DISKS",
        "instance_name": name,
        "early_release": False,
        "ignore_ipolicy": False,
        "mode": "replace_new_secondary",
        "disks": [],
        "remote_node": node,
    }


class Mover:
    """Moves existing instances; changes its state as it goes."""

    def __init__(self, state: State, rules: Rules) -> None:
        self.state = state.copy()
        self.force = rules.ignore_soft_errors

    def _refusals(self, kind: str, inst: int, targets: Ints) -> Ints:
        """As `moves.refusals`; here a primary without memory left cannot get a new secondary."""
        insts = np.full(len(targets), inst)
        codes: Ints = refusals(self.state, kind, insts, targets, force=self.force).copy()
        if kind == "r" and self.state.umem[self.state.pnode[inst]] <= 0:
            codes[codes == ALLOWED] = MEMORY
        return codes

    def _best(self, kind: str, inst: int, targets: Ints, group: int) -> int:
        """The target with the best score of the group, the first of equals; raises `Refused`."""
        insts = np.full(len(targets), inst)
        codes = self._refusals(kind, inst, targets)
        good = targets[codes == ALLOWED]
        if not len(good):
            names = _names(self.state, targets.tolist())
            reasons = "".join(
                f" Node {name} failed: {_FAILURE_OF[code]};"
                for name, code in zip(names, codes.tolist(), strict=True)
            )
            raise Refused(f"Can't find any good node: {reasons}")
        members = self.state.static.cluster.nodes.group == group
        scores = ExactScorer(self.state, members=members).scores(kind, insts[: len(good)], good)
        return int(good[int(np.argmin(scores))])

    def to_best(self, kind: str, inst: int, targets: Ints, group: int) -> int:
        """Make the best move of a kind; raises `Refused` where there is none."""
        target = self._best(kind, inst, targets, group)
        self.state.relocate(inst, kind, target)
        return target

    def fail_over(self, inst: int) -> None:
        code = refusals(self.state, "f", np.array([inst]), np.array([NO_NODE]), force=self.force)[0]
        if code != ALLOWED:
            raise Refused(_FAILURE_OF[int(code)])
        self.state.relocate(inst, "f")

    def change_both(self, inst: int, targets: Ints, group: int) -> tuple[int, int]:
        """Give a mirrored instance two new nodes, the pair with the best score of the group."""
        best: tuple[float, State, int, int] | None = None
        start = self.state
        members = start.static.cluster.nodes.group == group
        reason = "no nodes available"
        nowhere = np.array([NO_NODE])
        for primary in targets.tolist():
            others = targets[targets != primary]
            if not len(others):
                continue
            self.state = start.copy()
            trial = self.state
            try:
                self._step("r", inst, np.array([primary]), "Changing secondary to new primary")
                trial.relocate(inst, "r", primary)
                self._step("f", inst, nowhere, "Failing over to new primary")
                trial.relocate(inst, "f")
                good = self._step("r", inst, others, "Changing secondary to final secondary")
            except Refused as err:
                reason = f"Allocation failed: {err}"
                continue
            scores = ExactScorer(trial, members=members).scores("r", np.full(len(good), inst), good)
            index = int(np.argmin(scores))
            if best is None or scores[index] < best[0]:
                final = trial.copy()
                final.relocate(inst, "r", int(good[index]))
                best = (float(scores[index]), final, primary, int(good[index]))
        self.state = start
        if best is None:
            raise Refused(f"Can't find any good nodes for relocation: {reason}")
        self.state = best[1]
        return best[2], best[3]

    def _step(self, kind: str, inst: int, targets: Ints, what: str) -> Ints:
        """Those of ``targets`` that allow this step; raises `Refused` where none does."""
        codes = self._refusals(kind, inst, targets)
        good: Ints = targets[codes == ALLOWED]
        if not len(good):
            raise Refused(f"{what}: {_FAILURE_OF[int(codes[-1])]}")
        return good

    def evacuate(self, inst: int, mode: str, targets: Ints, group: int) -> list[dict[str, Any]]:
        """Free an instance's nodes; the opcodes for it. Raises `Refused`."""
        cluster = self.state.static.cluster
        name = cluster.instances.name[inst]
        template = TEMPLATES[int(cluster.instances.template[inst])]
        mirror = MIRROR[template]
        if mirror == "none":
            raise Refused(f"Instances of type {template} cannot be relocated")
        if mirror == "external":
            if mode == "secondary-only":
                raise Refused(
                    f"Instances with disk template '{template}' can't execute change secondary"
                )
            target = self.to_best("fa", inst, targets, group)
            return [_migrate(name, cluster.nodes.name[target])]
        if mode == "primary-only":
            self.fail_over(inst)
            return [_migrate(name)]
        if mode == "secondary-only":
            others = targets[targets != self.state.pnode[inst]]
            target = self.to_best("r", inst, others, group)
            return [_replace_secondary(name, cluster.nodes.name[target])]
        primary, secondary = self.change_both(inst, targets, group)
        return [
            _replace_secondary(name, cluster.nodes.name[primary]),
            _migrate(name),
            _replace_secondary(name, cluster.nodes.name[secondary]),
        ]

    def where(self, inst: int) -> tuple[str, list[str]]:
        """Group and nodes of an instance, by name."""
        cluster = self.state.static.cluster
        nodes = [int(self.state.pnode[inst]), int(self.state.snode[inst])]
        group = cluster.groups[int(cluster.nodes.group[nodes[0]])].name
        return group, _names(self.state, [node for node in nodes if node != NO_NODE])


def _evacuated_nodes(state: State, insts: Sequence[int], mode: str) -> set[int]:
    nodes: set[int] = set()
    for inst in insts:
        if mode != "secondary-only":
            nodes.add(int(state.pnode[inst]))
        if mode != "primary-only":
            nodes.add(int(state.snode[inst]))
    return nodes


def _moved(mover: Mover, insts: Sequence[int], move: Any) -> tuple[str, list[list[Any]], State]:
    moved: list[list[Any]] = []
    failed: list[list[str]] = []
    jobs: list[list[dict[str, Any]]] = []
    for inst in insts:
        name = mover.state.static.cluster.instances.name[inst]
        try:
            jobs.append(move(inst))
        except Refused as err:
            failed.append([name, str(err)])
            continue
        moved.append([name, *mover.where(inst)])
    info = f"{len(failed)} instances failed to move and {len(moved)} were moved successfully"
    return info, [moved, failed, jobs], mover.state


def _node_evacuate(
    request: Mapping[str, Any], state: State, rules: Rules
) -> tuple[str, Any, State]:
    what = "invalid request dict"
    insts = [_find_instance(state, name) for name in section(request, "instances", list, what)]
    try:
        mode = choice(section(request, "evac_mode", str, what), EVAC_MODES, "EvacMode")
    except LoadError as err:
        raise LoadError(f"{what}: key 'evac_mode': {err}") from err
    if request.get("ignore_soft_errors"):
        rules = replace(rules, ignore_soft_errors=True)
    nodes = state.static.cluster.nodes
    closed = nodes.offline.copy()
    closed[[n for n in _evacuated_nodes(state, insts, mode) if n != NO_NODE]] = True
    mover = Mover(state, rules)

    def move(inst: int) -> list[dict[str, Any]]:
        group = int(nodes.group[mover.state.pnode[inst]])
        targets = np.flatnonzero((nodes.group == group) & ~closed)
        return mover.evacuate(inst, mode, targets, group)

    return _moved(mover, insts, move)


def _relocate(request: Mapping[str, Any], state: State, rules: Rules) -> tuple[str, Any, State]:
    what = "invalid request dict"
    name = section(request, "name", str, what)
    inst = state.static.cluster.instances.index.get(name)
    if inst is None:
        raise LoadError(f"Unknown instance '{name}'")
    index = state.static.cluster.nodes.index
    given = []
    for node in section(request, "relocate_from", list, what):
        if node not in index:
            raise LoadError(f"Wrong number of elems found with name {node}")
        given.append(index[node])
    count = section(request, "required_nodes", int, what)
    mirror = MIRROR[TEMPLATES[int(state.static.cluster.instances.template[inst])]]
    if mirror == "none":
        raise Refused("Can't relocate non-mirrored instances")
    if count != 1:
        raise Refused(f"Exchange {count} nodes mode is not implemented")
    current, role = (
        (int(state.snode[inst]), "secondary")
        if mirror == "internal"
        else (int(state.pnode[inst]), "primary")
    )
    if given != [current]:
        shown = ",".join(str(node) for node in given)
        raise Refused(
            f"Unsupported request: excluded nodes not equal to instance's {role}"
            f"({current} versus [{shown}])"
        )
    nodes = state.static.cluster.nodes
    group = int(nodes.group[state.pnode[inst]])
    mover = Mover(state, rules)
    closed = nodes.offline.copy()
    closed[[current, int(state.pnode[inst])]] = True
    targets = np.flatnonzero((nodes.group == group) & ~closed)
    target = mover.to_best("r" if mirror == "internal" else "fa", inst, targets, group)
    return "success", _names(state, [target]), mover.state


def _as_request(cluster: Cluster, inst: int) -> Request:
    """An existing instance as a request, its state and tags included."""
    insts = cluster.instances
    return replace(
        instance_request(cluster, inst),
        tags=insts.tags[inst],
        runs=bool(insts.uses_memory[inst]),
        online=bool(insts.online[inst]),
        uses_sec_mem=bool(insts.uses_sec_mem[inst]),
    )


def _change_group(request: Mapping[str, Any], state: State, rules: Rules) -> tuple[str, Any, State]:
    what = "invalid request dict"
    cluster = state.static.cluster
    insts = [_find_instance(state, name) for name in section(request, "instances", list, what)]
    targets = []
    for uuid in section(request, "target_groups", list, what):
        if uuid not in cluster.group_index:
            raise LoadError(f"Wrong number of elems found with name {uuid}")
        targets.append(cluster.group_index[uuid])
    sources = {int(cluster.nodes.group[state.pnode[inst]]) for inst in insts}
    allowed = set(targets or range(len(cluster.groups))) - sources
    mover = Mover(state, rules)

    def move(inst: int) -> list[dict[str, Any]]:
        if not allowed:
            raise Refused("no groups for evacuation: every allowed group is one of the sources")
        placer = Placer(mover.state, _as_request(cluster, inst), rules)
        found = placer.best_group(None, allowed)
        nodes = cluster.nodes
        where = np.flatnonzero((nodes.group == found.group) & ~nodes.offline)
        return mover.evacuate(inst, "all", where, found.group)

    return _moved(mover, insts, move)


def _mirrored(static: Static, inst: int) -> Static:
    """The same with a DRBD instance in place of a plain one."""
    insts = static.cluster.instances
    template = insts.template.copy()
    template[inst] = TEMPLATES.index("drbd")
    sec_mem = static.sec_mem.copy()
    sec_mem[inst] = insts.mem[inst]
    cluster = replace(static.cluster, instances=replace(insts, template=template))
    return replace(static, cluster=cluster, sec_mem=sec_mem)


def _allocate_secondary(
    request: Mapping[str, Any], state: State, rules: Rules
) -> tuple[str, Any, State]:
    what = "invalid request dict"
    inst = _find_instance(state, section(request, "name", str, what))
    wanted = replace(instance_request(state.static.cluster, inst), template="drbd")
    nodes = state.static.cluster.nodes
    primary = int(state.pnode[inst])
    group = int(nodes.group[primary])
    rmem = np.maximum(state.rmem, state.peers[:, primary] + wanted.mem)
    codes = secondary_codes(state, wanted, rmem, force=rules.ignore_soft_errors)
    # the instance must fit on its primary too
    limit = float(np.floor(state.static.hi_cpu[primary] * nodes.tcpu[primary]))
    own = policy_failure(
        wanted, state.static.cluster.groups[group].policy, bool(nodes.exclusive[primary])
    )
    if not own and state.umem[primary] <= 0:
        own = CODE["FailMem"]
    if not own and 0 <= limit < state.ucpu[primary]:
        own = CODE["FailCPU"]
    if own:
        codes[:] = own
    targets = nodes.group == group
    targets[primary] = False
    good = np.flatnonzero(targets & (codes == 0))
    if not len(good):
        names = Counter(FAILURES[code - 1] for code in codes[targets].tolist() if code)
        outcome = Outcome(failures=names)
        raise Refused(describe(outcome, state))
    placed = []
    number = len(state.static.cluster.instances)
    known = with_instances(state, [wanted])
    unsafe = 0
    for node in good.tolist():
        trial = known.copy()
        trial.static = _mirrored(known.static, inst)
        trial.snode[inst] = node
        trial.slist[node].insert(0, inst)
        trial.peers[node, primary] += wanted.mem
        static = trial.static
        column = trial.q[:, node] + static.as_secondary[:, number] * static.usable[:, node]
        column[ROW["rmem"]] = rmem[node]
        trial.replace_column(node, column)
        if rules.capacity_checks and not Site.of(trial).redundant():
            unsafe += 1
            continue
        placed.append((score(trial), node, trial))
    failures = Counter(FAILURES[code - 1] for code in codes[targets].tolist() if code)
    failures["FailN1"] += unsafe
    if not placed:
        raise Refused(describe(Outcome(failures=failures), state))
    # the last of equals wins
    best = min(placed, key=lambda item: (item[0], -item[1]))
    outcome = Outcome(
        Placement((primary, best[1]), best[0]),
        len(good),
        failures,
    )
    return describe(outcome, state), nodes.name[best[1]], best[2]


_HANDLERS = {
    "allocate": _allocate,
    "multi-allocate": _multi_allocate,
    "allocate-secondary": _allocate_secondary,
    "relocate": _relocate,
    "node-evacuate": _node_evacuate,
    "change-group": _change_group,
}
