"""Who may be master, by what the nodes say."""

from __future__ import annotations

import itertools

import pytest

from ganeti_kernel.config.replica import Position, Record
from ganeti_kernel.rpc import voting
from ganeti_kernel.rpc.results import MasterState

IN_STEP = Record(0, 1, ["n1", "n2", "n3"])


def state(
    master: str = "n1",
    epoch: int = 0,
    serial: int = 5,
    revision: int = 9,
    record: Record = IN_STEP,
    problem: str = "",
) -> MasterState:
    return MasterState(
        master=master,
        epoch=epoch,
        serial=serial,
        position=Position(epoch, revision),
        record=record,
        problem=problem,
    )


def test_a_master_starts_when_at_least_half_of_the_nodes_answer() -> None:
    assert voting.refusal({}, "n1", 0) is None
    assert voting.refusal({"n2": None}, "n1", 0) is None
    assert voting.refusal({"n2": None, "n3": state()}, "n1", 0) is None
    refused = voting.refusal({"n2": None, "n3": None}, "n1", 0)
    assert refused is not None
    assert refused[1], "waiting may help"
    assert "only 1 of 3 nodes answer (silent: n2, n3)" in refused[0]


def test_a_master_that_was_replaced_does_not_start() -> None:
    refused = voting.refusal({"n2": state("n2", epoch=4), "n3": None}, "n1", 3)
    assert refused == (
        "this master was replaced by n2: node n2 obeys epoch 4, and this master's is 3; jobs and "
        "changes go there now",
        False,
    )
    refused = voting.refusal({"n2": state("n2"), "n3": state("n2")}, "n1", 0)
    assert refused == ("2 nodes say that the master is n2, 1 that it is n1", False)


def test_two_masters_cannot_both_have_enough_nodes() -> None:
    for total in range(2, 12):
        for with_old in range(1, total):
            rest = total - with_old
            old_goes_on = not voting.cut_off(with_old, total)
            states = {f"n{n}": state() if n < rest else None for n in range(total)}
            elected = not voting.candidate_problems(states, "n0", "n1")
            assert not (old_goes_on and elected)


def test_a_candidate_needs_more_than_half_and_the_same_idea_of_the_old_master() -> None:
    states = {"n1": None, "n2": state(), "n3": state(), "n4": None}
    (problem,) = voting.candidate_problems(states, "n2", "n1")
    assert problem == ("only 2 of 4 nodes answer, more than half are needed (silent: n1, n4)")
    assert voting.candidate_problems(states | {"n4": state()}, "n2", "n1") == []
    states = {"n1": state("n3"), "n2": state(), "n3": state("n3")}
    (problem,) = voting.candidate_problems(states, "n2", "n1")
    assert problem == "2 of 3 nodes say that the master is n3, but node n2 takes n1 for it"


@pytest.mark.parametrize(
    ("own", "other", "text"),
    [
        (state(serial=4), state(), "node n3 has configuration 5, node n2 only 4"),
        (
            state(revision=8),
            state(),
            "node n3 has a newer copy of the master's state (epoch 0, revision 9) than node n2 "
            "(0, 8)",
        ),
        (
            state(),
            state(record=Record(0, 2, ["n1", "n3"])),
            "the copy on node n2 was left behind; complete ones are on: n1, n3",
        ),
        (state(problem="torn"), state(revision=0), "the copy on node n2 is not usable: torn"),
        (
            MasterState(master="n1", epoch=0, serial=5, record=IN_STEP),
            state(revision=0),
            "node n2 has no complete copy of the master's state",
        ),
    ],
)
def test_a_stale_candidate_is_named_with_numbers(
    own: MasterState, other: MasterState, text: str
) -> None:
    assert text in voting.staleness({"n2": own, "n3": other, "n1": None}, "n2")


def test_an_up_to_date_candidate_is_not_stale() -> None:
    assert voting.staleness({"n2": state(), "n3": state(revision=3), "n1": None}, "n2") == []


def test_the_next_epoch_is_above_all_that_was_obeyed() -> None:
    for epochs in itertools.permutations((0, 3, 7)):
        states = {f"n{n}": state(epoch=epoch) for n, epoch in enumerate(epochs)}
        assert voting.next_epoch(states | {"gone": None}) == 8
