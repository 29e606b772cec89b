"""LUXI: frames, errors, arguments, a real socket; job filters."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganeti_kernel.errors import GenericError, HooksAbort, LuxiError, OpPrereqError
from ganeti_kernel.jobs.job import Job, OpRecord
from ganeti_kernel.luxi import server as server_module
from ganeti_kernel.luxi.client import Client, socket_path
from ganeti_kernel.luxi.codec import END, BadRequest, decode_reply, decode_request, encode_request
from ganeti_kernel.luxi.filters import FilterChain, check_rule
from ganeti_kernel.luxi.server import LuxiServer, encode_reply, method_table
from ganeti_kernel.objects import FilterRule
from ganeti_kernel.paths import Paths

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(min_size=1), st.lists(JSON, max_size=4))
def test_request_round_trip(method: str, args: list[Any]) -> None:
    frame = encode_request(method, args)
    assert frame.endswith(END)
    assert frame.count(END) == 1, "JSON escapes control characters"
    call = decode_request(frame[:-1])
    assert (call.method, call.args) == (method, args)


@given(st.binary(max_size=50))
def test_garbage_is_refused_not_raised_otherwise(data: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert decode_request(data).method


@given(JSON)
def test_reply_round_trip(value: Any) -> None:
    assert decode_reply(encode_reply(True, value)[:-1]) == value


@pytest.mark.parametrize(
    ("result", "kind", "text"),
    [
        (["OpPrereqError", ["no such node", "unknown_entity"]], OpPrereqError, "no such node"),
        (["HooksAbort", [[["n1", "00-x", "no"]]]], HooksAbort, "n1"),
        (["FromTheFuture", ["what"]], GenericError, "FromTheFuture: what"),
        ("Failed to parse request: x", LuxiError, "Failed to parse request: x"),
        (["OpPrereqError", "not a list"], LuxiError, "not a list"),
    ],
)
def test_failures(result: Any, kind: type[GenericError], text: str) -> None:
    with pytest.raises(kind, match=text):
        decode_reply(encode_reply(False, result)[:-1])


def test_a_reply_that_is_none_is_refused() -> None:
    for data in (b"", b"[]", b"{}", b"\xff", b'{"success": true}'):
        with pytest.raises(LuxiError, match="no reply"):
            decode_reply(data)


def test_socket_override(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths(Path("/r"))
    monkeypatch.delenv("FORCE_LUXI_SOCKET", raising=False)
    assert socket_path(paths) == paths.master_socket
    monkeypatch.setenv("FORCE_LUXI_SOCKET", "query")
    assert socket_path(paths) == paths.query_socket
    monkeypatch.setenv("FORCE_LUXI_SOCKET", "/x/y")
    assert socket_path(paths) == Path("/x/y")


async def _add(left: int, right: int, third: int = 0) -> int:
    return left + right + third


async def _fail() -> None:
    raise OpPrereqError("it may not", "wrong_state")


async def _defect() -> None:
    raise ZeroDivisionError("oops")


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server in a thread, at a path longer than socket names may be."""
    monkeypatch.setattr(server_module, "MAX_REQUEST", 1 << 16)
    path = tmp_path.joinpath("deep" * 15, "deeper" * 10) / "socket"
    loop = asyncio.new_event_loop()
    server = LuxiServer(method_table({"Add": _add, "Fail": _fail, "Defect": _defect}))
    ready = threading.Event()

    async def main() -> None:
        await server.listen(path)
        ready.set()

    def serve() -> None:
        loop.run_until_complete(main())
        loop.run_forever()
        loop.run_until_complete(server.close())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(30)
        yield path
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)


def test_calls_over_a_socket(served: Path) -> None:
    assert oct(served.stat().st_mode)[-3:] == "660"
    with Client(served) as client:
        assert client.call("Add", [1, 2]) == 3
        assert client.call("Add", [1, 2, 3]) == 6
        for args, text in (
            ([1], "Add: 2 to 3 arguments expected, 1 given"),
            ([1, "x"], "Add: Can't parse value for 'right'"),
        ):
            with pytest.raises(LuxiError, match=text):
                client.call("Add", args)
        with pytest.raises(LuxiError, match="'Nothing' is not known"):
            client.call("Nothing")
        with pytest.raises(OpPrereqError, match="it may not") as caught:
            client.call("Fail")
        assert caught.value.code == "wrong_state"
        with pytest.raises(GenericError, match="ZeroDivisionError: oops"):
            client.call("Defect")
        assert client.call("Add", [20, 22]) == 42


