"""Graph colouring: always proper, never more colours than vertices, known graphs."""

from __future__ import annotations

from ganeti_allocators_htools import colouring
from hypothesis import given
from hypothesis import strategies as st

PAIRS = st.lists(
    st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda pair: pair[0] != pair[1]),
    max_size=40,
)


@given(PAIRS, st.booleans())
def test_neighbours_have_different_colours(pairs: list[tuple[int, int]], online: bool) -> None:
    graph = colouring.build_graph(12, pairs, pairs if online else [])
    for groups in colouring.colour_all(graph).values():
        colour = {vertex: number for number, group in enumerate(groups) for vertex in group}
        assert sorted(colour) == list(range(12))
        for vertex, others in enumerate(graph):
            assert all(colour[other] != colour[vertex] for other in others if other != vertex)


def test_pair_needs_two_colours() -> None:
    assert colouring.best(colouring.colour_all([[1], [0]])) == [[1], [0]]


def test_primaries_with_one_secondary_are_kept_apart() -> None:
    mirrored = [(0, 2), (1, 2)]
    assert len(colouring.best(colouring.colour_all(colouring.build_graph(3, mirrored)))) == 2
    graph = colouring.build_graph(3, mirrored, mirrored)
    assert len(colouring.best(colouring.colour_all(graph))) == 3


def test_summary_ranks_methods() -> None:
    results = {"LF": [[0], [1]], "Dsatur": [[0, 1]]}
    assert colouring.summary(results) == "Dsatur: 1 (2) LOOSE LF: 2 (1,1)"
