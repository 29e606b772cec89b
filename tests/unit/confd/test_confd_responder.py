"""One datagram, one reply: who is answered, who is not, and with what."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganeti_kernel.confd import responder as responder_module
from ganeti_kernel.confd.codec import MAX_DATAGRAM, Signer
from ganeti_kernel.confd.responder import Responder
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import Description, PluginContext, hookimpl
from ganeti_kernel.specs.confd_query import Answer, BadQuery, ConfdQuery, ok
from ganeti_kernel.testing.confd_peer import KEY, Reply, pack, request, unpack
from ganeti_kernel.testing.confd_query import make_view

NOW = 1_700_000_000


class Echo(ConfdQuery):
    """Answers with the query, or fails as told."""

    NUMBER = 1000
    asked = 0

    @hookimpl
    def describe(self) -> Description:
        return Description(name="echo", version="1", summary="the query")

    @hookimpl
    def answer(self, view: ConfigView, query: Any) -> Answer:
        self.asked += 1
        if query == "bad":
            raise BadQuery("it is bad")
        if query == "crash":
            raise ZeroDivisionError
        if query == "no json":
            return ok(object(), 1)
        if isinstance(query, int):
            return ok("x" * query, 1)
        return ok(query, view.cluster.serial_no)


@pytest.fixture
def echo() -> Echo:
    return Echo(PluginContext(paths=Paths()))


@pytest.fixture
def answering(echo: Echo) -> Responder:
    out = Responder(KEY, {1000: echo}, clock=lambda: NOW)
    out.port = 1814
    out.serve(make_view())
    return out


def sign(message: str, salt: object = NOW) -> bytes:
    return pack(KEY, message, salt=str(salt))


def ask(answering: Responder, message: str, salt: object = NOW) -> Reply | None:
    reply = answering.reply(sign(message, salt))
    return None if reply is None else unpack(KEY, reply)[1]


def question(query: Any, number: int = 1000) -> str:
    return json.dumps({"protocol": 1, "type": number, "query": query, "rsalt": "r"})


def test_a_question_is_answered(answering: Responder) -> None:
    assert ask(answering, question({"a": [1]})) == (0, {"a": [1]}, 7)
    assert answering.counters.get("answer:other:ok") == 1


def test_the_reply_carries_the_reply_salt_verbatim(answering: Responder) -> None:
    for salt in ("", 'é\n"\\', "x" * 500):
        message = json.dumps({"protocol": 1, "type": 1000, "rsalt": salt})
        reply = answering.reply(sign(message))
        assert reply is not None
        assert unpack(KEY, reply)[0] == salt


@pytest.mark.parametrize(
    ("offset", "answered"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)]
)
def test_how_stale_a_request_may_be(answering: Responder, offset: int, answered: bool) -> None:
    assert (ask(answering, question(1), NOW + offset) is not None) is answered
    assert answering.counters.get("reject:stale") == (0 if answered else 1)


def test_the_original_designs_limit_is_a_setting(echo: Echo) -> None:
    strict = Responder(KEY, {1000: echo}, max_skew=150, clock=lambda: NOW)
    strict.serve(make_view())
    assert ask(strict, question(1), NOW - 150) is not None
    assert ask(strict, question(1), NOW - 151) is None


@pytest.mark.parametrize(
    ("reason", "datagram"),
    [
        ("magic", b""),
        ("magic", b"plj"),
        ("magic", b"plj1{}"),
        ("malformed", b"plj0"),
        ("malformed", b"plj0{}"),
        ("malformed", b"plj0\xff\xfe"),
        ("malformed", b'plj0{"msg":1,"salt":"1","hmac":"x"}'),
        ("malformed", b"plj0" + b"[" * 50_000),
        ("malformed", sign("{}")[:-1]),
        ("malformed", sign(question(1), "abc")),
        ("malformed", sign(question(1), "9" * 5000)),
        ("malformed", sign("no json")),
        ("malformed", sign("[]")),
        ("malformed", sign('{"protocol":1,"type":1000}')),
        ("malformed", sign('{"protocol":1,"type":1000,"rsalt":5}')),
        ("signature", pack(b"another key", question(1), salt=str(NOW))),
        ("signature", pack(KEY, question(1), salt=str(NOW), signature="é" * 40)),
        ("signature", pack(KEY, question(1), salt=str(NOW), signature="")),
    ],
)
def test_who_stays_unanswered(answering: Responder, reason: str, datagram: bytes) -> None:
    assert answering.reply(datagram) is None
    assert answering.counters.get(f"reject:{reason}") == 1


def test_more_members_and_blanks_are_taken(answering: Responder) -> None:
    message = json.dumps(json.loads(question("x")) | {"more": [1]}) + " \n"
    envelope = json.loads(sign(message)[4:]) | {"also": None}
    datagram = b"plj0 \n" + json.dumps(envelope, indent=1).encode() + b"\n"
    assert answering.reply(datagram) is not None


def test_an_upper_case_signature_is_taken(answering: Responder) -> None:
    mac = hmac.new(KEY, f"{NOW}{question(1)}".encode(), hashlib.sha1).hexdigest().upper()
    assert answering.reply(pack(KEY, question(1), salt=str(NOW), signature=mac)) is not None


def test_a_changed_datagram_is_not_answered(answering: Responder) -> None:
    good = bytearray(sign(question("hello")))
    index = good.index(b"hello")
    good[index] ^= 1
    assert answering.reply(bytes(good)) is None


def test_an_unknown_type_is_told_so(answering: Responder) -> None:
    reply = ask(answering, question(None, 99))
    assert reply is not None
    assert (reply.status, reply.serial) == (2, 0)
    assert reply.answer["text"] == "request type 99 is not installed here (installed: 1000)"
    assert answering.counters.get("answer:other:not_implemented") == 1


def test_a_signed_request_that_is_none_is_told_so(answering: Responder) -> None:
    for message in ('{"type":"1","protocol":1,"rsalt":"r"}', '{"type":1000,"rsalt":"r"}'):
        reply = ask(answering, message)
        assert reply is not None
        assert reply.status == 1
        assert reply.answer["code"] == 2
        assert reply.answer["text"].startswith("bad request: ")


def test_a_bad_query_is_told_so(answering: Responder) -> None:
    assert ask(answering, question("bad")) == (1, {"code": 2, "text": "it is bad"}, 0)


@pytest.mark.parametrize("query", ["crash", "no json"])
def test_a_plugins_defect_is_an_internal_error(
    answering: Responder, query: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        reply = ask(answering, question(query))
    assert reply is not None
    assert (reply.status, reply.answer["code"]) == (1, 1)
    assert "request type 1000 failed" in caplog.text
    assert answering.counters.get("plugin_failures") == 1


def test_too_large_says_how_large_and_where(answering: Responder) -> None:
    reply = ask(answering, question(MAX_DATAGRAM))
    assert reply is not None
    assert (reply.status, reply.serial) == (1, 0)
    answer = dict(reply.answer)
    assert "by TCP to port 1814" in answer.pop("text")
    size = answer.pop("size")
    assert answer == {"code": 1, "limit": MAX_DATAGRAM, "transport": "tcp", "port": 1814}
    whole = answering.reply(sign(question(MAX_DATAGRAM)), limit=10**9)
    assert whole is not None
    assert size == len(whole) > MAX_DATAGRAM


def test_the_limit_is_met_to_the_byte(answering: Responder) -> None:
    overhead = len(answering.reply(sign(question(1))) or b"") - 1
    fits = answering.reply(sign(question(MAX_DATAGRAM - overhead)))
    assert fits is not None
    assert len(fits) == MAX_DATAGRAM
    assert ask(answering, question(MAX_DATAGRAM - overhead + 1)) is not None
    assert answering.counters.get("too_large") == 1


def test_the_largest_request_of_a_client_is_taken(answering: Responder) -> None:
    base = len(sign(question("")))
    datagram = sign(question("x" * (MAX_DATAGRAM - base)))
    assert len(datagram) == MAX_DATAGRAM
    assert answering.reply(datagram) is not None


def test_answers_are_computed_once_per_view(answering: Responder, echo: Echo) -> None:
    for _ in range(5):
        ask(answering, question("same"))
    assert echo.asked == 1
    answering.serve(make_view(serial=8))
    assert ask(answering, question("same")) == (0, "same", 8)
    assert echo.asked == 2


def test_kept_answers_are_bounded(answering: Responder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder_module, "MAX_KEPT", 10)
    for number in range(50):
        ask(answering, question(f"q{number}"))
        assert len(answering._snapshot.kept) <= 10


def test_kept_bytes_are_bounded(answering: Responder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder_module, "MAX_KEPT_BYTES", 10_000)
    for size in range(100, 140):
        ask(answering, question(size))
        assert sum(len(kept[0]) for kept in answering._snapshot.kept.values()) <= 10_000


def test_before_anything_is_loaded(echo: Echo) -> None:
    early = Responder(KEY, {1000: echo}, clock=lambda: NOW)
    reply = ask(early, question(1))
    assert reply == (1, "the configuration is not loaded yet", 0)
    early.serve(make_view())
    assert ask(early, question("x")) == (0, "x", 7)


def test_a_new_key_replaces_the_old_one(answering: Responder) -> None:
    answering.change_key(b"new key\n")
    assert answering.reply(sign(question(1))) is None
    assert answering.reply(pack(b"new key\n", question(1), salt=str(NOW))) is not None


def test_types_come_and_go(answering: Responder, echo: Echo) -> None:
    ask(answering, question("x"))
    answering.use({})
    gone = ask(answering, question("x"))
    assert gone is not None
    assert gone.status == 2
    answering.use({1000: echo})
    assert ask(answering, question("x")) == (0, "x", 7)


@given(key=st.binary(min_size=1, max_size=200), data=st.binary(max_size=300))
def test_signatures_are_hmac_sha1(key: bytes, data: bytes) -> None:
    assert Signer(key).sign(data) == hmac.new(key, data, hashlib.sha1).hexdigest()


@given(datagram=st.binary(max_size=300) | st.binary(max_size=200).map(lambda tail: b"plj0" + tail))
def test_noise_is_never_answered(datagram: bytes) -> None:
    assert Responder(KEY, {}, clock=lambda: NOW).reply(datagram) is None


def test_the_request_of_the_kit_is_the_protocols() -> None:
    datagram = request(KEY, 5, "q", "salt")
    assert datagram.startswith(b'plj0{"msg": "{\\"protocol\\": 1, \\"type\\": 5')