def test_too_large_a_request_ends_the_connection_with_a_reason(served: Path) -> None:
    client = Client(served)
    with pytest.raises(LuxiError, match=r"more than 65536 bytes|broke during Add"):
        client.call("Add", [1, "x" * (1 << 18)])
    client.close()
    assert client.call("Add", [1, 1]) == 2, "the next call opens another connection"
    client.close()


def test_no_master_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(LuxiError, match="does ganeti-masterd run"):
        Client(tmp_path / "nothing")


# -- job filters -----------------------------------------------------------------------------------


def rule(action: Any, *predicates: Any, **fields: Any) -> FilterRule:
    values: dict[str, Any] = {"uuid": f"u{id(predicates)}", "watermark": 10, "priority": 0} | fields
    return FilterRule(action=action, predicates=list(predicates), **values)


def job(number: int, op_id: str = "OP_TEST_DELAY", **fields: Any) -> Job:
    return Job(id=number, ops=[OpRecord(input={"OP_ID": op_id, **fields})])


DELAYS = ["opcode", ["=", "OP_ID", "OP_TEST_DELAY"]]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([rule("REJECT", DELAYS)], "reject"),
        ([rule("REJECT", ["opcode", ["=", "OP_ID", "OP_OTHER"]])], "start"),
        ([rule("PAUSE")], "wait"),
        ([rule("PAUSE", priority=2), rule("ACCEPT", priority=1)], "start"),
        ([rule("CONTINUE"), rule("PAUSE", priority=1)], "wait"),
        ([rule("PAUSE", ["jobid", [">", "id", "watermark"]])], "wait"),
        ([rule("PAUSE", ["jobid", ["<=", "id", "watermark"]])], "start"),
        ([rule("PAUSE", ["reason", ["=", "source", "gnt:user"]])], "wait"),
        ([rule("PAUSE", ["reason", ["=~", "reason", "^nothing"]])], "start"),
        ([rule("PAUSE", ["opcode", ["=", "params.deep", 7]])], "wait"),
        ([rule("PAUSE", ["opcode", ["=", "no.such", 7]])], "start"),
        ([rule("PAUSE", ["nonsense", []]), rule("REJECT")], "reject"),
    ],
)
def test_filter_chain(rules: list[FilterRule], expected: str) -> None:
    queued = job(11, params={"deep": 7}, reason=[["gnt:user", "because", 1]])
    assert FilterChain(rules, []).opinion(queued).action == expected


def test_who_is_kept_waiting_is_told_why() -> None:
    paused = rule("PAUSE", uuid="u1", reason_trail=[["gnt:user", "maintenance", 1]])
    opinion = FilterChain([paused], []).opinion(job(11))
    assert opinion.why == "job filter u1, which pauses it (maintenance)"
    rejected = FilterChain([rule("REJECT", uuid="u2")], []).opinion(job(11))
    assert rejected.why == "job filter u2 rejects this job"


def test_rate_limit_counts_running_jobs() -> None:
    chain = FilterChain([rule(["RATE_LIMIT", 2], DELAYS)], [job(1), job(2, "OP_OTHER")])
    assert chain.opinion(job(11)).action == "start"
    chain.started(job(11))
    assert chain.opinion(job(12)).action == "wait"
    assert chain.opinion(job(13, "OP_OTHER")).action == "start"


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (rule("EXPLODE"), "'EXPLODE' is no action"),
        (rule(["RATE_LIMIT", 0]), "no action"),
        (rule("PAUSE", priority=-1), "negative"),
        (rule("PAUSE", ["weather", []]), "no predicate"),
        (rule("PAUSE", ["jobid", ["=", "colour", 1]]), "colour"),
    ],
)
def test_wrong_rules_are_refused(bad: FilterRule, text: str) -> None:
    with pytest.raises(OpPrereqError, match=text):
        check_rule(bad)


def test_replies_are_json() -> None:
    encode: Callable[[bool, Any], bytes] = encode_reply
    assert json.loads(encode(True, [(1, "a")])[:-1]) == {"success": True, "result": [[1, "a"]]}
