"""From a cluster's data to its `Static` part and the `State` that it describes."""

from __future__ import annotations

import numpy as np

from .model import NO_NODE, Bools, Cluster, Floats, Ints
from .state import LOADS, ROW, Q, State, Static, location_scores
from .tags import TagRules, matching


def whole(values: Floats) -> Floats:
    """Truncated towards zero, unknown sizes (NaN, infinite) as 0."""
    return np.trunc(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0))


def build_static(
    cluster: Cluster,
    rules: TagRules | None = None,
    max_cpu: float | None = None,
    min_disk: float | None = None,
) -> Static:
    """Sizes and limits of ``cluster``; ``max_cpu`` and ``min_disk`` override the policy's."""
    rules = TagRules.of(cluster.tags) if rules is None else rules
    nodes, insts = cluster.nodes, cluster.instances
    policies = [cluster.groups[number].policy for number in nodes.group.tolist()]
    real = ~insts.forthcoming
    counted = np.where(insts.uses_memory, insts.mem, 0).astype(float)
    used = np.bincount(insts.pnode[real], weights=counted[real], minlength=len(nodes))
    exclusion = [matching(tags, rules.exclusion) for tags in insts.tags]
    names = sorted({tag for tags in exclusion for tag in tags})
    number = {name: index for index, name in enumerate(names)}
    ratio = [policy.vcpu_ratio for policy in policies]
    amounts = {
        "mem": insts.mem.astype(float),
        "counted": counted,
        "dsk": np.where(insts.local, insts.dsk, 0).astype(float),
        "vcpus": np.where(insts.online, insts.vcpus, 0).astype(float),
        "sec_mem": np.where(insts.uses_sec_mem, insts.mem, 0).astype(float),
        "spindle_use": np.where(insts.local, insts.spindle_use, 0).astype(float),
        "spindles": np.where(insts.spindles < 0, np.nan, insts.spindles.astype(float)),
    }
    return Static(
        cluster=cluster,
        rules=rules,
        offline=nodes.offline,
        xmem=whole(nodes.tmem) - nodes.nmem - used - nodes.fmem,
        tspeed=nodes.cpu_speed,
        pool=np.ones((4, len(nodes))),
        lo_dsk=np.floor(whole(nodes.tdsk) * (min_disk or 0.0)),
        hi_cpu=np.array(ratio if max_cpu is None else [max_cpu] * len(nodes), dtype=float),
        hi_spindles=np.array([policy.spindle_ratio for policy in policies]) * nodes.spindles,
        real=real,
        exclusion=tuple(tuple(number[tag] for tag in tags) for tags in exclusion),
        exclusion_tags=tuple(names),
        locations=tuple(frozenset(matching(tags, rules.location)) for tags in nodes.tags),
        desired=tuple(frozenset(matching(tags, rules.desired)) for tags in insts.tags),
        **amounts,
        **_changes(amounts, insts.util, real, nodes.exclusive),
    )


def _changes(
    amounts: dict[str, Floats], util: Floats, real: Bools, exclusive: Bools
) -> dict[str, Floats]:
    """`Static.as_primary`, ``as_secondary`` and ``usable``."""
    as_primary = np.zeros((len(Q), len(real)))
    as_secondary = np.zeros_like(as_primary)
    spindles = np.nan_to_num(amounts["spindles"])
    disk = {"fdsk": -amounts["dsk"], "fsp": -spindles, "isp": amounts["spindle_use"]}
    for suffix, mask in (("", real), ("_f", True)):
        for name, values in disk.items():
            as_primary[ROW[name + suffix]] = as_secondary[ROW[name + suffix]] = values * mask
        as_primary[ROW["ucpu" + suffix]] = amounts["vcpus"] * mask
    as_primary[ROW["umem"]] = -amounts["counted"] * real
    as_primary[ROW["imem"]] = amounts["counted"] * real
    as_primary[ROW["umem_f"]] = -amounts["mem"]
    as_primary[LOADS] = (util * real[:, None]).T
    as_secondary[ROW["dload"]] = util[:, 2] * real
    as_primary[ROW["npri"]] = as_secondary[ROW["nsec"]] = real
    usable = np.ones((len(Q), len(exclusive)))
    usable[[ROW["isp"], ROW["isp_f"]]] = ~exclusive
    usable[[ROW["fsp"], ROW["fsp_f"]]] = exclusive
    return {"as_primary": as_primary, "as_secondary": as_secondary, "usable": usable}


