"""Runs the planning programs on made-up clusters, and says what is wrong with their plans."""

from __future__ import annotations

import itertools
import json
import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.interop.htools import ialloc_requests
from tests.interop.htools.clusters import Cluster, Instance, generate
from tests.interop.htools.peer import Outcome, run_ours
from tests.interop.htools.simulation import (
    Impossible,
    Limits,
    Simulation,
    broken_rules,
    snapshot,
)

HBAL_OPTIONS = (
    "",
    "--no-disk-moves",
    "--no-instance-moves",
    "--restricted-migration",
    "-E",
    "-l 3",
    "--ignore-soft-errors",
    "-O node-0-0",
    "-O node-0-0 -E",
    "--exclude-instances inst1",
    "--select-instances inst1",
    "--exclusion-tags service",
    "--max-cpu 2 --min-disk 0.9",
    "-g 0.05 --min-gain-limit 100",
)


def _option(options: Sequence[str], name: str) -> str | None:
    return options[options.index(name) + 1] if name in options else None


def _limits(options: Sequence[str]) -> Limits:
    max_cpu, tags = _option(options, "--max-cpu"), _option(options, "--exclusion-tags")
    return Limits(
        max_cpu=float(max_cpu) if max_cpu else None,
        min_disk=float(_option(options, "--min-disk") or 0),
        exclusion=(tags,) if tags else (),
        soft="--ignore-soft-errors" not in options,
    )


def job_sets(text: str) -> list[list[list[str]]]:
    """The commands of a plan that was printed: sets of jobs of commands."""
    sets: list[list[list[str]]] = []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("echo jobset"):
            sets.append([])
        elif line.startswith("echo job "):
            sets[-1].append([])
        elif line.startswith("gnt-instance"):
            sets[-1][-1].append(line)
    return sets


def _numbers(pattern: str, text: str) -> list[float]:
    return [float(number) for number in re.findall(pattern, text, re.MULTILINE)]


def saved_places(path: Path) -> dict[str, tuple[str, str | None]]:
    """Instance -> nodes, of a file that a program saved."""
    sections = path.read_text().split("\n\n")
    rows = [line.split("|") for line in sections[2].splitlines() if line.count("|") > 7]
    return {row[0]: (row[6], row[7] or None) for row in rows}


def saved_disk(path: Path) -> dict[str, str]:
    rows = [line.split("|") for line in path.read_text().split("\n\n")[1].splitlines()]
    return {row[0]: row[5] for row in rows}


def _play(sim: Simulation, jobs: Sequence[Sequence[str]]) -> Iterator[str]:
    """Carry jobs out one after the other; yields what each broke."""
    for job in jobs:
        before = sim.copy()
        names = {command.split()[-1] for command in job}
        for command in job:
            at = sim.place[command.split()[-1]][0]
            sim.run(command)
            now = sim.place[command.split()[-1]][0]
            if at != now and not sim.may_migrate(at, now):
                yield f"{command}: migration tags forbid it"
        if len(names) != 1:
            yield f"a job moves several instances: {job}"
        yield from broken_rules(before, sim, sorted(names))


def _same_in_any_order(start: Simulation, jobs: Sequence[Sequence[str]]) -> str | None:
    """Jobs of one set run at the same time: their order must not matter."""
    ends = set()
    for order in itertools.islice(itertools.permutations(jobs), 6):
        sim = start.copy()
        touched: list[set[str | None]] = []
        for job in order:
            nodes = set(sim.place[job[0].split()[-1]])
            for command in job:
                sim.run(command)
            touched.append((nodes | set(sim.place[job[0].split()[-1]])) - {None})
        if any(one & other for one, other in itertools.combinations(touched, 2)):
            return f"jobs of one set share a node: {jobs}"
        ends.add(tuple(sorted(sim.place.items(), key=str)))
    return None if len(ends) <= 1 else f"the order of {jobs} matters"


