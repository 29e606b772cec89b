"""Which nodes may be rebooted together: a graph of nodes and three ways to colour it.

Vertices are numbered 0..n-1; an adjacency is one list of neighbours per vertex, in which a
neighbour appears once for every instance the two share and a vertex may be its own neighbour.
Repetitions count towards a vertex's degree, as in upstream's hroller 3.0, whose choices (greedy
colours, ties to the higher number) these functions reproduce.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

Adjacency = Sequence[Sequence[int]]
Colouring = list[int]


def build_graph(
    count: int, pairs: Sequence[tuple[int, int]], online: Sequence[tuple[int, int]] = ()
) -> list[list[int]]:
    """Adjacency of ``count`` nodes from each mirrored instance's (primary, secondary).

    For instances to be migrated, ``online``, two primaries with one secondary are neighbours as
    well: migrating both off at once would put all of their instances on that node, which need not
    be among the vertices.
    """
    adjacency: list[list[int]] = [[] for _ in range(count)]
    seen: list[set[int]] = [set() for _ in range(count)]
    for primary, secondary in pairs:
        adjacency[primary].append(secondary)
        adjacency[secondary].append(primary)
        seen[primary].add(secondary)
        seen[secondary].add(primary)
    for primaries in _primaries_by_secondary(online):
        for vertex in primaries:
            fresh = [other for other in primaries if other not in seen[vertex]]
            adjacency[vertex].extend(fresh)
            seen[vertex].update(fresh)
    for neighbours in adjacency:
        neighbours.reverse()
    return adjacency


def _primaries_by_secondary(pairs: Sequence[tuple[int, int]]) -> Iterable[list[int]]:
    """Distinct primaries of each secondary, last instance first, by secondary's number."""
    table: dict[int, dict[int, None]] = {}
    for primary, secondary in reversed(pairs):
        table.setdefault(secondary, {})[primary] = None
    return (list(table[secondary]) for secondary in sorted(table))


def _first_free(vertex: int, adjacency: Adjacency, colours: Colouring) -> int:
    used = {colours[other] for other in adjacency[vertex]}
    colour = 0
    while colour in used:
        colour += 1
    return colour


def largest_first(adjacency: Adjacency) -> Colouring:
    """Colour vertices in order of falling degree."""
    colours = [-1] * len(adjacency)
    for vertex in sorted(range(len(adjacency)), key=lambda v: (-len(adjacency[v]), -v)):
        colours[vertex] = _first_free(vertex, adjacency, colours)
    return colours


def _most_constrained_first(
    adjacency: Adjacency, constraint: Callable[[int, int, list[set[int]]], int]
) -> Colouring:
    """Colour next the vertex with the largest constraint, then degree.

    ``constraint(old, colour, seen)`` gives a neighbour's new value once one more of its
    neighbours has ``colour``; values only grow, so stale heap entries can be skipped.
    """
    count = len(adjacency)
    colours = [-1] * count
    values = [0] * count
    seen: list[set[int]] = [set() for _ in range(count)]
    heap = [(0, -len(adjacency[v]), -v) for v in range(count)]
    heapq.heapify(heap)
    while heap:
        value, _, negated = heapq.heappop(heap)
        vertex = -negated
        if colours[vertex] >= 0 or -value != values[vertex]:
            continue
        colour = _first_free(vertex, adjacency, colours)
        colours[vertex] = colour
        for other in adjacency[vertex]:
            if colours[other] >= 0:
                continue
            fresh = constraint(values[other], colour, seen[other : other + 1])
            if fresh != values[other]:
                values[other] = fresh
                heapq.heappush(heap, (-fresh, -len(adjacency[other]), -other))
    return colours


def by_saturation(adjacency: Adjacency) -> Colouring:
    """DSatur: most distinct colours among neighbours first."""

    def distinct(_old: int, colour: int, seen: list[set[int]]) -> int:
        seen[0].add(colour)
        return len(seen[0])

    return _most_constrained_first(adjacency, distinct)


def by_coloured_degree(adjacency: Adjacency) -> Colouring:
    """Most coloured neighbours first, each counted as often as it appears."""
    return _most_constrained_first(adjacency, lambda old, _colour, _seen: old + 1)


#: In order of preference among results with equally many colours.
METHODS: dict[str, Callable[[Adjacency], Colouring]] = {
    "LF": largest_first,
    "Dsatur": by_saturation,
    "Dcolor": by_coloured_degree,
}


def classes(colours: Colouring) -> list[list[int]]:
    """Vertices of each colour, by colour."""
    result: list[list[int]] = [[] for _ in range(max(colours, default=-1) + 1)]
    for vertex, colour in enumerate(colours):
        result[colour].append(vertex)
    return result


def colour_all(adjacency: Adjacency) -> dict[str, list[list[int]]]:
    """Every method's classes, by method name."""
    return {name: classes(method(adjacency)) for name, method in METHODS.items()}


def best(results: dict[str, list[list[int]]]) -> list[list[int]]:
    """The classes of the method that needs the fewest colours."""
    return min(results.values(), key=len)


def summary(results: dict[str, list[list[int]]]) -> str:
    """One line that compares the methods: ``Dcolor: 3 (2,4,2) TIE LF: 3 (…) LOOSE …``."""
    ranked = sorted(results.items(), key=lambda item: (len(item[1]), item[0]))
    text = ""
    for position, (name, groups) in enumerate(ranked):
        if position:
            text += " TIE " if len(groups) == len(ranked[position - 1][1]) else " LOOSE "
        text += f"{name}: {len(groups)} ({','.join(str(len(group)) for group in groups)})"
    return text
