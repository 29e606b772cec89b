"""Random IAllocator requests that go with a generated cluster."""

from __future__ import annotations

import random
from typing import Any

from tests.interop.htools.clusters import ALL_TEMPLATES, Cluster

Record = dict[str, Any]


def allocate(cluster: Cluster, rng: random.Random) -> Record:
    template = rng.choice(ALL_TEMPLATES)
    memory = rng.choice((128, 512, 1024, 4096, rng.randint(64, 9000)))
    count = 0 if template == "diskless" else rng.choice((1, 1, 2))
    sizes = [rng.choice((1024, 10240, rng.randint(130, 60000))) for _ in range(count)]
    tags = [f"service:{rng.randint(0, 3)}"] if rng.random() < 0.5 else []
    if cluster.kind == "location" and rng.random() < 0.5:
        tags.append(f"rack:{rng.randint(0, 2)}")
    return {
        "type": "allocate",
        "name": "newinst",
        "disk_template": template,
        "tags": tags,
        "os": "noop",
        "vcpus": rng.choice((1, 2, 4)),
        "memory": memory,
        "spindle_use": rng.choice((1, 1, 2)),
        "disks": [{"size": size, "mode": "rw", "spindles": rng.choice((1, 2))} for size in sizes],
        "disk_space_total": sum(sizes) + (128 * len(sizes) if template == "drbd" else 0),
        "nics": [],
        "required_nodes": 2 if template == "drbd" else 1,
        "hypervisor": "kvm",
    }


def multi_allocate(cluster: Cluster, rng: random.Random) -> Record:
    instances = [dict(allocate(cluster, rng), name=f"new{n}", memory=256) for n in range(3)]
    return {"type": "multi-allocate", "instances": instances}


def node_evacuate(cluster: Cluster, rng: random.Random) -> Record:
    node = rng.choice(cluster.nodes)
    names = [i.name for i in cluster.instances if node in (i.primary, i.secondary)]
    mode = rng.choice(("primary-only", "secondary-only", "all"))
    return {"type": "node-evacuate", "instances": names[:4], "evac_mode": mode}


def relocate(cluster: Cluster, rng: random.Random) -> Record:
    if not cluster.instances:
        return node_evacuate(cluster, rng)
    inst = rng.choice(cluster.instances)
    source = (inst.secondary or inst.primary).name
    return {
        "type": "relocate",
        "name": inst.name,
        "relocate_from": [source],
        "required_nodes": 1,
        "disk_space_total": inst.disk,
    }


def change_group(cluster: Cluster, rng: random.Random) -> Record:
    group = cluster.groups[0]
    names = [i.name for i in cluster.instances if i.primary.group is group]
    if len(cluster.groups) < 2:
        return node_evacuate(cluster, rng)
    return {"type": "change-group", "instances": names[:3], "target_groups": []}


def allocate_secondary(cluster: Cluster, rng: random.Random) -> Record:
    plain = [inst for inst in cluster.instances if inst.template == "plain"]
    if not plain:
        return allocate(cluster, rng)
    return {"type": "allocate-secondary", "name": rng.choice(plain).name}


KINDS = {
    "allocate": allocate,
    "multi-allocate": multi_allocate,
    "node-evacuate": node_evacuate,
    "relocate": relocate,
    "change-group": change_group,
    "allocate-secondary": allocate_secondary,
}