def _kept_to_options(options: Sequence[str], cluster: Cluster, sets: Any) -> Iterator[str]:
    commands = [command for jobs in sets for job in jobs for command in job]
    moved = [job[0].split()[-1] for jobs in sets for job in jobs]
    verbs = {command.split()[1] for command in commands}
    fixed = {inst.name for inst in cluster.instances if not inst.balance}
    if set(moved) & fixed:
        yield f"moved although auto_balance is off: {set(moved) & fixed}"
    if "--no-disk-moves" in options and "replace-disks" in verbs:
        yield "disks were replaced"
    if "--no-instance-moves" in options and verbs - {"replace-disks"}:
        yield f"primaries were changed: {commands}"
    if "-l" in options and len(moved) > 3:
        yield "more moves than allowed"
    if "--exclude-instances" in options and "inst1" in moved:
        yield "an excluded instance was moved"
    if "--select-instances" in options and set(moved) - {"inst1"}:
        yield "an instance that was not selected was moved"


def wrong_with_hbal(seed: int, kind: str, folder: Path) -> list[str]:
    """Balance the first group of a seed's cluster, carry the plan out; what is wrong with it."""
    cluster = generate(seed, kind)
    options = HBAL_OPTIONS[seed % len(HBAL_OPTIONS)].split()
    if "inst1" in options and not any(inst.name == "inst1" for inst in cluster.instances):
        options = []
    (folder / "in.data").write_text(cluster.text())
    saved = folder / "out.balanced"
    saved.unlink(missing_ok=True)
    group = cluster.groups[0].name
    arguments = ["-t", "in.data", "-G", group, "-C", "-S", "out", *options]
    ran = run_ours("hbal", arguments, folder)
    if ran.code:
        return [f"exit code {ran.code}: {ran.stderr}"]
    sim = Simulation(cluster, _limits(options))
    if "-O" in options:
        sim.offline.add("node-0-0")
    sets = job_sets(ran.stdout)
    found = list(_kept_to_options(options, cluster, sets))
    scores = _numbers(r"^ +\d+\. .* ([\d.]+) a=", ran.stdout)
    first = _numbers(r"^Initial score: ([\d.]+)", ran.stdout)
    if any(new > old for old, new in itertools.pairwise([*first, *scores])):
        found.append(f"the score rises: {first} {scores}")
    started = dict(sim.place)
    try:
        for jobs in sets:
            problem = _same_in_any_order(sim, jobs)
            found += [problem] if problem else []
            found += _play(sim, jobs)
    except Impossible as error:
        return [*found, f"impossible: {error}"]
    if "-E" in options:
        fled = {
            job[0].split()[-1] for jobs in sets for job in jobs
            if not {*started[job[0].split()[-1]]} & sim.offline
        }  # fmt: skip
        found += [f"moved, but on no offline node: {fled}"] if fled else []
    return found + list(_ends_as_planned(sim, saved, group, scores or first, options, folder))


def _ends_as_planned(
    sim: Simulation,
    saved: Path,
    group: str,
    scores: Sequence[float],
    options: Sequence[str],
    folder: Path,
) -> Iterator[str]:
    """The state that was saved is the one that the commands led to."""
    if not saved.exists():
        return
    mine = {name: sim.place[name] for name in sim.place}
    for name, nodes in saved_places(saved).items():
        if mine[name] != nodes:
            yield f"{name} should be on {nodes} and is on {mine[name]}"
    for node, free in saved_disk(saved).items():
        if node not in sim.offline and int(free) != sim.disk(node):
            yield f"{node} should have {free} MiB of disk free and has {sim.disk(node)}"
    (folder / "end.data").write_text(snapshot(sim.cluster, sim).text())
    again = run_ours("hbal", ["-t", "end.data", "-G", group, *options], folder)
    known = _numbers(r"^Initial score: ([\d.]+)", again.stdout)
    if known and scores and abs(known[0] - scores[-1]) > 1e-6 and not sim.on_the_edge():
        yield f"the end state's score is {known[0]}, not {scores[-1]}"


