"""Random clusters for comparing the balancing programs with a peer.

A `Cluster` can be written in each form the programs read: the text format, an IAllocator request,
and a file of dynamic utilisation. `generate(seed, kind)` is deterministic; `clusters()` is the
hypothesis strategy over the same space. `KINDS` names the flavours: each turns on one family of
features, so that a difference found under it says where to look.

Numbers are chosen to be consistent (a node's free memory is what its instances leave), then
spoilt on purpose in the `tight` flavour, where reported free memory is below the computed one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

LOCAL = ("plain", "file", "diskless")
SHARED = ("ext", "rbd", "sharedfile", "gluster", "blockdev")
ALL_TEMPLATES = (
    "diskless", "file", "sharedfile", "plain", "blockdev", "drbd", "rbd", "ext", "gluster",
)  # fmt: skip
UP, DOWN = ("running", "ERROR_up"), ("ADMIN_down", "ERROR_down", "ADMIN_offline", "USER_down")
KINDS = (
    "drbd", "mixed", "shared", "tight", "offline", "tags", "location", "migration", "policy",
    "exclusive", "forthcoming", "groups",
)  # fmt: skip


@dataclass
class Spec:
    """One instance size: MiB, counts."""

    mem: int
    cpu: int
    disk: int
    disks: int = 1
    nics: int = 1
    spindles: int = 1

    def text(self) -> str:
        return f"{self.mem},{self.cpu},{self.disk},{self.disks},{self.nics},{self.spindles}"

    def json(self) -> dict[str, int]:
        names = ("memory-size", "cpu-count", "disk-size", "disk-count", "nic-count", "spindle-use")
        values = (self.mem, self.cpu, self.disk, self.disks, self.nics, self.spindles)
        return dict(zip(names, values, strict=True))


@dataclass
class Policy:
    std: Spec
    bounds: list[tuple[Spec, Spec]]
    templates: list[str]
    vcpu_ratio: float
    spindle_ratio: float

    def text(self, owner: str) -> str:
        bounds = ";".join(f"{low.text()};{high.text()}" for low, high in self.bounds)
        templates = ",".join(self.templates)
        ratios = f"{self.vcpu_ratio}|{self.spindle_ratio}"
        return f"{owner}|{self.std.text()}|{bounds}|{templates}|{ratios}"

    def json(self) -> dict[str, Any]:
        return {
            "std": self.std.json(),
            "minmax": [{"min": low.json(), "max": high.json()} for low, high in self.bounds],
            "disk-templates": self.templates,
            "vcpu-ratio": self.vcpu_ratio,
            "spindle-ratio": self.spindle_ratio,
        }


@dataclass
class Group:
    name: str
    uuid: str
    alloc_policy: str
    tags: list[str]
    networks: list[str]
    policy: Policy


@dataclass
class Node:
    name: str
    group: Group
    mem: int
    own_mem: int
    disk: int
    cpus: int
    state: str = "N"
    """`Y` offline, `N` online, `M` master; `?` writes an unknown number, which means offline."""
    spindles: int = 1
    free_spindles: int = 0
    exclusive: bool = False
    own_cpus: int = 1
    speed: float = 1.0
    tags: list[str] = field(default_factory=list)
    free_mem: int = 0
    free_disk: int = 0
    hidden_mem: int = 0
    """Memory missing from the reported free amount, MiB."""


@dataclass
class Instance:
    name: str
    mem: int
    disk: int
    cpus: int
    status: str
    balance: bool
    primary: Node
    secondary: Node | None
    template: str
    tags: list[str]
    spindles: int = 1
    forthcoming: bool = False
    util: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)


@dataclass
class Cluster:
    kind: str
    groups: list[Group]
    nodes: list[Node]
    instances: list[Instance]
    tags: list[str]
    policy: Policy

    def text(self) -> str:
        """The whole cluster in the programs' text format."""
        parts = [
            [_group_line(group) for group in self.groups],
            [_node_line(node) for node in self.nodes],
            [_instance_line(inst) for inst in self.instances],
            self.tags,
            [self.policy.text(""), *(g.policy.text(g.name) for g in self.groups)],
        ]
        return "\n".join("".join(f"{line}\n" for line in part) for part in parts)

    def utilisation(self) -> str:
        """A `-U` file for all instances."""
        return "".join(f"{i.name} {' '.join(f'{u:g}' for u in i.util)}\n" for i in self.instances)

    def ialloc(self, request: dict[str, Any]) -> dict[str, Any]:
        """An IAllocator request (protocol version 2) with this cluster's state."""
        return {
            "version": 2,
            "cluster_name": "cluster.example.com",
            "cluster_tags": self.tags,
            "enabled_hypervisors": ["kvm"],
            "ipolicy": self.policy.json(),
            "nodegroups": {
                g.uuid: {
                    "name": g.name,
                    "alloc_policy": g.alloc_policy,
                    "networks": g.networks,
                    "ipolicy": g.policy.json(),
                    "tags": g.tags,
                }
                for g in self.groups
            },
            "nodes": {n.name: _node_json(n) for n in self.nodes},
            "instances": {i.name: _instance_json(i) for i in self.instances},
            "request": request,
        }


