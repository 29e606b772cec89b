"""Whom a client asks, what counts as an answer, and when it is enough."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from ganeti_kernel.confd.codec import Signer
from ganeti_kernel.confd.exchange import ALL, Exchange, choose, family_of, needed, plain
from ganeti_kernel.errors import ConfdClientError

KEY = b"key\n"
PEERS = [f"192.0.2.{number}" for number in range(1, 8)]


def exchange(peers: list[str] = PEERS[:3], **more: Any) -> Exchange:
    given: dict[str, Any] = {"start": 100.0, "wall": 1.7e9, "rng": random.Random(1)}
    out = Exchange(Signer(KEY), peers, 3, None, **(given | more))
    out.due(100.0)
    return out


def reply(target: Exchange, answer: Any, *, serial: int = 1, status: int = 0, key: bytes = KEY,
          salt: str | None = None) -> bytes:  # fmt: skip
    inner = {"protocol": 1, "status": status, "answer": answer, "serial": serial}
    return Signer(key).pack(json.dumps(inner), target.salt if salt is None else salt)


@pytest.mark.parametrize(
    ("sent", "enough"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4), (10, 6)]
)
def test_how_many_replies_are_enough(sent: int, enough: int) -> None:
    assert needed(sent) == enough


@pytest.mark.parametrize(("coverage", "asked"), [(0, 6), (ALL, 7), (1, 1), (7, 7)])
def test_coverage(coverage: int, asked: int) -> None:
    chosen = choose(PEERS, coverage, random.Random(1))
    assert len(chosen) == len(set(chosen)) == asked
    assert set(chosen) <= set(PEERS)


@pytest.mark.parametrize("coverage", [8, -2])
def test_impossible_coverage(coverage: int) -> None:
    with pytest.raises(ConfdClientError, match="there are 7"):
        choose(PEERS, coverage, random.Random(1))


def test_peers_are_of_one_family() -> None:
    assert family_of(["192.0.2.1"]) == 4
    assert family_of(["2001:db8::1"]) == 6
    for wrong in ([], ["192.0.2.1", "::1"], ["node1"]):
        with pytest.raises(ConfdClientError):
            family_of(wrong)


def test_addresses_are_compared_in_one_form() -> None:
    assert plain("::ffff:192.0.2.1") == "192.0.2.1"
    assert plain("2001:DB8:0::1") == "2001:db8::1"
    assert plain("fe80::1%eth0") == "fe80::1"


def test_every_question_has_its_own_salt() -> None:
    assert exchange().salt != exchange().salt


def test_enough_replies_complete_it() -> None:
    asked = exchange()
    for peer in PEERS[:2]:
        assert not asked.complete
        assert asked.receive(reply(asked, "a"), peer, 100.1) is not None
    assert asked.complete
    result = asked.result(100.2)
    assert (result.answer, result.asked, result.answered, result.consistent) == ("a", 3, 2, True)


def test_the_highest_serial_wins_whatever_the_order() -> None:
    for order in ([(1, "old"), (2, "new")], [(2, "new"), (1, "old")]):
        asked = exchange()
        for peer, (serial, answer) in zip(PEERS, order, strict=False):
            asked.receive(reply(asked, answer, serial=serial), peer, 100.1)
        assert asked.result(101).answer == "new"
        assert asked.result(101).consistent


def test_an_answer_beats_an_error() -> None:
    asked = exchange()
    asked.receive(reply(asked, 2, status=1, serial=9), PEERS[0], 100.1)
    asked.receive(reply(asked, "yes", serial=1), PEERS[1], 100.1)
    assert asked.result(101).answer == "yes"


def test_different_answers_of_one_serial_are_inconsistent() -> None:
    asked = exchange()
    asked.receive(reply(asked, "a"), PEERS[0], 100.1)
    asked.receive(reply(asked, "b"), PEERS[1], 100.1)
    assert not asked.result(101).consistent
    assert asked.result(101).answer == "a"


@pytest.mark.parametrize(
    ("why", "change", "sender"),
    [
        ("its signature is wrong", {"key": b"other"}, PEERS[0]),
        ("it answers another question", {"salt": "x"}, PEERS[0]),
        ("it was not asked", {}, "198.51.100.1"),
    ],
)
def test_what_is_ignored_and_why(why: str, change: dict[str, Any], sender: str) -> None:
    asked = exchange()
    assert asked.receive(reply(asked, "a", **change), sender, 100.1) is None
    assert asked.trace[-1].what == "ignored"
    assert why in asked.trace[-1].detail
    with pytest.raises(ConfdClientError, match="no answer to request type 3"):
        asked.result(110)


def test_noise_is_ignored() -> None:
    asked = exchange()
    for noise in (b"", b"plj1", b"plj0{}", reply(asked, "a")[:-3]):
        assert asked.receive(noise, PEERS[0], 100.1) is None


def test_a_peer_counts_once() -> None:
    asked = exchange()
    asked.receive(reply(asked, "a"), PEERS[0], 100.1)
    asked.receive(reply(asked, "a"), PEERS[0], 100.2)
    assert not asked.complete
    assert "has answered already" in asked.trace[-1].detail


def test_silent_peers_are_asked_again_ever_more_rarely() -> None:
    asked = exchange()
    asked.receive(reply(asked, "a"), PEERS[0], 100.1)
    assert asked.due(100.2) == []
    assert sorted(asked.due(100.5)) == PEERS[1:3]
    assert asked.due(101.0) == []
    assert sorted(asked.due(101.5)) == PEERS[1:3]


def test_waiting_ends_with_the_question() -> None:
    asked = exchange(expire=1.0)
    assert asked.wait(100.1) == pytest.approx(0.3)
    asked.due(100.9)
    assert asked.wait(100.95) == pytest.approx(0.05)
    assert asked.wait(102) == 0


def test_a_question_that_is_too_large() -> None:
    with pytest.raises(ConfdClientError, match="ask for less at once"):
        Exchange(Signer(KEY), PEERS, 2, {"2": ["192.0.2.1"] * 6000}, start=0, wall=0)


def test_a_trace_line_tells_who_and_what() -> None:
    asked = exchange(peers=PEERS[:1])
    asked.receive(reply(asked, "a", serial=42), PEERS[0], 100.0125)
    lines = [str(event) for event in asked.trace]
    assert "sent" in lines[0]
    assert PEERS[0] in lines[0]
    assert "12.500 ms" in lines[1]
    assert "serial 42" in lines[1]


def test_a_silent_peer_is_not_waited_for_when_there_is_an_answer() -> None:
    asked = exchange(PEERS[:2], expire=10.0, settle=0.1)
    asked.receive(reply(asked, "wrong", status=1), PEERS[0], 101.0)
    assert asked.expires == 110.0  # an error is no answer yet
    answered = exchange(PEERS[:2], expire=10.0, settle=0.1)
    answered.receive(reply(answered, "node1"), PEERS[0], 101.0)
    assert answered.expires == pytest.approx(101.1)
    assert not answered.complete
    assert answered.result(101.1).answer == "node1"