# -- hail -----------------------------------------------------------------------------------------


def wrong_with_hail(seed: int, kind: str, folder: Path) -> list[str]:
    """Ask hail for something, do what it says; what is wrong with that."""
    cluster = generate(seed, kind)
    what = list(ialloc_requests.KINDS)[seed % len(ialloc_requests.KINDS)]
    request = ialloc_requests.KINDS[what](cluster, random.Random(seed))
    (folder / "request.json").write_text(json.dumps(cluster.ialloc(request)))
    ran = run_ours("hail", ["request.json"], folder)
    answer = json.loads(ran.stdout)
    if not answer["success"]:
        return [] if answer["info"] else ["refused without a reason"]
    sim = Simulation(cluster)
    try:
        return list(_CHECKS[request["type"]](sim, request, answer["result"]))
    except Impossible as error:
        return [f"impossible: {error}"]


def _new(sim: Simulation, wanted: dict[str, Any]) -> Instance:
    total = wanted["disk_space_total"]
    spindles = wanted["spindle_use"]
    nodes = sim.cluster.nodes
    if any(node.exclusive for node in nodes):
        spindles = sum(disk["spindles"] for disk in wanted["disks"])
    return Instance(
        wanted["name"], wanted["memory"], total, wanted["vcpus"], "running", True,
        nodes[0], None, wanted["disk_template"], list(wanted["tags"]), spindles,
    )  # fmt: skip


def _allocated(sim: Simulation, wanted: dict[str, Any], nodes: Sequence[str]) -> Iterator[str]:
    before = sim.copy()
    if len(nodes) != wanted["required_nodes"] or len(set(nodes)) != len(nodes):
        yield f"{wanted['required_nodes']} nodes were asked for, not {nodes}"
    if len({sim.nodes[node].group.name for node in nodes}) != 1:
        yield f"nodes of several groups: {nodes}"
    group = sim.nodes[nodes[0]].group
    if group.alloc_policy == "unallocable":
        yield f"group {group.name} takes no instances"
    if wanted["disk_template"] not in group.policy.templates:
        yield f"template {wanted['disk_template']} is not allowed in {group.name}"
    if not any(_within(wanted, low, high) for low, high in group.policy.bounds):
        yield f"its size is outside the policy of {group.name}"
    sim.add(_new(sim, wanted), nodes)
    yield from broken_rules(before, sim, [wanted["name"]])


def _within(wanted: dict[str, Any], low: Any, high: Any) -> bool:
    sizes = [disk["size"] for disk in wanted["disks"]]
    return (
        low.mem <= wanted["memory"] <= high.mem
        and low.cpu <= wanted["vcpus"] <= high.cpu
        and all(low.disk <= size <= high.disk for size in sizes)
    )


def _check_allocate(sim: Simulation, request: dict[str, Any], result: Any) -> Iterator[str]:
    yield from _allocated(sim, request, result)


def _check_many(sim: Simulation, request: dict[str, Any], result: Any) -> Iterator[str]:
    placed = dict(result[0])
    for wanted in request["instances"]:
        yield from _allocated(sim, wanted, placed[wanted["name"]])


def _check_relocate(sim: Simulation, request: dict[str, Any], result: Any) -> Iterator[str]:
    before, name = sim.copy(), request["name"]
    verb = "replace" if sim.instances[name].template == "drbd" else "migrate"
    sim.do(verb, name, result[0])
    if set(request["relocate_from"]) & set(sim.place[name]):
        yield f"{name} is still on {request['relocate_from']}"
    yield from broken_rules(before, sim, [name])


