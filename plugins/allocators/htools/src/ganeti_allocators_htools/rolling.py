"""Rolling maintenance: sets of nodes that may be down at once, and where their guests go meanwhile.

`colouring` gives sets that no mirrored instance has both its nodes in. This module splits each set
so that guests without a mirror (and, on request, secondaries) find room outside it. As in
hroller (release 3.0) guests take the first node of their group with room, only hard limits count,
and every set starts from the cluster as it is now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import HtoolsError
from .model import NO_NODE
from .state import State


class NoRoom(HtoolsError):
    """A node cannot be emptied even on its own."""


@dataclass
class Places:
    """Who is where and what is free; a light copy of a state to plan on."""

    umem: list[float]
    fdsk: list[float]
    fsp: list[float]
    pnode: list[int]
    snode: list[int]
    primaries: list[list[int]]
    secondaries: list[list[int]]

    @classmethod
    def of(cls, state: State) -> Places:
        exclusive = state.static.cluster.nodes.exclusive
        return cls(
            state.umem.tolist(),
            state.fdsk.tolist(),
            np.where(exclusive, state.fsp, np.inf).tolist(),
            state.pnode.tolist(),
            state.snode.tolist(),
            state.plist,
            state.slist,
        )

    def copy(self) -> Places:
        return Places(
            self.umem.copy(),
            self.fdsk.copy(),
            self.fsp.copy(),
            self.pnode.copy(),
            self.snode.copy(),
            self.primaries.copy(),
            self.secondaries.copy(),
        )


def _greedy(
    nodes: Sequence[int],
    start: Places,
    clear: Callable[[Places, int, set[int]], bool],
    what: str,
) -> Iterator[tuple[list[int], Places]]:
    """As many of ``nodes`` together as can be cleared one after the other, then the others."""
    left = list(nodes)
    while left:
        places = start.copy()
        group: list[int] = []
        rest: list[int] = []
        for node in left:
            trial = places.copy()
            if clear(trial, node, {*group, node}):
                places = trial
                group.append(node)
            else:
                rest.append(node)
        if not group:
            raise NoRoom(f"Not enough capacity to move {what}")
        yield group, places
        left = rest


class Planner:
    """Splits sets of nodes into groups that can be emptied together."""

    def __init__(self, state: State, *, ignore_non_redundant: bool) -> None:
        static = state.static
        self.start = Places.of(state)
        self.ignore = ignore_non_redundant
        self.real = static.real.tolist()
        self.mem = static.counted.tolist()
        self.dsk = static.dsk.tolist()
        self.spindles = np.where(static.dsk > 0, np.nan_to_num(static.spindles), 0).tolist()
        self.group = static.cluster.nodes.group.tolist()
        self.offline = static.offline.tolist()
        members: dict[int, list[int]] = {}
        for node, number in enumerate(self.group):
            if not self.offline[node]:
                members.setdefault(number, []).append(node)
        self.members = members

    def split(self, nodes: Sequence[int]) -> Iterator[tuple[list[int], Places]]:
        """Groups of ``nodes`` with the place of every guest that has no mirror.

        Raises `NoRoom` when a node cannot be emptied.
        """
        if self.ignore:
            yield list(nodes), self.start
        else:
            yield from _greedy(nodes, self.start, self._clear_single, "non-redundant instances")

    def split_fully(
        self, nodes: Sequence[int], places: Places
    ) -> Iterator[tuple[list[int], Places]]:
        """A group of `split` further divided so that mirrored guests can leave altogether."""
        yield from _greedy(nodes, places, self._clear_all, "secondaries")

    def _clear_all(self, places: Places, node: int, down: set[int]) -> bool:
        if not self._clear_mirrored(places, node):
            raise NoRoom("Failed to migrate instances off nodes")
        return self._clear_secondaries(places, node, down)

    def _clear_single(self, places: Places, node: int, down: set[int]) -> bool:
        return all(
            self._move(places, inst, down)
            for inst in places.primaries[node]
            if places.snode[inst] == NO_NODE and self.real[inst]
        )

    def _clear_mirrored(self, places: Places, node: int) -> bool:
        return all(
            self._fail_over(places, inst)
            for inst in places.primaries[node]
            if places.snode[inst] != NO_NODE and self.real[inst]
        )

    def _clear_secondaries(self, places: Places, node: int, down: set[int]) -> bool:
        return all(
            self._replace_secondary(places, inst, down)
            for inst in places.secondaries[node]
            if self.real[inst]
        )

    def _targets(self, node: int, down: set[int]) -> Iterator[int]:
        return (other for other in self.members.get(self.group[node], []) if other not in down)

    def _has_disk(self, places: Places, inst: int, node: int) -> bool:
        dsk = self.dsk[inst]
        return not dsk or (places.fdsk[node] > dsk and places.fsp[node] >= self.spindles[inst])

    def _take_disk(self, places: Places, inst: int, source: int, target: int) -> None:
        for node, sign in ((source, 1), (target, -1)):
            places.fdsk[node] += sign * self.dsk[inst]
            places.fsp[node] += sign * self.spindles[inst]

    def _set_primary(self, places: Places, inst: int, target: int) -> None:
        source = places.pnode[inst]
        places.primaries[source] = [other for other in places.primaries[source] if other != inst]
        places.primaries[target] = [inst, *places.primaries[target]]
        places.umem[source] += self.mem[inst]
        places.umem[target] -= self.mem[inst]
        places.pnode[inst] = target

    def _set_secondary(self, places: Places, inst: int, target: int) -> None:
        source = places.snode[inst]
        places.secondaries[source] = [o for o in places.secondaries[source] if o != inst]
        places.secondaries[target] = [inst, *places.secondaries[target]]
        places.snode[inst] = target

    def _move(self, places: Places, inst: int, down: set[int]) -> bool:
        source = places.pnode[inst]
        for target in self._targets(source, down):
            if places.umem[target] <= self.mem[inst] or not self._has_disk(places, inst, target):
                continue
            self._take_disk(places, inst, source, target)
            self._set_primary(places, inst, target)
            return True
        return False

    def _fail_over(self, places: Places, inst: int) -> bool:
        source, target = places.pnode[inst], places.snode[inst]
        if places.umem[target] <= self.mem[inst] or places.fdsk[source] + self.dsk[inst] <= 0:
            return False
        self._set_primary(places, inst, target)
        self._set_secondary(places, inst, source)
        return True

    def _replace_secondary(self, places: Places, inst: int, down: set[int]) -> bool:
        source = places.snode[inst]
        for target in self._targets(source, down):
            if target == places.pnode[inst] or not self._has_disk(places, inst, target):
                continue
            self._take_disk(places, inst, source, target)
            self._set_secondary(places, inst, target)
            return True
        return False
