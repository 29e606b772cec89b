"""Random clusters as data-file text, for tests that need many."""

from __future__ import annotations

import random

from ganeti_allocators_htools.building import build_state, build_static
from ganeti_allocators_htools.loaders import text
from ganeti_allocators_htools.prepare import prepare
from ganeti_allocators_htools.state import State

SPECS = "128,1,128,1,1,1|128,1,128,1,1,1;65536,32,10000000,16,8,12|drbd,plain,ext"


def random_text(seed: int, nodes: int = 5, instances: int = 14, alike: bool = False) -> str:
    """A cluster with mixed templates, tags, an offline node now and then; seeds repeat it."""
    rng = random.Random(seed)
    names = [f"node{number}" for number in range(nodes)]
    offline = {rng.choice(names)} if rng.random() < 0.4 else set()
    used = {name: [0, 0] for name in names}
    rows = []
    for number in range(instances):
        primary, secondary = rng.sample(names, 2)
        template = "drbd" if alike else rng.choice(["drbd", "drbd", "ext", "plain"])
        status = "running" if alike else rng.choice(["running"] * 4 + ["ADMIN_down"])
        mem = 1024 if alike else rng.choice([256, 1024, 3000])
        disk = 1024 if alike else rng.choice([1024, 5000])
        tag = rng.choice(["", "service:a", "service:b,zone:1"])
        if status == "running":
            used[primary][0] += mem
        for node in (primary, secondary) if template == "drbd" else (primary,):
            used[node][1] += disk if template != "ext" else 0
        second = secondary if template == "drbd" else ""
        forthcoming = "Y" if not alike and rng.random() < 0.1 else "N"
        rows.append(
            f"inst{number}|{mem}|{disk}|{rng.choice([1, 2])}|{status}|Y|{primary}|{second}"
            f"|{template}|{tag}|1|-|{forthcoming}"
        )
    total = 1024 * (3 * instances // nodes + 4)
    lines = [
        f"{name}|{total}|512|{total - 512 - used[name][0]}|200000|{200000 - used[name][1]}|8"
        f"|{'Y' if name in offline else 'N'}|uuid-1|1|zone:{number % 2}|N|0|1|1.0"
        for number, name in enumerate(names)
    ]
    tags = "htools:iextags:service\nhtools:nlocation:zone\nhtools:desiredlocation:zone"
    if alike:
        tags = "none"
    policy = f"{SPECS}|8.0|64.0"
    return "\n".join(
        ["default|uuid-1|preferred||", "", *lines, "", *rows, "", tags, "",
         f"|{policy}", f"default|{policy}", ""]
    )  # fmt: skip


def random_state(seed: int, nodes: int = 5, instances: int = 14, alike: bool = False) -> State:
    loaded = prepare(text.parse(random_text(seed, nodes, instances, alike)))
    return build_state(build_static(loaded.cluster, loaded.rules))