def _check_moves(sim: Simulation, request: dict[str, Any], result: Any) -> Iterator[str]:
    """Evacuation and change of group: opcodes lead where the answer says, off the given nodes."""
    moved, failed, jobs = result
    started = sim.copy()
    names = [row[0] for row in moved]
    if sorted(names + [row[0] for row in failed]) != sorted(request["instances"]):
        yield "not every instance is answered for"
    for name, job in zip(names, jobs, strict=True):
        before = sim.copy()
        for opcode in job:
            at = sim.place[name][0]
            sim.submit(opcode)
            if at != sim.place[name][0] and not sim.may_migrate(at, sim.place[name][0]):
                yield f"migration tags keep {name} from going to {sim.place[name][0]}"
        yield from broken_rules(before, sim, [name])
    for name, group, nodes in moved:
        there = [node for node in sim.place[name] if node is not None]
        if there != nodes or sim.nodes[nodes[0]].group.name != group:
            yield f"{name} should be on {nodes} in {group} and is on {there}"
        old = started.place[name]
        if request["type"] == "change-group":
            if sim.nodes[nodes[0]].group is started.nodes[old[0]].group:
                yield f"{name} is still in {group}"
        elif request["evac_mode"] != "secondary-only" and nodes[0] == old[0]:
            yield f"{name} still runs on {old[0]}"
        elif request["evac_mode"] != "primary-only" and old[1] in nodes:
            yield f"{name} is still mirrored to {old[1]}"


def _check_secondary(sim: Simulation, request: dict[str, Any], result: Any) -> Iterator[str]:
    """A plain instance becomes a mirrored one on the node it is on and the one that was found."""
    before, name = sim.copy(), request["name"]
    primary = sim.place[name][0]
    if result == primary or sim.nodes[result].group is not sim.nodes[primary].group:
        yield f"{result} cannot mirror {name} of {primary}"
    sim.add(replace(sim.instances[name], template="drbd"), [primary, result])
    yield from broken_rules(before, sim, [name])


_CHECKS = {
    "allocate": _check_allocate,
    "multi-allocate": _check_many,
    "relocate": _check_relocate,
    "node-evacuate": _check_moves,
    "change-group": _check_moves,
    "allocate-secondary": _check_secondary,
}


# -- hsqueeze, hroller ----------------------------------------------------------------------------


def wrong_with_hsqueeze(seed: int, kind: str, folder: Path) -> list[str]:
    """Empty nodes of a cluster that can be; what is wrong with how."""
    cluster = generate(seed, kind, 10)
    for node in cluster.nodes[1::3]:
        node.tags += ["htools:standby:auto"] if node.state == "Y" else []
    (folder / "in.data").write_text(cluster.text())
    saved = folder / "out.squeezed"
    saved.unlink(missing_ok=True)
    options = ["--minimal-resources=1.0", "--target-resources=1.0"]
    ran = run_ours("hsqueeze", ["-t", "in.data", "-C", "-S", "out", *options], folder)
    if ran.code:
        return [f"exit code {ran.code}: {ran.stderr}"]
    sim = Simulation(cluster)
    down = set(re.findall(r"gnt-node power -f off (\S+)", ran.stdout))
    up = set(re.findall(r"gnt-node power -f on (\S+)", ran.stdout))
    found = [f"the master {node.name} is powered down" for node in cluster.nodes
             if node.state == "M" and node.name in down]  # fmt: skip
    # the nodes to be emptied count as offline already: their guests flee
    sim.offline = (sim.offline | down) - up
    try:
        for jobs in job_sets(ran.stdout):
            problem = _same_in_any_order(sim, jobs)
            found += [problem] if problem else []
            found += _play(sim, jobs)
    except Impossible as error:
        return [*found, f"impossible: {error}"]
    found += [f"{node} is powered down with instances" for node in sorted(down) if sim.here(node)]
    std = cluster.policy.std
    if down:
        for name in sim.nodes:
            if name not in sim.offline and sim.memory(name) <= std.mem:
                found.append(f"{name} has no room for a standard instance")
    for name, nodes in saved_places(saved).items() if saved.exists() else ():
        if sim.place[name] != nodes:
            found.append(f"{name} should be on {nodes} and is on {sim.place[name]}")
    return found


