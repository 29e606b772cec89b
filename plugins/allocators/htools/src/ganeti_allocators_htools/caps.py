"""Limits as amounts below caps: who takes which instance, for many pairs at once.

The limits are those of `moves.refusals` in a form that compares whole arrays. R is the number of
instances asked about (``rows``), C that of target nodes (``cols``).
"""

from __future__ import annotations

import numpy as np

from .model import Bools, Floats, Ints
from .state import ROW, State

INF = float("inf")
UNKNOWN = 1e300  # spindles of an instance when they are not known: more than any node has


class Caps:
    """The limits of a state; call `refresh` after it has changed.

    ``has_tags`` (I, tags) says which exclusion tags an instance has that must not meet; those of
    forthcoming ones may.
    """

    worst: Ints
    """(N) the peer whose failure would bring a node most memory."""
    second: Floats
    """(N) the memory the next one would bring."""

    def __init__(self, state: State, has_tags: Bools) -> None:
        static = state.static
        self.state = state
        self.has_tags = has_tags
        self.tagged = bool(has_tags.any())
        self.online = np.flatnonzero(~static.offline)
        self.sm = static.sec_mem * static.real
        self.sp = np.where(np.isnan(static.spindles), UNKNOWN, static.spindles)
        local = static.cluster.instances.local
        # where a limit does not apply to an instance, its amount is below every limit
        self.strict_amounts = {
            "m": np.where(static.real, static.as_primary[ROW["imem"]], -INF),
            "ma": static.mem,
            "d": np.where(local, static.dsk, -INF),
            "sp": np.where(local, self.sp, -INF),
            "use": np.where(local, static.spindle_use, -INF),
            "v": static.vcpus,
        }
        self.hard_amounts = {
            name: np.where(static.real, self.strict_amounts[name], -INF)
            for name in ("m", "d", "sp")
        }
        self.largest = {
            name: float(amounts.max(initial=-INF)) for name, amounts in self.strict_amounts.items()
        }
        limit = static.hi_cpu * static.cluster.nodes.tcpu + 1e-6
        self.cpus = np.where(static.hi_cpu < 0, INF, limit)
        self.mirrored = bool((static.cluster.instances.mirror == 1).any())
        self.refresh()

    def refresh(self) -> None:
        state, static = self.state, self.state.static
        self.fails = state.fails_n1
        exclusive = static.cluster.nodes.exclusive
        #: an addition is refused when the amount reaches the cap; hard caps hold when fleeing too
        self.hard_caps = {
            "m": state.umem,
            "d": state.fdsk,
            "sp": np.where(exclusive, state.fsp + 0.5, INF),
        }
        spare = np.where(self.fails, state.umem, state.umem - state.rmem)
        low = np.minimum(state.fdsk, state.fdsk_f) - static.lo_dsk + 0.5
        free_spindles = np.minimum(state.fsp, state.fsp_f) + 0.5
        crowded = np.maximum(state.isp, state.isp_f)
        self.strict_caps = {
            "m": np.minimum(spare, state.umem),
            "ma": state.umem_f,
            "d": np.minimum(low, np.minimum(state.fdsk, state.fdsk_f)),
            "sp": np.where(exclusive, free_spindles, INF),
            "use": np.where(exclusive, INF, static.hi_spindles - crowded + 1e-6),
            "v": self.cpus - np.maximum(state.ucpu, state.ucpu_f),
        }
        #: limits no instance can reach on any online node now
        self.slack = {
            name
            for name, largest in self.largest.items()
            if largest < self.strict_caps[name][self.online].min(initial=INF)
        }
        if self.mirrored:
            self._refresh_mirrored(low)

    def _refresh_mirrored(self, low: Floats) -> None:
        """What only moves of instances with a secondary need; ``low`` is the disk above limits."""
        state, exclusive = self.state, self.state.static.cluster.nodes.exclusive
        self.worst = state.peers.argmax(axis=1)
        second = state.peers.copy()
        second[np.arange(len(second)), self.worst] = 0
        self.second = np.max(second, axis=1)
        hard = (state.fdsk > 0) & (~exclusive | (state.fsp >= 0))
        strict = (state.fdsk_f > 0) & (low > 0)
        strict &= np.where(exclusive, state.fsp_f >= 0, self.strict_caps["use"] >= 0)
        #: nodes within their disk limits, as a swap of an instance's two roles needs
        self.disk_stays = (hard, hard & strict)
        self.disk_stays_planned = strict

    def _below(self, rows: Ints, cols: Ints, hard: bool, names: str) -> Bools:
        """(R, C) whether each of the named amounts stays below the node's cap."""
        all_amounts = self.hard_amounts if hard else self.strict_amounts
        caps = self.hard_caps if hard else self.strict_caps
        ok: Bools | None = None
        for name in names.split():
            if not hard and name in self.slack:
                continue
            below = all_amounts[name][rows, None] < caps[name][cols]
            ok = below if ok is None else ok & below
        return np.ones((len(rows), len(cols)), dtype=bool) if ok is None else ok

    def accepts_primary(self, rows: Ints, cols: Ints, forced: Bools) -> Bools:
        """(R, C) whether the target takes the instance as primary."""
        strict = self._below(rows, cols, False, "m ma d sp use v")
        if self.tagged:
            taken = (self.state.ptags[cols] > 0).T.astype(float)
            strict &= (self.has_tags[rows] @ taken) == 0
        if not forced.any():
            return strict
        hard = self._below(rows, cols, True, "m d sp")
        return np.where(forced[:, None], hard, strict)

    def accepts_secondary(self, rows: Ints, cols: Ints, reserve: Floats, forced: Bools) -> Bools:
        """(R, C) whether the target takes the secondary, reserving ``reserve`` for its peer."""
        umem = self.state.umem
        strict = self._below(rows, cols, False, "d sp use")
        planned = ~self.state.static.real[rows, None]
        strict &= planned | (reserve < np.where(self.fails, INF, umem)[cols])
        strict &= planned | (self.sm[rows, None] < umem[cols])
        strict &= self.state.static.sec_mem[rows, None] < self.state.umem_f[cols]
        if not forced.any():
            return strict
        hard = self._below(rows, cols, True, "d sp")
        return np.where(forced[:, None], hard, strict)

    def released(self, rows: Ints, p: Ints, s: Ints) -> Floats:
        """(R) memory the secondary ``s`` must reserve once the instance has left it."""
        peers, top = self.state.peers, self.worst[s]
        others = np.where(top == p, self.second[s], peers[s, top])
        return np.maximum(0, np.maximum(others, peers[s, p] - self.sm[rows]))
