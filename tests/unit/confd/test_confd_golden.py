"""Replies recorded from upstream 3.0.2 and ours on the same configuration, side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.confd.codec import Signer, decode_reply, decode_request
from ganeti_kernel.confd.responder import Responder
from ganeti_kernel.config import datafile
from ganeti_kernel.objects.secrets import HIDDEN, SecretRules
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.specs.confd_query import (
    ERROR_ARGUMENT,
    STATUS_ERROR,
    STATUS_NOT_IMPLEMENTED,
    STATUS_OK,
)

DATA = Path(__file__).parents[2] / "data"
KEY = (DATA / "confd/hmac.key").read_bytes()
CAPTURES = {item["name"]: item for item in json.loads((DATA / "confd/captures.json").read_text())}

TAKEN_AT = 1795518404.0
"""A moment at which all recorded requests but the stale ones are fresh."""

UNORDERED = {4, 5, 6}
"""Request types whose lists upstream leaves unordered."""

ANSWERED_BY_US = {
    "cluster_master_fields": STATUS_OK,
    "unknown_type_99": STATUS_NOT_IMPLEMENTED,
    "unknown_type_neg": STATUS_NOT_IMPLEMENTED,
}
"""Well-signed requests to which upstream stays silent."""

SECRETS_HIDDEN = {"config_query_instances"}


def responder(rules: SecretRules | None = None) -> Responder:
    good, broken = Registry(PluginContext(paths=Paths())).load_all("confd_query")
    assert broken == []
    out = Responder(KEY, {query.NUMBER: query for query in good.values()}, clock=lambda: TAKEN_AT)
    data = (DATA / "config/config.data.rich1.json").read_bytes()
    out.serve(datafile.parse(data, secrets=rules))
    return out


def inner(datagram: bytes) -> tuple[str, Any]:
    envelope = Signer(KEY).unpack(datagram)
    return envelope.salt, decode_reply(envelope.msg)


def normal(number: int, answer: Any) -> Any:
    if number in UNORDERED and isinstance(answer, list):
        return sorted(answer)
    if number == 8 and isinstance(answer, list):
        return [sorted(group, key=lambda inst: str(inst["uuid"])) for group in answer]
    return answer


def question(name: str) -> Any:
    return decode_request(Signer(KEY).unpack(bytes.fromhex(CAPTURES[name]["request_hex"])).msg)


@pytest.mark.parametrize("name", [name for name, item in CAPTURES.items() if item["reply_hex"]])
def test_same_status_answer_and_serial_as_upstream(name: str) -> None:
    reply = responder().reply(bytes.fromhex(CAPTURES[name]["request_hex"]))
    if name in SECRETS_HIDDEN:
        reply = responder(SecretRules(shown=True)).reply(
            bytes.fromhex(CAPTURES[name]["request_hex"])
        )
    assert reply is not None
    our_salt, ours = inner(reply)
    their_salt, theirs = inner(bytes.fromhex(CAPTURES[name]["reply_hex"]))
    number = question(name).type
    assert our_salt == their_salt
    assert (ours.protocol, ours.status, ours.serial) == (
        theirs.protocol,
        theirs.status,
        theirs.serial,
    )
    assert normal(number, ours.answer) == normal(number, theirs.answer)


@pytest.mark.parametrize("name", [name for name, item in CAPTURES.items() if not item["reply_hex"]])
def test_where_upstream_is_silent(name: str) -> None:
    reply = responder().reply(bytes.fromhex(CAPTURES[name]["request_hex"]))
    if name not in ANSWERED_BY_US:
        assert reply is None
        return
    assert reply is not None
    salt, ours = inner(reply)
    assert salt == question(name).rsalt
    assert ours.status == ANSWERED_BY_US[name]
    if ours.status != STATUS_OK:
        assert ours.answer["code"] == ERROR_ARGUMENT
        assert "not installed" in ours.answer["text"]


def test_field_numbers_as_strings_get_the_fields() -> None:
    reply = responder().reply(bytes.fromhex(CAPTURES["cluster_master_fields"]["request_hex"]))
    assert reply is not None
    assert inner(reply)[1].answer == ["node1.example.com", "10.99.0.10", "10.99.0.11"]


def test_whole_instances_differ_from_upstream_only_in_their_secrets() -> None:
    request = bytes.fromhex(CAPTURES["config_query_instances"]["request_hex"])
    reply = responder().reply(request)
    assert reply is not None
    ours = inner(reply)[1].answer
    theirs = inner(bytes.fromhex(CAPTURES["config_query_instances"]["reply_hex"]))[1].answer
    assert ours != theirs
    for inst in theirs.values():
        inst["osparams_private"] = dict.fromkeys(inst["osparams_private"], HIDDEN)
    assert ours == theirs


def test_the_recordings_cover_every_type_and_both_kinds_of_error() -> None:
    asked = {question(name).type for name, item in CAPTURES.items() if item["reply_hex"]}
    assert asked == set(range(12))
    errors = [
        inner(bytes.fromhex(item["reply_hex"]))[1]
        for item in CAPTURES.values()
        if item["reply_hex"]
    ]
    kinds = {type(reply.answer) for reply in errors if reply.status == STATUS_ERROR}
    assert kinds == {int, str}