def _group_line(group: Group) -> str:
    tags, nets = ",".join(group.tags), ",".join(group.networks)
    return f"{group.name}|{group.uuid}|{group.alloc_policy}|{tags}|{nets}"


def _node_line(node: Node) -> str:
    free: object = "?" if node.state == "?" else node.free_mem
    state = "N" if node.state == "?" else node.state
    fields = [
        node.name, node.mem, node.own_mem, free, node.disk, node.free_disk, node.cpus, state,
        node.group.uuid, node.spindles, ",".join(node.tags), "Y" if node.exclusive else "N",
        node.free_spindles, node.own_cpus, node.speed,
    ]  # fmt: skip
    return "|".join(str(value) for value in fields)


def _instance_line(inst: Instance) -> str:
    fields = [
        inst.name, inst.mem, inst.disk, inst.cpus, inst.status, "Y" if inst.balance else "N",
        inst.primary.name, inst.secondary.name if inst.secondary else "", inst.template,
        ",".join(inst.tags), inst.spindles,
        inst.spindles if inst.primary.exclusive else "-", "Y" if inst.forthcoming else "N",
    ]  # fmt: skip
    return "|".join(str(value) for value in fields)


def _node_json(node: Node) -> dict[str, Any]:
    static: dict[str, Any] = {
        "tags": node.tags,
        "primary_ip": "192.0.2.1",
        "secondary_ip": "192.0.2.1",
        "offline": node.state in "Y?",
        "drained": False,
        "master_candidate": True,
        "group": node.group.uuid,
        "master_capable": True,
        "vm_capable": True,
        "ndparams": {
            "spindle_count": node.spindles,
            "exclusive_storage": node.exclusive,
            "cpu_speed": node.speed,
        },
    }
    if static["offline"]:
        return static
    return static | {
        "total_memory": node.mem,
        "reserved_memory": node.own_mem,
        "free_memory": node.free_mem,
        "total_disk": node.disk,
        "free_disk": node.free_disk,
        "total_spindles": node.spindles,
        "free_spindles": node.free_spindles,
        "total_cpus": node.cpus,
        "reserved_cpus": node.own_cpus,
        "i_pri_memory": 0,
        "i_pri_up_memory": 0,
    }


def _instance_json(inst: Instance) -> dict[str, Any]:
    states = {"ADMIN_down": "down", "ADMIN_offline": "offline"}
    return {
        "tags": inst.tags,
        "admin_state": states.get(inst.status, "up"),
        "admin_state_source": "admin",
        "vcpus": inst.cpus,
        "memory": inst.mem,
        "spindle_use": inst.spindles,
        "os": "noop",
        "nodes": [inst.primary.name] + ([inst.secondary.name] if inst.secondary else []),
        "nics": [],
        "disks": [{"size": inst.disk, "mode": "rw", "spindles": inst.spindles}],
        "disk_template": inst.template,
        "disks_active": True,
        "hypervisor": "kvm",
        "disk_space_total": inst.disk,
    }


