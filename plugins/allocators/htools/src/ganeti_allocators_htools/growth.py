"""How many more instances fit: the same size over and over, or shrinking from the largest.

Every step is `allocation.allocate` on the state the last one left. The tiered form makes the size
smaller in the resource that failed most, one unit at a time, and jumps where single units lead
nowhere; both as upstream's hspace (release 3.0) does it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from .allocation import Outcome, allocate
from .capacity import Site
from .limits import CODE, FAILURES, Request, Sizes, primary_codes
from .model import Bools, Ints
from .placing import with_instances
from .shrinking import UNIT, blocks, shrinking, shrunk, steps
from .state import State


@dataclass(frozen=True)
class Growth:
    """A state with what was allocated to get there, in order, and why it went no further."""

    state: State
    placed: tuple[tuple[Request, tuple[int, ...]], ...] = ()
    outcome: Outcome = field(default_factory=Outcome)
    skipped: bool = False
    """Nothing was tried."""


@dataclass(frozen=True)
class Field:
    """Where to allocate: ``nodes`` by number, and whose failure must stay bearable."""

    nodes: Ints
    watched: Bools


class Grower:
    """Allocates on a field; ``limit`` caps the instances (negative: no cap).

    If ``checked`` every node must stay dispensable. As in upstream this does not hold for filling
    up with mirrored instances, but for the jumps to smaller sizes of these.
    """

    def __init__(self, field: Field, *, checked: bool, limit: int = -1) -> None:
        self.nodes = field.nodes
        self.watched = field.watched
        self.checked = checked
        self.limit = limit
        self.latest: Site
        """The site the last check was made on."""

    def standard(self, start: State, request: Request) -> Growth:
        """As many instances of this size as fit."""
        return self.fill(Growth(start), self.site(start), request, self.limit)

    def site(self, state: State) -> Site:
        return Site.of(state, self.watched)

    def fill(self, start: Growth, site: Site, request: Request, limit: int) -> Growth:
        """As many of one size as fit; ``site`` is that of the start and is not changed."""
        placed = list(start.placed)
        checked = self.checked and request.template != "drbd"
        number = spare = margin = 0
        batch = 1
        outcome = Outcome()
        while True:
            if not spare:
                outcome = self.attempt(site, request, None, checked)
                if outcome.best is None:
                    return Growth(site.state, tuple(placed), outcome)
                number = len(site.state.static.cluster.instances)
                state = with_instances(site.state, [request] * batch)
                site = self.site(state)
                spare, batch = batch, min(batch * 4, 1024)
            if checked and not margin:
                margin = site.margin(request)
            unsure = checked and not margin
            outcome = self.attempt(site, request, number, unsure)
            # the failures told are those of an attempt more than the limit allows
            if outcome.best is None or len(placed) - len(start.placed) == limit:
                return Growth(site.state, tuple(placed), outcome)
            where = outcome.best.nodes
            if unsure:
                site = self.latest  # the check has placed it already
            else:
                site.place(number, where)
                margin -= 1
            placed.append((replace(request, name=f"new-{len(placed)}"), where))
            number, spare = number + 1, spare - 1

    def attempt(self, site: Site, request: Request, number: int | None, checked: bool) -> Outcome:
        """One allocation. With the ``number`` of the request among the instances only places that
        keep the site redundant are good; without it some of these may be among the good ones."""
        if not checked:
            return allocate(site.state, request, self.nodes)
        refused: Bools | None = None
        hopeless: frozenset[int] | None = None
        if request.template != "drbd" and number is None:
            refused = site.refuses(request.sizes, self.nodes)[0]

        def check(nodes: tuple[int, ...]) -> bool:
            nonlocal hopeless
            if number is None:
                return True
            if hopeless is not None and nodes[0] in hopeless:
                return False
            trial = site.copy()
            trial.place(number, nodes)
            self.latest = trial
            safe = trial.redundant()
            if not safe and hopeless is None and len(nodes) == 1:
                # one failed: spare the others that surely will the exact look
                lost = site.refuses(request.sizes, self.nodes)[0]
                hopeless = frozenset(self.nodes[lost].tolist())
            return safe

        return allocate(site.state, request, self.nodes, check=check, refused=refused)

    def tiered(self, start: State, request: Request) -> Growth:
        """As many as fit of ever smaller sizes."""
        with _deep_recursion():
            return _Tiers(self).grow(Growth(start), request, self.limit)


@contextmanager
def _deep_recursion() -> Iterator[None]:
    """Sizes shrink by a unit per level; a level is a plain Python frame."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 200_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class _Tiers:
    """The search for the next smaller size that leads on; remembers what was tried on a state."""

    def __init__(self, grower: Grower) -> None:
        self.grower = grower
        self.tried: dict[tuple[int, Request], Outcome] = {}
        self.sites: dict[int, Site] = {}

    def grow(self, start: Growth, request: Request, limit: int) -> Growth:
        here = self.grower.fill(start, self._site(start), request, limit)
        if limit >= 0:
            if limit <= len(here.placed):
                return here
            limit -= len(here.placed)
        order = sorted(
            FAILURES, key=lambda name: (here.outcome.failures[name], FAILURES.index(name))
        )
        if steps(request, order[-1]):
            further = self.grow(here, shrunk(request, order[-1], 1), limit)
            if len(further.placed) > len(here.placed):
                return further
        for failure in reversed(order):
            jump = self._suffices(here, request, failure)
            if jump is not None:
                return self.grow(here, jump, limit)
        return here

    def _suffices(self, here: Growth, request: Request, failure: str) -> Request | None:
        """The largest size, shrunk in one resource, for which there is a place."""
        if failure not in UNIT or not here.outcome.failures[failure]:
            return None
        if self.grower.checked and self._site(here).estimate()[1].any():
            return None  # a smaller size cannot bring redundancy back
        for block in blocks(request, failure):
            open_to, failed = self._look(here, shrinking(request, failure, block), failure)
            for index in np.flatnonzero(open_to | ~failed).tolist():
                if not open_to[index]:
                    return None
                smaller = shrunk(request, failure, block[index])
                outcome = self._outcome(here, smaller)
                if outcome.best is not None:
                    return smaller
                if not outcome.failures[failure]:
                    return None
        return None

    def _look(self, here: Growth, sizes: Sizes, failure: str) -> tuple[Bools, Bools]:
        """Per size whether a node may be open to it, and whether one refuses for ``failure``."""
        nodes = self.grower.nodes
        drbd = sizes.request.template == "drbd"
        if drbd:
            group = here.state.static.cluster.nodes.group[nodes]
            nodes = nodes[np.bincount(group)[group] > 1]
        codes = primary_codes(here.state, sizes)[:, nodes]
        open_to = codes == 0
        if self.grower.checked and not drbd and open_to.any():
            open_to &= ~self._site(here).refuses(sizes, nodes)
        return open_to.any(axis=1), (codes == CODE[failure]).any(axis=1)

    def _site(self, here: Growth) -> Site:
        count = len(here.placed)
        if count not in self.sites:
            self.sites = {count: self.grower.site(here.state)}
        return self.sites[count]

    def _outcome(self, here: Growth, request: Request) -> Outcome:
        key = (len(here.placed), request)
        if key not in self.tried:
            site = self._site(here)
            checked = self.grower.checked
            outcome = self.grower.attempt(site, request, None, checked)
            if outcome.best is not None and checked:
                number = len(here.state.static.cluster.instances)
                site = self.grower.site(with_instances(here.state, [request]))
                outcome = self.grower.attempt(site, request, number, checked)
            self.tried[key] = outcome
        return self.tried[key]
