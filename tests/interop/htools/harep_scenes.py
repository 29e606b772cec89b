"""Made-up clusters with broken instances, and tags that say what harep may do and has done."""

from __future__ import annotations

import random
from typing import Any, Final

from tests.interop.htools.luxi_master import Scene

PREFIX: Final = "ganeti:watcher:autorepair:"
KINDS: Final = ("fix-storage", "migrate", "failover", "reinstall")
LATER: Final = 99999999999
STATUSES: Final = {
    7: "success",
    8: "error",
    9: "running",
    10: "queued",
    11: "canceled",
    12: "waiting",
    13: "canceling",
    14: "success",
}
ODD: Final = (
    "pending:failover:u2",
    "pending:fly:u2:2000:9",
    "pending:failover:u3:abc:7",
    "pending:failover:u3:1000:x",
    "pending:failover:u3:-5:7",
    "result:failover:u2:2000:great:9",
    "result:failover:u2:2000:success",
    "suspend:abc",
    "suspend:",
    "nonsense",
    "Failover",
    "",
)

_SIZES: Final = ("memory-size", "cpu-count", "disk-size", "disk-count", "nic-count", "spindle-use")


def _spec(*sizes: int) -> dict[str, int]:
    return dict(zip(_SIZES, sizes, strict=True))


POLICY: Final[dict[str, Any]] = {
    "std": _spec(128, 1, 1024, 1, 1, 1),
    "minmax": [{"min": _spec(64, 1, 128, 1, 1, 1), "max": _spec(32768, 16, 1 << 20, 16, 8, 12)}],
    "disk-templates": ["drbd", "plain", "ext"],
    "vcpu-ratio": 4.0,
    "spindle-ratio": 32.0,
}


def _node(rng: random.Random, name: str, group: str) -> dict[str, Any]:
    record: dict[str, Any] = {
        "name": name,
        "offline": rng.random() < 0.35,
        "drained": rng.random() < 0.08,
        "vm_capable": rng.random() > 0.04,
        "ndp/spindle_count": 1,
        "ndp/exclusive_storage": False,
        "ndp/cpu_speed": 1.0,
        "group.uuid": group,
        "tags": [],
        "sptotal": 0,
        "spfree": 0,
        "hv_state": {},
    }
    if record["offline"]:
        return record
    live = {"mtotal": 16384, "mnode": 512, "mfree": 8000, "ctotal": 8, "cnos": 1}
    return record | live | {"dtotal": 200000, "dfree": 100000}


def _permissions(rng: random.Random, chance: float) -> list[str]:
    """Tags that say what may be done to an object."""
    tags = [f"{PREFIX}{kind}" for kind in KINDS if rng.random() < chance]
    if rng.random() < chance / 3:
        tags.append(f"{PREFIX}suspend")
    for _ in range(2):
        if rng.random() < chance / 3:
            tags.append(f"{PREFIX}suspend:{rng.choice([1000, LATER, LATER - 1])}")
    if rng.random() < 0.1:
        tags.append(f"{PREFIX}{rng.choice(ODD)}")
    rng.shuffle(tags)
    return tags


def _history(rng: random.Random) -> list[str]:
    """Tags that keep repairs; seldom more than one."""
    tags = []
    for _ in range(rng.choice([0, 0, 0, 1, 1, 1, 1, 2, 2, 3])):
        kind, uuid = rng.choice(KINDS), rng.choice("abc")
        when = rng.choice([1000, 2000, 2000, 3000])
        jobs = "+".join(str(rng.choice(list(STATUSES))) for _ in range(rng.choice([0, 1, 1, 2])))
        if rng.random() < 0.4:
            tags.append(f"{PREFIX}pending:{kind}:{uuid}:{when}:{jobs}")
        else:
            result = rng.choice(["success", "success", "failure", "enoperm"])
            tags.append(f"{PREFIX}result:{kind}:{uuid}:{when}:{result}:{jobs}")
    return list(dict.fromkeys(tags))


def _instance(rng: random.Random, name: str, nodes: list[str]) -> dict[str, Any]:
    template = rng.choice(["drbd", "drbd", "drbd", "plain", "plain", "ext", "file", "diskless"])
    first, second = rng.sample(nodes, 2)
    tags = _permissions(rng, 0.2) + _history(rng) + rng.choice([[], ["web"]])
    rng.shuffle(tags)
    return {
        "name": name,
        "disk_usage": 1024,
        "be/memory": 512,
        "be/vcpus": 1,
        "status": rng.choice(["running", "running", "ADMIN_down", "ERROR_nodeoffline"]),
        "pnode": first,
        "snodes": [second] if template == "drbd" else [],
        "tags": tags,
        "be/auto_balance": rng.random() < 0.8,
        "disk_template": template,
        "be/spindle_use": 1,
        "disk.sizes": [1024],
        "disk.spindles": [None],
        "forthcoming": rng.random() < 0.03,
    }


def make(seed: int) -> tuple[Scene, list[str]]:
    """The scene of a seed, and harep's options beside the socket."""
    rng = random.Random(seed)
    domain = rng.choice(["", ".example.com"])
    groups = [f"uuid-{number}" for number in range(rng.choice([1, 1, 2]))]
    nodes = [_node(rng, f"n{n}{domain}", rng.choice(groups)) for n in range(rng.randint(3, 6))]
    names = [node["name"] for node in nodes]
    instances = [_instance(rng, f"i{n}{domain}", names) for n in range(rng.randint(0, 6))]
    scene = Scene(
        node=nodes,
        instance=instances,
        group=[
            {
                "uuid": uuid,
                "name": f"group{uuid[-1]}",
                "alloc_policy": "preferred",
                "ipolicy": POLICY,
                "tags": _permissions(rng, 0.15),
            }
            for uuid in groups
        ],
        info={
            "tags": _permissions(rng, 0.25),
            "ipolicy": POLICY,
            "master": names[0],
            "enabled_hypervisors": ["kvm"],
            "default_hypervisor": "kvm",
            "name": "cluster",
        },
        statuses=STATUSES,
        refused=rng.choice(["OP_INSTANCE_FAILOVER", "OP_TAGS_SET"]) if rng.random() < 0.06 else "",
        failing=rng.choice(["OP_TAGS_SET", "OP_TAGS_DEL"]) if rng.random() < 0.06 else "",
    )
    options = ["--dry-run"] if rng.random() < 0.2 else []
    if rng.random() < 0.3:
        options.append(f"--job-delay={rng.choice(['0', '2.5', '60', '3.0', '-1'])}")
    if rng.random() < 0.2:
        options.append("--reason=a node is away")
    return scene, options