def build_state(static: Static) -> State:
    """The state the input describes: free disk as reported, memory and load summed up."""
    nodes, insts = static.cluster.nodes, static.cluster.instances
    count = len(nodes)
    real = static.real
    pnode, snode = insts.pnode.copy(), insts.snode.copy()
    has_sec = snode != NO_NODE
    q = np.zeros((len(Q), count))

    def per_node(where: Ints, values: Floats) -> Floats:
        return np.bincount(where, weights=values, minlength=count).astype(np.float64)

    def primaries(values: Floats, mask: Bools) -> Floats:
        return per_node(pnode[mask], values[mask])

    # one after the other in the instances' order, as sums of fractions depend on it
    order = np.column_stack((pnode, snode)).ravel()
    both = (order != NO_NODE) & np.repeat(real, 2)
    sec_util = insts.util * np.array([0.0, 0.0, 1.0, 0.0])
    util = np.stack((insts.util, sec_util), axis=1).reshape(-1, 4)

    imem = primaries(static.counted, real)
    q[ROW["imem"]] = imem
    q[ROW["umem"]] = whole(nodes.tmem) - nodes.nmem - imem - np.maximum(0, static.xmem)
    q[ROW["ucpu"]] = nodes.ncpu + primaries(static.vcpus, real)
    q[ROW["ucpu_f"]] = nodes.ncpu + primaries(static.vcpus, np.ones_like(real))
    for row in range(4):
        q[LOADS.start + row] = np.bincount(order[both], weights=util[both, row], minlength=count)
    measured = ~np.isnan(nodes.cpu_load)
    q[ROW["cload"], measured] = nodes.cpu_load[measured]
    q[ROW["npri"]] = primaries(np.ones(len(insts)), real)
    second = has_sec & real
    q[ROW["nsec"]] = np.bincount(snode[second], minlength=count)
    missing = np.where(real & insts.uses_memory, 0.0, static.mem)
    q[ROW["umem_f"]] = nodes.fmem - primaries(missing, np.ones_like(real))
    everything = np.ones_like(real)
    for mask, suffix in ((real, ""), (everything, "_f")):
        on_secondary = mask & has_sec
        uses = primaries(static.spindle_use, mask) + per_node(
            snode[on_secondary], static.spindle_use[on_secondary]
        )
        q[ROW[f"isp{suffix}"]] = np.where(nodes.exclusive, 0, uses)
    # what is free was reported with the real instances in place
    planned = ~real
    spindles = np.nan_to_num(static.spindles) * nodes.exclusive[pnode]
    for name, reported, values in (
        ("fdsk", nodes.fdsk, static.dsk),
        ("fsp", nodes.fspindles, spindles),
    ):
        on_secondary = planned & has_sec
        taken = primaries(values, planned) + per_node(snode[on_secondary], values[on_secondary])
        q[ROW[name]] = reported
        q[ROW[f"{name}_f"]] = reported - taken
    # upstream's mark of a node on which spindles of unknown number are planned
    unknown = planned & np.isnan(static.spindles)
    where = np.concatenate((pnode[unknown], snode[unknown & has_sec]))
    q[ROW["fsp_f"], where[nodes.exclusive[where]]] = -1
    peers = np.zeros((count, count))
    np.add.at(peers, (snode[second], pnode[second]), static.sec_mem[second])
    q[ROW["rmem"]] = np.maximum(0, peers.max(axis=1)) if count else 0
    ptags = np.zeros((count, len(static.exclusion_tags)), dtype=np.int64)
    plist: list[list[int]] = [[] for _ in range(count)]
    slist: list[list[int]] = [[] for _ in range(count)]
    for inst, (node, second_node) in enumerate(zip(pnode.tolist(), snode.tolist(), strict=True)):
        plist[node].insert(0, inst)
        if second_node != NO_NODE:
            slist[second_node].insert(0, inst)
        for tag in static.exclusion[inst]:
            ptags[node, tag] += 1
    if static.located:
        scores = location_scores(static, np.arange(len(insts)), pnode, snode)
        q[ROW["lscore"]] = np.bincount(pnode, weights=scores, minlength=count)
    # as upstream: judged by what was reported free, even where more is in use than that leaves
    free = np.where(static.xmem < 0, nodes.fmem, q[ROW["umem"]])
    fails_n1 = free < q[ROW["rmem"]]
    return State(static, q, peers, ptags, pnode, snode, plist, slist, fails_n1)
