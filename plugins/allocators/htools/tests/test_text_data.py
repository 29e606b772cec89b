"""The data file format, numbers in it and errors about it."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from balancing_clusters import random_text
from ganeti_allocators_htools.errors import LoadError, UsageError
from ganeti_allocators_htools.loaders import simulate, text
from ganeti_allocators_htools.numbers import (
    fixed,
    general,
    parse_float,
    parse_int,
    parse_unit,
    show_float,
)
from ganeti_allocators_htools.prepare import common_suffix, matches, prepare, select_group
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(0, 5000))
def test_writing_and_reading_again_changes_nothing(seed: int) -> None:
    once = text.format_cluster(text.parse(random_text(seed)))
    assert text.format_cluster(text.parse(once)) == once


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("|running|", "|blah|", 'Invalid string value for type InstanceStatus: "blah"'),
        ("|preferred|", "|foo|", 'Invalid string value for type AllocPolicy: "foo"'),
        ("|uuid-1|1|", "|uuid-9|1|", "Unknown group 'uuid-9' for node node0"),
        ("|512|", "|5.5|", "node0: cannot parse string '5.5'"),
        ("inst0|", "inst0|x", "inst0: cannot parse string 'x"),
        ("|512|", f"|{10**20}|", "node0: nmem is too large a number"),
        ("|512|", f"|{'9' * 5000}|", "node0: a number of 5000 characters, refused"),
    ],
)
def test_errors_name_what_is_wrong(old: str, new: str, message: str) -> None:
    with pytest.raises(LoadError) as caught:
        text.parse(random_text(1, alike=True).replace(old, new))
    assert str(caught.value).startswith(message)


def test_an_instance_without_nodes_is_refused() -> None:
    content = random_text(1, alike=True)
    line = next(line for line in content.split("\n") if line.startswith("inst0|"))
    cells = line.split("|")
    cells[6:8] = ["", ""]
    with pytest.raises(LoadError, match="Unknown node '' for instance inst0"):
        text.parse(content.replace(line, "|".join(cells)))


def test_a_states_quantities_are_written_as_the_inputs_are() -> None:
    cluster = text.parse(random_text(2))
    nodes = cluster.nodes
    floats = {"fdsk": nodes.fdsk.astype(float), "fspindles": nodes.fspindles.astype(float)}
    assert text.format_cluster(cluster, **floats) == text.format_cluster(cluster)


def test_a_master_that_is_offline_is_written_as_offline() -> None:
    cluster = text.parse(random_text(2))
    everywhere = np.ones(len(cluster.nodes), dtype=bool)
    nodes = replace(cluster.nodes, master=everywhere, offline=everywhere)
    again = text.parse(text.format_cluster(replace(cluster, nodes=nodes)))
    assert again.nodes.offline.all()


@pytest.mark.parametrize("lines", [0, 1, 3, 8])
def test_truncated_files_are_refused(lines: int) -> None:
    content = "\n".join(random_text(1).split("\n")[:lines])
    with pytest.raises(LoadError, match="sections instead of 4 or more"):
        text.parse(content)


@given(st.text(max_size=200))
def test_garbage_is_refused_or_read_but_never_crashes(garbage: str) -> None:
    content = random_text(2).replace("|running|", garbage, 1)
    with contextlib.suppress(LoadError):
        assert len(text.parse(content).nodes) == 5


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (0.125, 2, "0.12"), (0.375, 2, "0.38"), (32768.5, 0, "32768"), (32769.5, 0, "32770"),
        (1e-9, 3, "0.000"), (-0.5, 0, "-0"), (2.5e-8, 8, "0.00000002"), (999.9996, 3, "1000.000"),
        (1e22, 1, "10000000000000000000000.0"), (float("nan"), 4, "NaN"),
        (float("-inf"), 2, "-Infinity"),
    ],
)  # fmt: skip
def test_rounding_is_half_to_even_on_the_shortest_form(
    value: float, decimals: int, shown: str
) -> None:
    assert fixed(value, decimals) == shown


@given(st.floats(-1e12, 1e12), st.integers(0, 8))
def test_rounding_is_within_half_a_unit(value: float, decimals: int) -> None:
    assert abs(float(fixed(value, decimals)) - value) <= 0.5000001 * 10.0**-decimals + 1e-3


def test_floats_are_shown_as_upstream_does() -> None:
    shown = [show_float(value) for value in (1, 0.1, 0.01, 1e7, 12345.5, 1.25e-5)]
    assert shown == ["1.0", "0.1", "1.0e-2", "1.0e7", "12345.5", "1.25e-5"]
    assert [general(value) for value in (0.0, 40.907076, 4.275174e-3)] == [
        "0.000000", "40.907076", "4.275174e-3",
    ]  # fmt: skip


def test_numbers_are_read_as_upstream_does() -> None:
    assert [parse_int(word, "x") for word in ("5", "-5", "- 5", "0x10", "(7)")] == [
        5,
        -5,
        -5,
        16,
        7,
    ]
    assert parse_float("1e3", "x") == 1000.0
    for word in ("5.", ".5", "+5", "5x", ""):
        with pytest.raises(LoadError):
            parse_float(word, "x")


def test_units() -> None:
    assert [parse_unit(word) for word in ("7", "7m", "2g", "1T", "3GB", "2 gib")] == [
        7, 7, 2048, 953674, 2861, 2048,
    ]  # fmt: skip
    with pytest.raises(UsageError, match="Unknown unit 'gg'"):
        parse_unit("1gg")


def test_simulated_clusters() -> None:
    cluster = simulate.build(["preferred,2,10g,4g,8,3", "u,1,1024,1024,2"])
    assert [group.alloc_policy for group in cluster.groups] == ["preferred", "unallocable"]
    assert cluster.nodes.tdsk.tolist() == [10240, 10240, 1024]
    assert cluster.nodes.group.tolist() == [0, 0, 1]
    with pytest.raises(LoadError):
        simulate.build(["preferred,2"])


def test_names_are_shortened_and_found() -> None:
    assert common_suffix(["a.ex.com", "b.ex.com"]) == ".ex.com"
    assert common_suffix(["a.ex.com", "b.org"]) == ""
    assert matches("a.ex.com", "a.ex")
    assert not matches("a.ex.com", "a.e")


def test_group_selection_keeps_placement() -> None:
    content = random_text(4).replace(
        "uuid-1|preferred||", "uuid-1|preferred||\nx|uuid-2|preferred||"
    )
    content = content.replace("|8|N|uuid-1|1|zone:0", "|8|N|uuid-2|1|zone:0", 1)
    cluster = prepare(text.parse(content)).cluster
    part = select_group(cluster, 0)
    for number, name in enumerate(part.instances.name):
        whole = cluster.instances.index[name]
        primary = cluster.nodes.name[cluster.instances.pnode[whole]]
        assert part.nodes.name[part.instances.pnode[number]] == primary
