"""Global N+1 redundancy, fast: may every node fail after this placement?

`evacuation.survives` plays a failure through and is exact, but far too slow for each step of a
capacity analysis. Its answer can mostly be known beforehand. However guests are spread, a node
refuses one of at most ``m`` MiB only once it holds its free memory less ``m``; if the guests' total
cannot bring all targets to that point, a place is always found, and if it exceeds what is free it
never is. `Site` keeps the few sums that takes (for memory, disk and spindles) next to a state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .evacuation import DRBD_GUEST, LOCAL, guest_kinds, instance_request, survives
from .limits import Sizes, policy_failure
from .model import Bools, Floats, Ints
from .placing import place
from .state import State


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

    def refuses(self, sizes: Sizes, nodes: Ints) -> Bools:
        """Per size and node: an instance there would surely cost redundancy (False: perhaps not).

        For instances that are moved when their node fails, so not for mirrored ones.
        """
        state, exclusive = self.state, self.state.static.cluster.nodes.exclusive
        counted = sizes.mem if sizes.request.runs else np.zeros_like(sizes.mem)
        free = state.umem[None, :] - self.failover
        result = np.zeros((len(sizes.mem), len(nodes)), dtype=bool)
        lost = self.estimate()[1]
        if lost.any():
            return ~result
        rows: list[tuple[Floats, Floats, Floats, Any]] = [
            (counted, free, self.total[0], np.greater_equal)
        ]
        if sizes.request.local:
            disk = np.broadcast_to(state.fdsk[None, :], free.shape)
            spindles = np.broadcast_to(np.where(exclusive, state.fsp, np.inf)[None, :], free.shape)
            rows += [
                (sizes.dsk, disk, self.total[1], np.greater_equal),
                (sizes.spindles, spindles, self.total[2], np.greater),
            ]
        for amount, available, total, beyond in rows:
            room = np.where(self.reach, np.maximum(0, available), 0)
            whole = room.sum(axis=1)
            # the node itself: its guests and the new one
            result |= beyond(total[nodes] + amount, whole[nodes]) & (total[nodes] + amount > 0)
            result |= beyond(amount, room.max(axis=1)[nodes]) & (amount > 0)
            # others [size, chosen, other]: less room for theirs
            column = room[:, nodes].T
            with np.errstate(invalid="ignore"):
                left = whole[None, None, :] - np.minimum(column[None], amount[:, :, None])
            bound = self.watched & (total > 0)
            tight = beyond(total[None, None, :], left) & bound & (column > 0)[None]
            result |= tight.any(axis=2)
        pairs = (self.pairs & self.watched[:, None])[:, nodes]
        overrun = pairs.T[None] & (free[:, nodes].T[None] - counted[:, :, None] <= 0)
        return result | overrun.any(axis=2)

    def estimate(self) -> tuple[Bools, Bools]:
        """Masks of nodes that surely survive and that surely do not."""
        static = self.state.static
        exclusive = static.cluster.nodes.exclusive
        free = self.state.umem[None, :] - self.failover
        overrun = self.pairs & (free <= 0)
        safe = ~overrun.any(axis=1) & ~self.special
        # a failover also looks at the disks and spindles left on both nodes
        roomy = (self.state.fdsk > 0) & (~exclusive | (self.state.fsp >= 0))
        safe &= ~self.pairs.any(axis=1) | roomy.all()
        resources = (
            free,
            np.broadcast_to(self.state.fdsk[None, :], free.shape),
            np.broadcast_to(np.where(exclusive, self.state.fsp, np.inf)[None, :], free.shape),
        )
        blocked = np.zeros(len(safe))
        lost = np.zeros(len(safe), dtype=bool)
        for row, available in enumerate(resources):
            total, largest = self.total[row], self.largest[row]
            if not total.any() and row:
                continue
            room = np.where(self.reach, np.maximum(0, available - largest[:, None]), np.inf)
            room.sort(axis=1)
            used = np.cumsum(room, axis=1)
            full = (used <= total[:, None]).sum(axis=1)
            blocked += full if row == 0 else np.where(total > 0, full, 0)
            whole = np.where(self.reach, np.maximum(0, available), 0).sum(axis=1)
            needs_more = total > whole if row else (total >= whole) & (total > 0)
            lost |= needs_more
        movable = self.total.any(axis=0) | self._unmoved()
        safe &= ~movable | (blocked < self.reach.sum(axis=1))
        return safe | ~self.watched, lost & self.watched

    def _unmoved(self) -> Bools:
        """Nodes with guests to be moved, stopped ones included."""
        plist, real = self.state.plist, self.state.static.real
        kinds = self.kinds
        return np.array(
            [any(real[i] and kinds[i] != DRBD_GUEST for i in guests) for guests in plist]
        )


def failing_nodes(state: State) -> list[int]:
    """Nodes whose failure the others could not make up for, offline ones included."""
    return Site.of(state).failing()
