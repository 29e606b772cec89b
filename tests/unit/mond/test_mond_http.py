"""The URLs, beside recordings of upstream's answers, and what a server must bear."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.mond.conftest import Mond

RECORDINGS = Path(__file__).parents[2] / "data/mond"

TARGETS = {
    "root": "/",
    "v0": "/0",
    "v1": "/1",
    "v1slash": "/1/",
    "v2": "/2",
    "favicon": "/favicon.ico",
    "list": "/1/list",
    "list_slash": "/1/list/",
    "list_nosuch": "/1/list/nosuch",
    "report": "/1/report",
    "report_slash": "/1/report/",
    "report_nosuchcat": "/1/report/nosuch/cpu-avg-load",
    "report_null_cpu": "/1/report/null/cpu-avg-load",
    "report_default_diskstats": "/1/report/default/diskstats",
    "report_storage_nosuch": "/1/report/storage/nosuch",
}
REPORTS = {
    "report_default_cpu-avg-load": "/1/report/default/cpu-avg-load",
    "report_storage_diskstats": "/1/report/storage/diskstats",
    "report_all": "/1/report/all",
    "report_all_slash": "/1/report/all/",
    "report_all_query": "/1/report/all?verbose=1",
    "report_all_http10": "/1/report/all",
    "report_all_gzip": "/1/report/all",
}
UPSTREAMS_ORDER = ["cpu-avg-load", "xen-cpu-avg-load", "diskstats", "drbd", "inst-status-xen", "lv"]


def recorded(name: str) -> tuple[str, bytes]:
    """Status line and body of a recording."""
    head, _, body = (RECORDINGS / f"{name}.http").read_bytes().partition(b"\r\n\r\n")
    if b"chunked" in head:
        pieces = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            if not int(size, 16):
                break
            pieces, body = pieces + body[: int(size, 16)], body[int(size, 16) + 2 :]
        body = pieces
    return head.partition(b"\r\n")[0].decode(), body


@pytest.mark.parametrize("name", TARGETS)
def test_answers_are_upstreams(shared_mond: Mond, name: str) -> None:
    line, body = recorded(name)
    answer = shared_mond.get(TARGETS[name])
    assert f"HTTP/1.1 {answer.status} {answer.reason}" == line
    assert answer.body == body


@pytest.mark.parametrize("name", REPORTS)
def test_reports_have_upstreams_shape(shared_mond: Mond, name: str) -> None:
    theirs = json.loads(recorded(name)[1])
    mine = shared_mond.get(REPORTS[name]).json
    if isinstance(theirs, dict):
        theirs, mine = [theirs], [mine]
    by_name = {item["name"]: item for item in mine}
    for report in theirs:
        if report["name"] == "xen-cpu-avg-load":  # not in `all` where there is no Xen
            continue
        own = by_name[report["name"]]
        assert list(own) == list(report)
        assert abs(own.pop("timestamp") / 1e9 - time.time()) < 3600
        report.pop("timestamp")
        data, own_data = report.pop("data"), own.pop("data")
        assert own == report
        assert type(own_data) is type(data)
        if report["name"] == "diskstats":
            assert {tuple(item) for item in own_data} == {tuple(item) for item in data}


def test_list_is_upstreams(shared_mond: Mond) -> None:
    theirs = {tuple(item) for item in json.loads(recorded("list_collectors")[1])}
    mine = [tuple(item) for item in shared_mond.get("/1/list/collectors").json]
    assert {item for item in theirs if item[0] != "xen-cpu-avg-load"} <= set(mine)
    known = [name for name, _category, _kind in mine if name in UPSTREAMS_ORDER]
    assert known == [name for name in UPSTREAMS_ORDER if name in known]


def test_all_and_list_agree(shared_mond: Mond) -> None:
    listed = [name for name, _category, _kind in shared_mond.get("/1/list/collectors").json]
    assert [item["name"] for item in shared_mond.get("/1/report/all").json] == listed


def test_one_report_equals_its_part_of_all(shared_mond: Mond) -> None:
    def same() -> bool:
        for item in shared_mond.get("/1/report/all").json:
            path = f"/1/report/{item['category'] or 'default'}/{item['name']}"
            one: dict[str, Any] = shared_mond.get(path).json
            if one["timestamp"] != item["timestamp"]:
                return False  # a round came between
            assert one == item
        return True

    shared_mond.eventually(same, "two readings within one interval")


# -- the server ------------------------------------------------------------------------------


def test_browsers_get_a_page_and_programs_versions(shared_mond: Mond) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    page = shared_mond.get("/", Accept=accept)
    assert page.headers["content-type"].startswith("text/html")
    assert "node1.example.com" in page.text
    assert "cpu-avg-load" in page.text
    for other in ("*/*", "application/json", "application/json, text/html"):
        assert shared_mond.get("/", Accept=other).json == [1]


def test_keep_alive_and_pipelining(shared_mond: Mond) -> None:
    one = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = shared_mond.raw(one * 50 + last, shut=False)
    assert answer.count(b"HTTP/1.1 200 OK") == 51
    assert answer.count(b"\r\n\r\nnull") == 50
    assert answer.endswith(b"\r\n\r\n[1]")


def test_pipelining_keeps_order_behind_a_slow_answer(shared_mond: Mond) -> None:
    fresh = b"GET /1/report/default/cpu-avg-load?fresh=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = shared_mond.raw(fresh + last, shut=False)
    assert answer.index(b'"cpu-avg-load"') < answer.index(b"[1]")


def test_http_1_0_is_closed(shared_mond: Mond) -> None:
    answer = shared_mond.raw(b"GET / HTTP/1.0\r\n\r\n", shut=False)
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"connection: close" in answer


def test_a_head_in_pieces(shared_mond: Mond) -> None:
    with socket.create_connection(("127.0.0.1", shared_mond.port), timeout=30) as sock:
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
            sock.sendall(bytes([byte]))
        assert sock.makefile("rb").read().endswith(b"[1]")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET /0 HTTP/1.1\r\n\r\n", 400),
        (b"GET nothing HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /0 HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n", 400),
        (b"GET /0 HTTP/1.1\r\nHost: x\r\n folded: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /1/report/all HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405),
        (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n", 431),
        (b"\xff\xfe\x00" * 4000, 431),
    ],
)
def test_bad_requests_are_refused_and_closed(
    shared_mond: Mond, request_bytes: bytes, status: int
) -> None:
    answer = shared_mond.raw(request_bytes, shut=False)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in answer
    assert shared_mond.get("/").json == [1]


def test_many_connections_do_not_lock_out_the_daemon(shared_mond: Mond) -> None:
    held = []
    try:
        for _ in range(520):
            held.append(socket.create_connection(("127.0.0.1", shared_mond.port), timeout=30))
        refused = held[-1].recv(200)
        assert refused.startswith(b"HTTP/1.1 503 ")
    finally:
        for sock in held:
            sock.close()
    shared_mond.eventually(lambda: shared_mond.get("/").status == 200, "served again")


def test_a_client_that_never_reads_costs_little(shared_mond: Mond) -> None:
    """Its answers pile up to the socket's buffer, then nothing more is read from it."""
    status = Path(f"/proc/{shared_mond.process.pid}/statm")
    before = int(status.read_text().split()[1])
    with socket.create_connection(("127.0.0.1", shared_mond.port), timeout=1) as sock:
        request = b"GET /1/report/all HTTP/1.1\r\nHost: x\r\n\r\n" * 200
        try:
            for _ in range(400):
                sock.sendall(request)
        except TimeoutError:
            pass
        assert shared_mond.get("/").json == [1]
    grown = (int(status.read_text().split()[1]) - before) * 4096
    assert grown < 64 << 20
