"""The parts that touch nothing: metrics, settings, the board, routes, reports, samples."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganeti_kernel.mond.board import ACTIVE, INACTIVE, Board
from ganeti_kernel.mond.http import BadRequest, is_plain, parse_head
from ganeti_kernel.mond.metrics import from_fields, metric_name, snake, split_text
from ganeti_kernel.mond.report import MAX_REPORT, Identity, encode, encode_failure, timestamp_now
from ganeti_kernel.mond.routes import flag, prefers_html
from ganeti_kernel.mond.settings import Setting, parse_settings
from ganeti_kernel.mond.worker import describe
from ganeti_kernel.specs.collector import Field, merge_status
from ganeti_kernel.specs.samples import Window, increase

SAMPLE = re.compile(
    r'[a-z][a-z0-9_]*(\{[a-z0-9_]+="(?:[^"\\\n]|\\["\\n])*"'
    r'(,[a-z0-9_]+="(?:[^"\\\n]|\\["\\n])*")*\})? (\S+)'
)


def samples(data: Any, *fields: Field) -> list[str]:
    families = from_fields("my-box", fields, data)
    return "".join(lines for _name, _head, lines in families).split("\n")[:-1]


# -- metrics -----------------------------------------------------------------------------------


def test_numbers_without_description_are_called_after_their_path() -> None:
    assert samples({"a": 1, "bigWord": {"c": 2.5}, "text": "x", "none": None, "yes": True}) == [
        "ganeti_my_box_a 1",
        "ganeti_my_box_big_word_c 2.5",
        "ganeti_my_box_yes 1",
    ]


def test_items_have_labels() -> None:
    fields = (
        Field(path="[].name", help="n", type="string", label=True),
        Field(path="[].minor", help="n", label=True),
        Field(path="[].used", help="u", metric="used_bytes", scale=1024),
    )
    assert samples([{"name": 'a"b', "minor": 3, "used": 2}], *fields) == [
        'ganeti_my_box_used_bytes{name="a\\"b",minor="3"} 2048'
    ]


def test_positions_keys_and_names_are_labels() -> None:
    assert samples({"cpus": [1, 2]}, Field(path="cpus[cpu]", help="c")) == [
        'ganeti_my_box_cpus{cpu="0"} 1',
        'ganeti_my_box_cpus{cpu="1"} 2',
    ]
    assert samples({"web": 0.5}, Field(path="{domain}", help="d", metric="busy")) == [
        'ganeti_my_box_busy{domain="web"} 0.5'
    ]
    assert samples([{"name": "x", "n": 1}]) == ['ganeti_my_box_n{name="x"} 1']
    assert samples([7]) == ['ganeti_my_box{index="0"} 7']


def test_labels_go_down() -> None:
    fields = (Field(path="d[].minor", help="m", label=True),)
    assert samples({"d": [{"minor": 1, "perf": {"sent": 5}}]}, *fields) == [
        'ganeti_my_box_d_perf_sent{minor="1"} 5'
    ]


@pytest.mark.parametrize(
    ("words", "counter", "name"),
    [
        (("cpu_total",), False, "ganeti_x_cpu_total_value"),
        (("seg_count",), False, "ganeti_x_seg_count_value"),
        (("readsNum",), False, "ganeti_x_reads_num"),
        ((), False, "ganeti_x"),
    ],
)
def test_names_that_prometheus_reserves_are_avoided(
    words: tuple[str, ...], counter: bool, name: str
) -> None:
    assert metric_name("x", words, None) == name


def test_snake() -> None:
    assert [snake(word) for word in ("wIOmillis", "a-b.c", "Ünï", "1m")] == [
        "w_iomillis",
        "a_b_c",
        "n",
        "1m",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_any_data_makes_well_formed_lines(data: Any) -> None:
    for line in samples(data):
        match = SAMPLE.fullmatch(line)
        assert match, line
        float(match[3])


def test_other_peoples_text_is_split_into_families() -> None:
    text = (
        "# HELP a_bytes size\n# TYPE a_bytes gauge\na_bytes 1\n"
        '# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 2\nh_count 1\n# a comment\nb 3e5 1700000\n'
    )
    assert [(name, lines.count("\n")) for name, _head, lines in split_text(text)] == [
        ("a_bytes", 1),
        ("h", 3),
        ("b", 1),
    ]
    for bad in ("a b c d", "9a 1", 'a{b="1} 2', "a{b=1} 2", "a one"):
        with pytest.raises(ValueError, match="not a line of Prometheus"):
            split_text(bad)


# -- settings, reports -------------------------------------------------------------------------


def test_settings() -> None:
    answer = {
        "lv": {"active": False, "interval": 5_000_000},
        "drbd": {"active": True, "interval": 2_500_000},
        "odd": {"active": "yes"},
        "new": {"active": True, "colour": "red"},
    }
    settings = parse_settings(answer)
    assert settings == {
        "lv": Setting(False, 5_000_000),
        "drbd": Setting(True, 2_500_000),
        "new": Setting(True),
    }
    assert settings["drbd"].seconds(5) == 2.5
    assert settings["new"].seconds(7) == 7
    assert Setting(True, 1).seconds(5) == 0.5
    nonsense: Any
    for nonsense in (None, [], "x", 3):
        assert parse_settings(nonsense) == {}


def test_report_bytes() -> None:
    body = encode(Identity("x", "B", 1, None, 0), 1795518473265767000, {"a": [1.5, None]})
    assert body == (
        b'{"name":"x","version":"B","format_version":1,"timestamp":1795518473265767000,'
        b'"category":null,"kind":0,"data":{"a":[1.5,null]}}'
    )
    with pytest.raises(ValueError, match="more than"):
        encode(Identity("x"), 1, "x" * MAX_REPORT)
    failure = msgspec.json.decode(encode_failure(Identity("x"), 1, 2, "why"))
    assert failure["data"] == {"status": {"code": 2, "message": "why"}}
    assert timestamp_now() % 1000 == 0


def test_descriptions_of_errors_are_one_line() -> None:
    assert describe(ValueError("a\nb  c")) == "ValueError: a b c"
    assert describe(SystemExit()) == "SystemExit"
    assert describe(RuntimeError("\ud800")) == "RuntimeError: ?"

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert describe(Mute()) == "Mute"


@pytest.mark.parametrize(
    ("items", "code", "message"),
    [
        ([], 0, ""),
        ([(0, ""), (0, "")], 0, ""),
        ([(1, "a"), (4, "b"), (2, "")], 4, "\nb\na"),
        ([(2, "x"), (1, "y")], 2, "\ny\nx"),
    ],
)
def test_merged_status_is_upstreams(items: list[Any], code: int, message: str) -> None:
    assert merge_status(items) == {"code": code, "message": message}


# -- board and routes --------------------------------------------------------------------------


def test_board_lists_the_active_in_upstreams_order() -> None:
    board = Board()
    for name, category, state in (
        ("lv", "storage", ACTIVE),
        ("xen-cpu-avg-load", None, ACTIVE),
        ("cpu-avg-load", None, ACTIVE),
        ("drbd", "storage", INACTIVE),
    ):
        standing = board.add(name)
        standing.identity, standing.state = Identity(name, "B", 1, category, 0), state
        standing.report = b'"%b"' % name.encode()
    board.changed()
    assert msgspec.json.decode(board.list_active()) == [
        ["cpu-avg-load", "default", 0],
        ["xen-cpu-avg-load", "default", 0],
        ["lv", "storage", 0],
    ]
    assert board.all_reports() == b'["cpu-avg-load","xen-cpu-avg-load","lv"]'
    version = board.version
    board.remove("lv")
    assert board.version > version
    assert board.find("storage", "lv") is None
    assert board.find("default", "drbd") is None
    assert board.find("storage", "drbd") is not None


@pytest.mark.parametrize(
    ("query", "wanted"),
    [("", False), ("fresh=1", True), ("a=2&fresh=yes", True), ("fresh", True), ("fresh=0", False)],
)
def test_flags(query: str, wanted: bool) -> None:
    assert flag(query, "fresh") is wanted


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [("", False), ("*/*", False), ("text/html", True), ("application/json,text/html", False)],
)
def test_who_gets_html(accept: str, wanted: bool) -> None:
    assert prefers_html(accept) is wanted


@given(st.binary(max_size=300))
def test_any_head_is_a_request_or_refused(head: bytes) -> None:
    is_plain(head)
    try:
        request, version = parse_head(head)
    except BadRequest as problem:
        refused = problem.answer.status[:3]
    else:
        assert request.path.startswith("/")
        assert version in ("HTTP/1.0", "HTTP/1.1")
        return
    assert refused in ("400", "405")


# -- samples -----------------------------------------------------------------------------------


def test_increase() -> None:
    assert increase(10, 15) == 5
    assert increase(1000, 20) == 20
    assert increase(1000, 999) == 0


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e12)), max_size=60))
def test_a_window_never_tells_a_negative_rate_and_is_bounded(points: list[Any]) -> None:
    window = Window(10, 100.0)
    for now, reading in points:
        window.add(now, reading)
        rate = window.rate()
        assert rate is None or rate >= 0
        assert len(window) <= 10
    other = Window(10, 100.0)
    other.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(window.save())))
    assert other.save() == window.save()


@pytest.mark.parametrize("state", [None, 3, [1], [1, [[1]]], ["x", []], [1, "ab"]])
def test_a_bad_saved_window_is_refused(state: Any) -> None:
    with pytest.raises(ValueError, match="not a saved window"):
        Window(10, 100.0).restore(state)
