"""A made-up cluster on which plans are carried out, and what a plan must not do to it.

Plain Python on the generator's objects, and nothing of the programs under test: commands are read
as an administrator would type them, and every rule is written down once more, as simply as can be.
"""

from __future__ import annotations

import copy
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.interop.htools.clusters import SHARED, Cluster, Instance

LOCAL_DISKS = ("plain", "drbd")
MEMORY_IN_USE = ("running", "ERROR_up", "ERROR_nodedown", "ERROR_nodeoffline", "ERROR_wrongnode")
UNKNOWN = "Y?"


class Impossible(Exception):
    """A command that the cluster cannot carry out."""


@dataclass
class Limits:
    """Rules that a program's options change. ``soft``: limits of policy, tags and N+1 hold."""

    max_cpu: float | None = None
    min_disk: float = 0.0
    exclusion: tuple[str, ...] = ()
    soft: bool = True


@dataclass
class Simulation:
    """Where the instances are, by name: primary, and secondary or None."""

    cluster: Cluster
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.nodes = {node.name: node for node in self.cluster.nodes}
        self.instances = {inst.name: inst for inst in self.cluster.instances}
        self.place: dict[str, tuple[str, str | None]] = {
            inst.name: (inst.primary.name, inst.secondary.name if inst.secondary else None)
            for inst in self.cluster.instances
        }
        self.offline = {node.name for node in self.cluster.nodes if node.state in UNKNOWN}
        self._missing = {
            name: max(0, node.mem - node.own_mem - self.used(name) - node.free_mem)
            for name, node in self.nodes.items()
        }
        self._disk_start = {name: self._disk_used(name) for name in self.nodes}

    def copy(self) -> Simulation:
        other = copy.copy(self)
        other.place, other.offline = dict(self.place), set(self.offline)
        other.instances = dict(self.instances)
        return other

    # -- commands --------------------------------------------------------------------------------

    def run(self, command: str) -> None:
        """Carry out a line such as `gnt-instance migrate -f -n node1 inst1`."""
        words = shlex.split(command)
        if words[0] != "gnt-instance":
            raise Impossible(command)
        words = [word for word in words[1:] if word != "-f"]
        target = None
        if "-n" in words:
            index = words.index("-n")
            target = words[index + 1]
            del words[index : index + 2]
        verb, name = words
        self.do("replace" if verb == "replace-disks" else verb, name, target)

    def submit(self, opcode: dict[str, Any]) -> None:
        """Carry out an opcode of a job."""
        name = opcode["instance_name"]
        if opcode["OP_ID"] == "OP_INSTANCE_REPLACE_DISKS":
            self.do("replace", name, opcode["remote_node"])
        elif opcode["OP_ID"] == "OP_INSTANCE_MIGRATE":
            self.do("migrate", name, opcode.get("target_node"))
        else:
            raise Impossible(str(opcode))

    def do(self, verb: str, name: str, target: str | None) -> None:
        primary, secondary = self.place[name]
        template = self.instances[name].template
        if target is not None and (target in (primary, secondary) or target in self.offline):
            raise Impossible(f"{verb} {name} to {target}")
        if verb == "replace":
            if template != "drbd" or target is None:
                raise Impossible(f"replace the disks of {name} ({template}) to {target}")
            self.place[name] = (primary, target)
        elif verb not in ("migrate", "failover"):
            raise Impossible(verb)
        elif template == "drbd":
            if target is not None or secondary is None or secondary in self.offline:
                raise Impossible(f"{verb} {name} to {target or secondary}")
            self.place[name] = (secondary, primary)
        elif template in (*SHARED, "diskless"):
            if target is None:
                raise Impossible(f"{verb} {name} without a node")
            self.place[name] = (target, None)
        else:
            raise Impossible(f"{verb} {name}, whose disks are {template}")

    def add(self, inst: Instance, nodes: Sequence[str]) -> None:
        """A new instance, on these nodes."""
        self.instances[inst.name] = inst
        self.place[inst.name] = (nodes[0], nodes[1] if len(nodes) > 1 else None)

    # -- what follows for a node -----------------------------------------------------------------

    def real(self) -> Iterator[Instance]:
        return (inst for inst in self.instances.values() if not inst.forthcoming)

    def primaries(self, node: str) -> list[Instance]:
        return [inst for inst in self.real() if self.place[inst.name][0] == node]

    def here(self, node: str) -> list[Instance]:
        return [inst for inst in self.real() if node in self.place[inst.name]]

    def used(self, node: str) -> int:
        return sum(i.mem for i in self.primaries(node) if i.status in MEMORY_IN_USE)

    def _disk_used(self, node: str) -> int:
        return sum(inst.disk for inst in self.here(node) if inst.template in LOCAL_DISKS)

    def memory(self, node: str) -> int:
        """Memory that nobody uses, MiB; what was missing at first stays missing."""
        it = self.nodes[node]
        return it.mem - it.own_mem - self.used(node) - self._missing[node]

    def disk(self, node: str) -> int:
        return self.nodes[node].free_disk + self._disk_start[node] - self._disk_used(node)

    def spindles_used(self, node: str) -> int:
        """Spindles that instances hold, where each has its own."""
        if not self.nodes[node].exclusive:
            return 0
        return sum(inst.spindles for inst in self.here(node) if inst.template in LOCAL_DISKS)

    def reserved(self, node: str) -> int:
        """What the node needs should the worst of the others fail."""
        need = dict.fromkeys(self.nodes, 0)
        for inst in self.real():
            primary, secondary = self.place[inst.name]
            if secondary == node and inst.status != "ADMIN_offline" and inst.balance:
                need[primary] += inst.mem
        return max(need.values(), default=0)

    def lacks(self, node: str) -> bool:
        """Whether the node could not take over after the worst failure."""
        return self.memory(node) < self.reserved(node)

    def on_the_edge(self) -> bool:
        """Whether some node has just what it must reserve, or no disk left.

        Such a node fails N+1 after a change of it, and does not when the data are read anew
        (upstream 3.0), so that the score of the same placement differs.
        """
        return any(
            self.memory(name) == self.reserved(name) or self.disk(name) <= 0
            for name in self.nodes
            if name not in self.offline
        )

    def failing(self) -> set[str]:
        return {name for name in self.nodes if name not in self.offline and self.lacks(name)}

    # -- rules -----------------------------------------------------------------------------------

    def overloaded(self, node: str) -> list[str]:
        """Limits of the policy that the node passes."""
        it, policy = self.nodes[node], self.nodes[node].group.policy
        cpus = it.own_cpus + sum(
            inst.cpus for inst in self.primaries(node) if inst.status != "ADMIN_offline"
        )
        ratio = policy.vcpu_ratio if self.limits.max_cpu is None else self.limits.max_cpu
        spindles = sum(i.spindles for i in self.here(node) if i.template in LOCAL_DISKS)
        found = []
        if cpus > ratio * it.cpus:
            found.append(f"{node} has {cpus} virtual CPUs of {ratio * it.cpus}")
        if not it.exclusive and spindles > policy.spindle_ratio * it.spindles:
            found.append(f"{node} has spindle use {spindles} of {policy.spindle_ratio}")
        if self.disk(node) < self.limits.min_disk * it.disk:
            found.append(f"{node} has {self.disk(node)} MiB of disk free")
        return found

    def exclusion_tags(self, inst: Instance) -> list[str]:
        own = "htools:iextags:"
        prefixes = [tag.removeprefix(own) for tag in self.cluster.tags if tag.startswith(own)]
        prefixes += [f"{prefix}:" for prefix in self.limits.exclusion]
        return [tag for tag in inst.tags if tag.startswith(tuple(prefixes))] if prefixes else []

    def crowded(self, inst: Instance) -> list[str]:
        """Exclusion tags that an instance shares with another primary of its node."""
        node = self.place[inst.name][0]
        others = [other for other in self.primaries(node) if other is not inst]
        taken = {tag for other in others for tag in self.exclusion_tags(other)}
        return [f"{inst.name} meets {tag} on {node}" for tag in self.exclusion_tags(inst)
                if tag in taken]  # fmt: skip

    def may_migrate(self, source: str, target: str) -> bool:
        """Whether migration tags let an instance go from one node to another."""
        own, allowed = "htools:migration:", "htools:allowmigration:"
        prefixes = tuple(
            f"{tag.removeprefix(own)}:" for tag in self.cluster.tags if tag.startswith(own)
        )
        pairs = [tag.removeprefix(allowed).split("::")
                 for tag in self.cluster.tags if tag.startswith(allowed)]  # fmt: skip
        if not prefixes:
            return True
        needs = {tag for tag in self.nodes[source].tags if tag.startswith(prefixes)}
        has = {tag for tag in self.nodes[target].tags if tag.startswith(prefixes)}
        has |= {old for old, new in pairs if new in has}
        return needs <= has