def _policy(rng: random.Random, kind: str) -> Policy:
    if kind != "policy":
        std, low, high = Spec(128, 1, 1024), Spec(64, 1, 128), Spec(32768, 16, 1 << 20, 16, 8, 12)
        if rng.random() < 0.3:
            low = Spec(128, 1, 1024)
        return Policy(std, [(low, high)], list(ALL_TEMPLATES), 4.0, 32.0)
    low = Spec(rng.choice((128, 512)), 1, rng.choice((256, 1024)))
    mid = Spec(1024, rng.choice((2, 4)), 20480, 16, 8, rng.choice((2, 12)))
    bounds = [(low, mid)]
    if rng.random() < 0.6:
        bounds.append((Spec(1024, 2, 8192), Spec(4096, 8, 1 << 17, 16, 8, 12)))
    templates = rng.sample(ALL_TEMPLATES, rng.randint(3, 9))
    ratios = rng.choice((1.0, 2.0, 4.0)), rng.choice((4.0, 8.0, 32.0))
    return Policy(Spec(low.mem, 1, 1024), bounds, templates, *ratios)


def _nodes(rng: random.Random, kind: str, groups: list[Group]) -> list[Node]:
    nodes: list[Node] = []
    for number, group in enumerate(groups):
        exclusive = kind == "exclusive" and rng.random() < 0.8
        same = rng.random() < 0.5
        shape = rng.choice((8192, 12288, 16384)), rng.choice((102400, 204800)), rng.choice((4, 8))
        for index in range(rng.randint(1 if number else 2, 7)):
            if not same:
                shape = rng.randint(6000, 17000), rng.randint(80000, 300000), rng.randint(2, 12)
            node = Node(f"node-{number}-{index}", group, shape[0], rng.randint(0, 1024), *shape[1:])
            node.spindles = rng.randint(6, 24) if exclusive else rng.choice((1, 1, 4, 12))
            node.exclusive = exclusive
            node.own_cpus = rng.choice((1, 1, 1, 0, 2))
            node.speed = rng.choice((1.0, 1.0, 1.0, 0.75, 1.5)) if not same else 1.0
            if kind == "location":
                node.tags += [f"rack:{rng.randint(0, 2)}"]
                node.tags += [f"power:{rng.randint(0, 1)}"] if rng.random() < 0.5 else []
            if kind == "migration":
                node.tags += [f"hv:{rng.choice('ab')}"] if rng.random() < 0.8 else []
            if rng.random() < 0.15:
                node.tags.append("needsreboot")
            if kind in ("offline", "mixed") and rng.random() < 0.25 and nodes:
                node.state = rng.choice("YY?")
            nodes.append(node)
    if rng.random() < 0.7:
        next(n for n in nodes if n.state == "N").state = "M"
    return nodes


def _template(rng: random.Random, kind: str) -> str:
    if kind == "drbd":
        return "drbd"
    if kind == "shared":
        return rng.choice(SHARED)
    if kind == "exclusive":
        return rng.choice(("plain", "plain", "drbd"))
    return rng.choice(("drbd", "drbd", "drbd", *LOCAL, *SHARED))


