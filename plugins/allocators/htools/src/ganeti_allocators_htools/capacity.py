"""Global N+1 redundancy, fast: may every node fail after this placement?

`evacuation.survives` plays a failure through and is exact, but far too slow for each step of a
capacity analysis. Its answer can mostly be known beforehand, however guests are spread:

- by amount: a node refuses a guest of at most ``m`` MiB only once it holds its free memory less
  ``m``; if the guests' total cannot bring all targets to that point, a place is always found, and
  if it exceeds what is free it never is;
- by number: guests of at most ``m`` MiB find a place while there are fewer than the targets hold
  of that size, and none of at least ``m`` does where there are more. With one size this is exact.

`Site` keeps the few sums that takes (for memory, disk and spindles) next to a state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .evacuation import DRBD_GUEST, LOCAL, guest_kinds, instance_request, survives
from .limits import Request, Sizes, policy_failure
from .model import Bools, Floats, Ints
from .placing import place
from .state import State

MEMORY, DISK, SPINDLES = range(3)
"""The resources of which `Site` keeps sums."""


@dataclass
class Site:
    """A state and what is needed to judge its redundancy; built by `Site.of`."""

    state: State
    kinds: list[int]
    failover: Floats
    """[primary, secondary] memory that a failover brings to the secondary."""
    pairs: Bools
    """[primary, secondary] whether there is anything to fail over."""
    total: Floats
    """[resource, node] of guests to be moved: memory, disk, spindles."""
    largest: Floats
    smallest: Floats
    guests: Ints
    """Number of guests to be moved, stopped ones included."""
    special: Bools
    """Nodes with guests that need an exact look (forbidden by policy or migration tags)."""
    reach: Bools
    """[node, target] same group and not the node itself."""
    watched: Bools
    """Nodes whose failure counts."""

    @classmethod
    def of(cls, state: State, watched: Bools | None = None) -> Site:
        cluster = state.static.cluster
        count = len(cluster.nodes)
        group = cluster.nodes.group
        reach = (group[:, None] == group[None, :]) & ~np.eye(count, dtype=bool)
        site = cls(
            state,
            guest_kinds(cluster),
            np.zeros((count, count)),
            np.zeros((count, count), dtype=bool),
            np.zeros((3, count)),
            np.zeros((3, count)),
            np.full((3, count), np.inf),
            np.zeros(count, dtype=np.int64),
            np.zeros(count, dtype=bool),
            reach,
            np.ones(count, dtype=bool) if watched is None else watched,
        )
        for node, guests in enumerate(state.plist):
            for inst in guests:
                site._count(inst, node)
        return site

    def copy(self) -> Site:
        return Site(
            self.state.copy(),
            self.kinds,
            self.failover.copy(),
            self.pairs.copy(),
            self.total.copy(),
            self.largest.copy(),
            self.smallest.copy(),
            self.guests.copy(),
            self.special.copy(),
            self.reach,
            self.watched,
        )

    def _count(self, inst: int, node: int) -> None:
        static = self.state.static
        cluster = static.cluster
        if not static.real[inst]:
            return
        mem = static.counted[inst]
        kind = self.kinds[inst]
        if static.migratable is not None:
            self.special[node] = True
        if kind == DRBD_GUEST:
            self.failover[node, self.state.snode[inst]] += mem
            self.pairs[node, self.state.snode[inst]] = True
            return
        local = static.dsk[inst] > 0
        spindles = np.nan_to_num(static.spindles[inst]) if local else 0.0
        amounts = np.array((mem, static.dsk[inst], spindles))
        self.total[:, node] += amounts
        self.largest[:, node] = np.maximum(self.largest[:, node], amounts)
        self.smallest[:, node] = np.minimum(self.smallest[:, node], amounts)
        self.guests[node] += 1
        if kind == LOCAL:
            request = instance_request(cluster, inst)
            policy = cluster.groups[int(cluster.nodes.group[node])].policy
            exclusive = cluster.nodes.exclusive[self.reach[node]].tolist()
            if any(policy_failure(request, policy, target) for target in set(exclusive)):
                self.special[node] = True

    def place(self, inst: int, nodes: tuple[int, ...]) -> None:
        """Put an instance without a place on ``nodes``, primary first."""
        place(self.state, inst, nodes)
        self._count(inst, nodes[0])

    def redundant(self) -> bool:
        """Whether each node may fail."""
        safe, lost = self.estimate()
        if lost.any():
            return False
        unsure = np.flatnonzero(~safe).tolist()
        return all(survives(self.state, node, self.kinds) for node in unsure)

    def failing(self) -> list[int]:
        """Nodes that may not fail."""
        safe, lost = self.estimate()
        return [
            node
            for node in range(len(safe))
            if lost[node] or (not safe[node] and not survives(self.state, node, self.kinds))
        ]

    def margin(self, request: Request) -> int:
        """How many instances of this size may surely be added, on whatever nodes.

        Each takes from every other node at most one place for a guest as large as it or the
        largest there, and is one guest more on its own node. 0 also where nothing is known.
        """
        cluster = self.state.static.cluster
        mirrored = request.template == "drbd" or self.pairs.any()
        # without exclusive storage a policy treats all nodes of its group alike
        if mirrored or self.special.any() or cluster.nodes.exclusive.any():
            return 0
        local = request.local or bool(self.total[DISK].any())
        amounts = np.array([[request.mem if request.runs else 0], [request.local_dsk], [0]])
        free = np.broadcast_to(self.state.umem[None, :], self.reach.shape)
        resources = [(MEMORY, free), (DISK, self._disk())] if local else [(MEMORY, free)]
        slots = self._slots(resources, np.maximum(self.largest, amounts))
        surplus = np.where(self.watched, slots - self.guests, np.inf).min(initial=np.inf)
        return int(np.clip(surplus, 0, 1_000_000))

    def refuses(self, sizes: Sizes, nodes: Ints) -> Bools:
        """Per size and node: an instance there would surely cost redundancy (False: perhaps not).

        For instances that are moved when their node fails, so not for mirrored ones.
        """
        counted = sizes.mem if sizes.request.runs else np.zeros_like(sizes.mem)
        free = self.state.umem[None, :] - self.failover
        result = np.zeros((len(sizes.mem), len(nodes)), dtype=bool)
        lost = self.estimate()[1]
        if lost.any():
            return ~result
        watched = self.watched[:, None]
        rows: list[tuple[int, Floats, Floats, Any]] = [(MEMORY, counted, free, np.greater_equal)]
        if sizes.request.local:
            rows += [
                (DISK, sizes.dsk, self._disk(), np.greater_equal),
                (SPINDLES, sizes.spindles, self._spindles(), np.greater),
            ]
        for row, amount, available, beyond in rows:
            total, smallest = self.total[row], self.smallest[row]
            room = np.where(self.reach, np.maximum(0, available), 0)
            whole = room.sum(axis=1)
            held = self._held(row, available, smallest)
            slots = held.sum(axis=1)
            # the node itself: its guests and the new one
            more = total[nodes] + amount
            result |= beyond(more, whole[nodes]) & (more > 0)
            result |= beyond(amount, room.max(axis=1)[nodes]) & (amount > 0)
            result |= (amount >= smallest[nodes]) & (self.guests + 1 > slots)[nodes]
            # others have less room for theirs: [other, chosen] what one bears to lose there
            with np.errstate(invalid="ignore"):
                spare = (whole - total)[:, None]
                bound = watched & (total > 0)[:, None] & (room > 0) & beyond(room, spare)
                needed = held - (slots - self.guests)[:, None]
                counts = watched & (needed >= 1) & np.isfinite(needed)
                bears = available - needed * smallest[:, None]
            result |= beyond(amount, np.where(bound, spare, np.inf).min(axis=0)[nodes])
            result |= beyond(amount, np.where(counts, bears, np.inf).min(axis=0)[nodes])
        pairs = self.pairs & watched
        result |= counted >= np.where(pairs, free, np.inf).min(axis=0)[nodes]
        return result

    def _disk(self) -> Floats:
        """[node, target] free disk."""
        return np.broadcast_to(self.state.fdsk[None, :], self.reach.shape)

    def _spindles(self) -> Floats:
        """[node, target] free spindles, endless where they are not counted."""
        free = np.where(self.state.static.cluster.nodes.exclusive, self.state.fsp, np.inf)
        return np.broadcast_to(free[None, :], self.reach.shape)

    def estimate(self) -> tuple[Bools, Bools]:
        """Masks of nodes that surely survive and that surely do not."""
        exclusive = self.state.static.cluster.nodes.exclusive
        free = self.state.umem[None, :] - self.failover
        overrun = self.pairs & (free <= 0)
        safe = ~overrun.any(axis=1) & ~self.special
        # a failover also looks at the disks and spindles left on both nodes
        roomy = (self.state.fdsk > 0) & (~exclusive | (self.state.fsp >= 0))
        safe &= ~self.pairs.any(axis=1) | roomy.all()
        resources = [(MEMORY, free)]
        if self.total[DISK].any():
            resources.append((DISK, self._disk()))
        if self.total[SPINDLES].any():
            resources.append((SPINDLES, self._spindles()))
        fewest = self._slots(resources, self.largest)
        fits = self.guests <= fewest
        lost = np.zeros(len(safe), dtype=bool)
        if not (safe & fits | ~self.watched).all():
            lost = self.guests > self._slots(resources, self.smallest)
            blocked = np.zeros(len(safe))
            for row, available in resources:
                total, largest = self.total[row], self.largest[row]
                room = np.where(self.reach, np.maximum(0, available - largest[:, None]), np.inf)
                room.sort(axis=1)
                full = (np.cumsum(room, axis=1) <= total[:, None]).sum(axis=1)
                blocked += np.where((total > 0) | (row == MEMORY), full, 0)
                whole = np.where(self.reach, np.maximum(0, available), 0).sum(axis=1)
                lost |= (total >= whole) & (total > 0) if row == MEMORY else total > whole
            fits |= (self.guests == 0) | (blocked < self.reach.sum(axis=1))
        return safe & fits | ~self.watched, lost & self.watched

    def _slots(self, resources: list[tuple[int, Floats]], amount: Floats) -> Floats:
        """How many guests of ``amount`` [resource, node] the other nodes take from each."""
        held = [self._held(row, available, amount[row]) for row, available in resources]
        result: Floats = np.minimum.reduce(held).sum(axis=1)
        return result

    def _held(self, row: int, available: Floats, amount: Floats) -> Floats:
        """[node, target] how many guests of the node's ``amount`` a target takes.

        A guest must leave it more than nothing of memory and disk, no less than none of spindles;
        one that takes no memory needs some to be free all the same.
        """
        size = amount[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            number = available / size
            number = np.floor(number) if row == SPINDLES else np.ceil(number) - 1
        free = available > 0 if row == MEMORY else True
        number = np.where(size > 0, number, np.where(free, np.inf, 0))
        return np.where(self.reach, np.maximum(number, 0), 0)