HROLLER_OPTIONS = (
    "",
    "--offline-maintenance",
    "--skip-non-redundant",
    "--ignore-non-redundant",
    "--full-evacuation",
    "--node-tags needsreboot",
)


def wrong_with_hroller(seed: int, kind: str, folder: Path) -> list[str]:
    """Plan the reboot of a cluster; what is wrong with the sets of nodes."""
    cluster = generate(seed, kind, 12)
    options = HROLLER_OPTIONS[seed % len(HROLLER_OPTIONS)].split()
    (folder / "in.data").write_text(cluster.text())
    arguments = ["-t", "in.data", "--force", "--no-headers", "--print-moves", *options]
    ran = run_ours("hroller", arguments, folder)
    sim = Simulation(cluster)
    if ran.code:
        told = ("Not enough capacity", "Failed to migrate", "Cannot create node graph")
        return [] if any(text in ran.stderr for text in told) else [f"failed: {ran.stderr}"]
    groups = rebooted(ran)
    found = list(_covers(sim, [node for group, _ in groups for node in group], options))
    for group, moves in groups:
        found += _reboots_well(sim, group, moves, options)
    return found


def rebooted(ran: Outcome) -> list[tuple[list[str], list[list[str]]]]:
    """Sets of nodes with the moves before each: instance, then nodes.

    A set is empty where it has only nodes that were not asked for.
    """
    groups: list[tuple[list[str], list[list[str]]]] = []
    for line in ran.stdout.splitlines():
        if line.startswith(" "):
            groups[-1][1].append(line.split())
        else:
            groups.append((line.split(",") if line else [], []))
    return groups


def _covers(sim: Simulation, planned: Sequence[str], options: Sequence[str]) -> Iterator[str]:
    wanted = set(sim.nodes) - sim.offline
    if "--node-tags" in options:
        wanted = {name for name in wanted if "needsreboot" in sim.nodes[name].tags}
    if "--skip-non-redundant" in options:
        single = {sim.place[inst.name][0] for inst in sim.real() if sim.place[inst.name][1] is None}
        wanted -= single
    if sorted(planned) != sorted(wanted):
        yield f"nodes {sorted(planned)} instead of {sorted(wanted)}"


def _reboots_well(
    sim: Simulation, group: Sequence[str], moves: Sequence[Sequence[str]], options: Sequence[str]
) -> Iterator[str]:
    down = set(group)
    taken: dict[str, str] = {}
    for inst in sim.real():
        primary, secondary = sim.place[inst.name]
        if secondary is None or primary not in down:
            continue
        if secondary in down:
            yield f"{inst.name} has both its nodes in {group}"
        shares = taken.setdefault(secondary, primary) != primary
        if shares and "--offline-maintenance" not in options:
            yield f"{primary} and {taken[secondary]} of {group} share the secondary {secondary}"
    after = sim.copy()
    for name, *nodes in moves:
        words = [node for node in nodes if node in sim.nodes]
        after.place[name] = (words[0], words[1] if len(words) > 1 else None)
        if set(words) & down and "--offline-maintenance" not in options:
            yield f"{name} goes to {words}, which are down with {group}"
    if "--full-evacuation" in options:
        left = [inst.name for node in group for inst in after.here(node)]
        if left:
            yield f"{left} stay on {group}"
    for node in sim.nodes:
        if after.memory(node) <= 0 < sim.memory(node):
            yield f"{node} has no memory left while {group} are down"


CHECKS = {
    "hbal": wrong_with_hbal,
    "hail": wrong_with_hail,
    "hsqueeze": wrong_with_hsqueeze,
    "hroller": wrong_with_hroller,
}


def wrong(program: str, seed: int, kind: str) -> list[str]:
    """What is wrong with a program's plan for a seed's cluster; empty when all is well."""
    with tempfile.TemporaryDirectory(prefix="plans-") as folder:
        return CHECKS[program](seed, kind, Path(folder))