def _instance(rng: random.Random, kind: str, index: int, nodes: list[Node]) -> Instance:
    primary = rng.choice(nodes)
    template = _template(rng, kind)
    peers = [n for n in nodes if n.group is primary.group and n is not primary]
    if template == "drbd" and not peers:
        template = "plain"
    mem = rng.choice((128, 256, 512, 1024, 2048, rng.randint(64, 1500)))
    disk = 0 if template == "diskless" else rng.choice((1024, 4096, 10240, rng.randint(130, 16000)))
    status = rng.choice((*UP, *DOWN)) if rng.random() < 0.3 else "running"
    inst = Instance(
        f"inst{index}", mem, disk, rng.choice((1, 1, 2, 4)), status, rng.random() < 0.93,
        primary, rng.choice(peers) if template == "drbd" else None, template, [],
    )  # fmt: skip
    if kind in ("tags", "location") and rng.random() < 0.6:
        inst.tags.append(f"service:{rng.randint(0, 3)}")
    if kind == "location" and rng.random() < 0.4:
        inst.tags.append(f"want:rack:{rng.randint(0, 2)}")
    inst.spindles = rng.choice((1, 1, 1, 2, 3)) if template != "diskless" else 1
    inst.forthcoming = kind == "forthcoming" and rng.random() < 0.3
    inst.util = tuple(round(rng.uniform(0, 4), 2) for _ in range(4))  # type: ignore[assignment]
    return inst


def _account(cluster: Cluster, rng: random.Random) -> None:
    """Set what each node has free; drop instances that the node could not hold."""
    kept = []
    for node in cluster.nodes:
        node.free_mem, node.free_disk = node.mem - node.own_mem, node.disk
        node.free_spindles = node.spindles if node.exclusive else 0
    for inst in cluster.instances:
        disk = inst.disk if inst.template in ("plain", "drbd") else 0
        places = [inst.primary] + ([inst.secondary] if inst.secondary else [])
        spindles = inst.spindles if inst.primary.exclusive else 0
        if inst.primary.free_mem <= inst.mem or any(p.free_disk <= disk for p in places):
            continue
        if any(p.free_spindles < spindles for p in places):
            continue
        kept.append(inst)
        if inst.forthcoming:
            continue
        if inst.status in UP:
            inst.primary.free_mem -= inst.mem
        for place in places:
            place.free_disk -= disk
            place.free_spindles -= spindles
    cluster.instances = kept
    if cluster.kind == "tight":
        for node in cluster.nodes:
            if rng.random() < 0.4:
                node.free_mem -= min(node.free_mem, rng.choice((100, 1000, 3000)))


def generate(seed: int, kind: str | None = None, instances: int = 28) -> Cluster:
    """The cluster of a seed; `instances` bounds how many there are."""
    rng = random.Random(seed)
    kind = kind or KINDS[seed % len(KINDS)]
    count = rng.randint(2, 4) if kind == "groups" else rng.choice((1, 1, 1, 2))
    groups = [
        Group(
            f"group-{n}",
            f"fake-uuid-{n}",
            rng.choice(("preferred", "preferred", "preferred", "last_resort", "unallocable")),
            ["site:a"] if rng.random() < 0.2 else [],
            ["net-1"] if rng.random() < 0.5 else [],
            _policy(rng, kind),
        )
        for n in range(count)
    ]
    nodes = _nodes(rng, kind, groups)
    factor = 1.0 if kind == "tight" else rng.uniform(0.0, 1.0)
    insts = [_instance(rng, kind, i, nodes) for i in range(int(instances * factor))]
    tags = ["env:test"] if rng.random() < 0.3 else []
    if kind in ("tags", "location"):
        tags.append("htools:iextags:service")
    if kind == "location":
        tags += ["htools:nlocation:rack", "htools:nlocation:power"]
        tags += ["htools:desiredlocation:rack"] if rng.random() < 0.5 else []
    if kind == "migration":
        tags.append("htools:migration:hv")
        tags += ["htools:allowmigration:hv:a::hv:b"] if rng.random() < 0.5 else []
    cluster = Cluster(kind, groups, nodes, insts, tags, _policy(rng, kind))
    _account(cluster, rng)
    return cluster


def clusters(kinds: tuple[str, ...] = KINDS, instances: int = 28) -> st.SearchStrategy[Cluster]:
    """Hypothesis strategy over generated clusters."""
    return st.builds(
        generate,
        st.integers(0, 2**32 - 1),
        st.sampled_from(kinds),
        st.integers(0, instances),
    )
