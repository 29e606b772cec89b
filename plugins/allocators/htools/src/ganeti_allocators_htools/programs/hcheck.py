"""hcheck: is the cluster healthy, and would balancing help?"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from ganeti_allocators_htools.capacity import Site
from ganeti_allocators_htools.numbers import fixed
from ganeti_allocators_htools.options import Options
from ganeti_allocators_htools.prepare import load, make_state, select_group, set_offline
from ganeti_allocators_htools.score import lower_bound, score
from ganeti_allocators_htools.search import Limits, Search, balance
from ganeti_allocators_htools.state import State

from .hbal import rules_of

#: Key in the machine-readable output and words for people, in order.
COUNTS = (
    ("N1_FAIL", "Nodes not N+1 happy"),
    ("CONFLICT_TAGS", "Nodes with conflicting instances"),
    ("OFFLINE_PRI", "Instances having the primary node offline"),
    ("OFFLINE_SEC", "Instances having a secondary node offline"),
    ("GN1_FAIL", "Nodes not directly evacuateable"),
)


@dataclass(frozen=True)
class Health:
    """Counts in the order of `COUNTS`; the last one only with capacity checks."""

    counts: tuple[int, ...]
    score: float = 0.0

    @classmethod
    def of(cls, state: State, *, checked: bool) -> Health:
        offline = state.static.offline
        real = np.flatnonzero(state.static.real)
        counts = [
            int((state.fails_n1 & ~offline).sum()),
            int(((state.ptags > 1).any(axis=1) & ~offline).sum()),
            int(offline[state.pnode[real]].sum()),
            # upstream 3.0 counts the offline nodes here, whoever has a secondary there
            int(offline.sum()),
        ]
        if checked:
            counts.append(len(Site.of(state).failing()))
        return cls(tuple(counts), score(state))

    @property
    def healthy(self) -> bool:
        return not any(self.counts)


def total(parts: list[Health]) -> Health:
    """The whole cluster's counts."""
    return Health(tuple(sum(column) for column in zip(*(p.counts for p in parts), strict=True)))


def balanced(state: State, options: Options) -> State:
    """The state after all moves hbal would make."""
    search = Search(state, rules_of(options))
    bound = lower_bound(state)
    limits = Limits(
        options.max_length, options.min_score + bound, options.min_gain, options.min_gain_limit
    )
    for _ in balance(search, limits):
        pass
    return search.state


def _machine(phase: str, parts: list[Health], needs: bool) -> str:
    lines = []
    for number, part in enumerate(parts):
        for (key, _), count in zip(COUNTS, part.counts, strict=False):
            lines.append(f"{phase}_GROUP_{number}_{key}={count}")
        lines.append(f"{phase}_GROUP_{number}_SCORE={fixed(part.score, 8)}")
    for (key, _), count in zip(COUNTS, total(parts).counts, strict=False):
        lines.append(f"{phase}_CLUSTER_{key}={count}")
    lines.append(f"{phase}_CLUSTER_NEED_REBALANCE={int(needs)}")
    return "".join(f"HCHECK_{line}\n" for line in lines)


def _human(when: str, names: list[str], parts: list[Health], needs: bool) -> str:
    blocks = []
    for name, part in zip(names, parts, strict=True):
        lines = [f"Statistics for group {name} {when}"]
        lines += [
            f"    {words}: {count}" for (_, words), count in zip(COUNTS, part.counts, strict=False)
        ]
        blocks.append([*lines, f"    Group score: {fixed(part.score, 8)}"])
    lines = [f"Cluster statistics {when}"]
    lines += [
        f"    {words}: {count}"
        for (_, words), count in zip(COUNTS, total(parts).counts, strict=False)
    ]
    blocks.append([*lines, f"    Cluster is not healthy: {needs}"])
    return "".join("\n" + "".join(f"{line}\n" for line in block) for block in blocks)


def run(options: Options) -> int:
    loaded = load(options)
    whole = set_offline(loaded.cluster, options)
    checked = options.capacity_checks
    names, states = [], []
    for number, group in enumerate(whole.groups):
        if not (whole.nodes.group == number).any():
            continue
        names.append(group.name)
        states.append(make_state(select_group(whole, number), loaded.rules, options))
    before = [Health.of(state, checked=checked) for state in states]
    needs = not total(before).healthy
    out = sys.stdout
    machine = options.machine_readable
    if machine:
        uuids = [group.uuid for group in whole.groups if group.name in names]
        out.writelines(
            f"HCHECK_GROUP_UUID_{number}='{uuid}'\n" for number, uuid in enumerate(uuids)
        )
        out.write(_machine("INIT", before, needs))
    elif not options.simulation:
        out.write("Running in no-simulation mode.\n")
    elif needs:
        out.write("Cluster needs rebalancing.\n")
    else:
        out.write("No need to rebalance cluster, no problems found.\n")
    if not machine:
        out.write(_human("initially", names, before, needs))
    after = before
    simulate = needs and options.simulation
    if simulate:
        after = [Health.of(balanced(state, options), checked=checked) for state in states]
    if machine:
        out.write(_machine("FINAL", after, needs))
        out.write("HCHECK_OK=1\n")
    elif simulate:
        out.write(_human("after rebalancing", names, after, needs))
    return int(simulate)