def broken_rules(before: Simulation, after: Simulation, names: Sequence[str]) -> list[str]:
    """What a move of these instances broke; empty when all is well.

    As upstream, only what gets worse is held against a move, and an instance that flees an offline
    node may go wherever it finds memory and disk.
    """
    found = []
    flees = any(
        node in before.offline
        for name in names
        for node in before.place.get(name, ())
        if node is not None
    )
    for name in names:
        old = before.place.get(name, (None, None))
        new = after.place[name]
        for node in new:
            if node is None or node in old:
                continue
            if node in after.offline:
                found.append(f"{name} went to {node}, which is offline")
            if after.disk(node) <= 0 and after.instances[name].template in LOCAL_DISKS:
                found.append(f"{node} has no disk left")
        if new[0] != old[0]:
            if after.memory(new[0]) <= 0:
                found.append(f"{new[0]} has no memory left")
            if not flees and after.limits.soft and not after.instances[name].forthcoming:
                found += after.crowded(after.instances[name])
    if flees or not after.limits.soft:
        return found
    found += [f"{node} fails N+1 now" for node in sorted(after.failing() - before.failing())]
    for node in after.nodes:
        if node not in after.offline:
            found += [text for text in after.overloaded(node) if not before.overloaded(node)]
    return found


def snapshot(start: Cluster, sim: Simulation) -> Cluster:
    """The cluster as it is now, as its nodes would report it: free is what the instances leave."""
    was = Simulation(start)
    now = copy.deepcopy(start)
    nodes = {node.name: node for node in now.nodes}
    for node in now.nodes:
        name = node.name
        node.free_mem += was.used(name) - sim.used(name)
        node.free_disk = sim.disk(name)
        node.free_spindles += was.spindles_used(name) - sim.spindles_used(name)
    for inst in now.instances:
        primary, secondary = sim.place[inst.name]
        inst.primary = nodes[primary]
        inst.secondary = None if secondary is None else nodes[secondary]
    return now
