"""Filters: the text that users type, the list form, and what it lets through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganeti_kernel.errors import ECODE_INVAL, OpPrereqError, QueryFilterParseError
from ganeti_kernel.query import engine
from ganeti_kernel.query.filter import (
    compile_filter,
    fields_in,
    glob_to_regex,
    parse_filter,
    requested_names,
)
from ganeti_kernel.query.source import QuerySource

# -- text --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("master", ["?", "master"]),
        ("not offline", ["!", ["?", "offline"]]),
        ("name == 'x'", ["==", "name", "x"]),
        ('name = "x y"', ["==", "name", "x y"]),
        ("a!=1", ["!=", "a", 1]),
        ("a<-5", ["<", "a", -5]),
        ("a <= +5", ["<=", "a", 5]),
        ("a>5 and b >= 6", ["&", [">", "a", 5], [">=", "b", 6]]),
        ("a and b or c and d", ["|", ["&", ["?", "a"], ["?", "b"]], ["&", ["?", "c"], ["?", "d"]]]),
        ("a and (b or c)", ["&", ["?", "a"], ["|", ["?", "b"], ["?", "c"]]]),
        ("a or b or c", ["|", ["?", "a"], ["?", "b"], ["?", "c"]]),
        ("not a and b", ["&", ["!", ["?", "a"]], ["?", "b"]]),
        ("not (a and b)", ["!", ["&", ["?", "a"], ["?", "b"]]]),
        ("not not a", ["!", ["!", ["?", "a"]]]),
        ("name =~ /^x/", ["=~", "name", "^x"]),
        ("name =~ m#^x/y#i", ["=~", "name", "(?i)^x/y"]),
        ("name !~ |x|si", ["!", ["=~", "name", "(?is)x"]]),
        (r"name =~ /a\/b/", ["=~", "name", "a/b"]),
        ('name =* "web*"', ["=~", "name", r"^web[^.]*(\..*)?$"]),
        ("name !* 'db?'", ["!", ["=~", "name", r"^db[^.](\..*)?$"]]),
        ("'a' in tags", ["=[]", "tags", "a"]),
        ("'a' not in tags", ["!", ["=[]", "tags", "a"]]),
        ("5 in disk.sizes", ["=[]", "disk.sizes", 5]),
        ("nic.ip/0 == '10.0.0.1'", ["==", "nic.ip/0", "10.0.0.1"]),
        (r"name == 'it\'s'", ["==", "name", r"it\'s"]),
        ("notes", ["?", "notes"]),
        ("inside and orange", ["&", ["?", "inside"], ["?", "orange"]]),
        (
            'pnode == "node1.example.com" and be/memory > 100',
            ["&", ["==", "pnode", "node1.example.com"], [">", "be/memory", 100]],
        ),
    ],
)
def test_text_becomes_the_list_form(text: str, expected: list[Any]) -> None:
    assert parse_filter(text) == expected
    assert parse_filter(f"  {text}\n") == expected


@pytest.mark.parametrize(
    ("text", "complaint", "place"),
    [
        ("name ==", "expected a value", 7),
        ("", "expected the name of a field", 0),
        ("(a", "expected ')'", 2),
        ("a)", "expected the end", 1),
        ("a b", "expected the end", 2),
        ("a and", "expected the name of a field", 5),
        ("and", "expected the name of a field", 0),
        ("name == x", "expected a value", 8),
        ("name =~ x", "expected a regular expression", 8),
        ("name =~ /x", "expected a regular expression", 8),
        ("name =~ /(/", "the regular expression is wrong", 8),
        ("name =~ /x/g", "expected the flags s and i only", 11),
        ("name =* 5", "expected a quoted glob", 8),
        ("'a'", "expected 'in'", 3),
        ("'a' not tags", "expected 'in'", 8),
        ("name == 'x", "expected a value", 8),
        ("5x in tags", "expected the name of a field", 0),
    ],
)
def test_what_is_not_understood_is_shown(text: str, complaint: str, place: int) -> None:
    with pytest.raises(QueryFilterParseError) as error:
        parse_filter(text)
    message, line, caret = str(error.value).splitlines()
    assert message.startswith(f"Failed to parse query filter {text!r}: {complaint}")
    assert f"(at character {place})" in message
    assert line == text
    assert caret == " " * place + "^"


def test_filters_are_bounded() -> None:
    with pytest.raises(QueryFilterParseError, match="nested deeper"):
        parse_filter("(" * 5000 + "a")
    with pytest.raises(QueryFilterParseError, match="nested deeper"):
        parse_filter("not " * 3000 + "a")
    with pytest.raises(QueryFilterParseError, match="longer than"):
        parse_filter("a or " * 5000 + "a")
    deep: Any = ["?", "a"]
    for _ in range(500):
        deep = ["!", deep]
    with pytest.raises(OpPrereqError, match="too large"):
        compile_filter(deep, {"a"})
    with pytest.raises(OpPrereqError, match="too large"):
        compile_filter(["|", *(["?", "a"] for _ in range(10_000))], {"a"})


FIELDS = ["a", "b.c", "d/0", "e_f"]
VALUES = st.one_of(
    st.integers(-1000, 1000),
    st.text(st.characters(codec="utf-8", exclude_characters='"\\', exclude_categories=["C"])),
)
CONDITIONS = st.one_of(
    st.tuples(st.just("?"), st.sampled_from(FIELDS)),
    st.tuples(
        st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "=[]"]), st.sampled_from(FIELDS), VALUES
    ),
).map(list)
FILTERS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.tuples(st.just("!"), inner).map(list),
        st.tuples(st.sampled_from("|&"), st.lists(inner, min_size=2, max_size=3)).map(
            lambda pair: [pair[0], *pair[1]]
        ),
    ),
    max_leaves=8,
)


def written(qfilter: list[Any]) -> str:
    head, *rest = qfilter
    if head in ("|", "&"):
        return f"({(' or ' if head == '|' else ' and ').join(map(written, rest))})"
    if head == "!":
        return f"not {written(rest[0])}"
    if head == "?":
        return str(rest[0])
    value = rest[1]
    if isinstance(value, str):
        value = f'"{value}"'
    return f"{value} in {rest[0]}" if head == "=[]" else f"{rest[0]} {head} {value}"


@given(FILTERS)
def test_what_is_written_is_read_back(qfilter: list[Any]) -> None:
    assert parse_filter(written(qfilter)) == qfilter


@given(st.text(alphabet="ab()'\"=~!*<>/|#^ 1notandrin\\\n", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        qfilter = parse_filter(text)
    except QueryFilterParseError:
        return
    compile_filter(qfilter, fields_in(qfilter))


def test_globs_match_names_up_to_a_dot() -> None:
    def matches(glob: str, name: str) -> bool:
        predicate = compile_filter(["=~", "name", glob_to_regex(glob)], {"name"})
        return predicate(lambda _field: (0, name)) is True

    assert matches("web*", "web1.example.com")
    assert matches("web?", "web1.example.com")
    assert not matches("web?", "web10.example.com")
    assert not matches("eb*", "web1.example.com")
    assert not matches("web1.example", "web1xexample.com")


# -- list form ---------------------------------------------------------------------------------


def holds(qfilter: Any, **values: Any) -> bool | None:
    return compile_filter(qfilter, {"a", "b"})(lambda field: (0, values[field]))


@pytest.mark.parametrize(
    ("qfilter", "value", "expected"),
    [
        (["=", "a", 5], 5, True),
        (["==", "a", "x"], "x", True),
        (["=", "a", 5], "5", False),
        (["=", "a", "5"], 5, False),
        (["=", "a", 1], True, True),
        (["!=", "a", 5], "5", True),
        (["!=", "a", 5], 5, False),
        (["<", "a", 5], 4, True),
        (["<", "a", 5], 4.5, True),
        (["<", "a", "b"], "a", True),
        (["<", "a", 5], "4", False),
        ([">=", "a", 5], None, False),
        (["=~", "a", "^x.z$"], "xyz", True),
        (["=~", "a", "^x"], 5, False),
        (["=[]", "a", "x"], ["x", "y"], True),
        (["=[]", "a", "x"], "xy", False),
        (["=[]", "a", "z"], ["x", "y"], False),
        (["?", "a"], "", False),
        (["?", "a"], "x", True),
        (["?", "a"], [], False),
        (None, 1, True),
        (["&"], 1, True),
        (["|"], 1, False),
    ],
)
def test_conditions(qfilter: Any, value: Any, expected: bool) -> None:
    assert holds(qfilter, a=value) is expected
    if qfilter is not None:
        assert holds(["!", qfilter], a=value) is not expected


@pytest.mark.parametrize("head", ["=", "!=", "<", ">=", "=~", "=[]"])
def test_cell_without_value_matches_nothing(head: str) -> None:
    predicate = compile_filter([head, "a", "x"], {"a"})
    for status in (1, 2, 3, 4):
        assert predicate(lambda _field, status=status: (status, None)) is False  # type: ignore[misc]


@pytest.mark.parametrize(
    ("qfilter", "text"),
    [
        (["nosuchop", "a", "x"], "Unknown filter operand 'nosuchop'"),
        (["=", "c", "x"], "there is no field 'c'"),
        (["=", "a"], "takes 2 arguments, found 1"),
        (["!", ["?", "a"], ["?", "b"]], "takes 1 arguments, found 2"),
        (["?", 5], "there is no field 5"),
        ("a", "expected a list"),
        ([], "expected a list"),
        ([["?", "a"]], "expected a list"),
        (["=", "a", None], "compares with text"),
        (["=", "a", ["x"]], "compares with text"),
        (["=~", "a", "("], "regular expression '\\(' is wrong"),
        (["=~", "a", 5], "a regular expression is text"),
        (["=~", "a", "x" * 5000], "a regular expression is text"),
    ],
)
def test_wrong_filters_are_named(qfilter: Any, text: str) -> None:
    with pytest.raises(OpPrereqError, match=text) as error:
        compile_filter(qfilter, {"a", "b"})
    assert error.value.code == ECODE_INVAL


def test_fields_and_names_of_a_filter() -> None:
    qfilter = ["&", ["=", "name", "x"], ["!", ["|", ["?", "a"], ["<", "b", 5]]]]
    assert fields_in(qfilter) == {"name", "a", "b"}
    assert requested_names(qfilter, "name") is None
    assert requested_names(["|", ["=", "name", "x"], ["==", "name", "y"]], "name") == ["x", "y"]
    assert requested_names(["=", "name", "x"], "uuid") is None
    assert requested_names(["|"], "name") is None
    for strange in (None, [], "x", ["="], ["|", None], 5):
        assert requested_names(strange, "name") is None
        assert fields_in(strange) == frozenset()


CELLS = st.dictionaries(
    st.sampled_from(FIELDS),
    st.one_of(
        st.tuples(st.just(0), VALUES),
        st.tuples(st.just(0), st.lists(VALUES, max_size=2)),
        st.tuples(st.sampled_from([2, 3, 4]), st.none()),
    ),
)


@given(qfilter=FILTERS, known=CELLS, later=CELLS)
def test_what_is_decided_without_live_data_stays_decided(
    qfilter: list[Any], known: dict[str, Any], later: dict[str, Any]
) -> None:
    predicate = compile_filter(qfilter, FIELDS)
    early = predicate(known.get)
    full = dict.fromkeys(FIELDS, (3, None)) | later | known
    final = predicate(full.get)
    assert final is not None
    assert early in (None, final)


@given(qfilter=FILTERS, cells=CELLS)
def test_filters_follow_boolean_algebra(qfilter: list[Any], cells: dict[str, Any]) -> None:
    full = dict.fromkeys(FIELDS, (2, None)) | cells

    def value(part: list[Any]) -> bool | None:
        return compile_filter(part, FIELDS)(full.get)

    assert value(["!", qfilter]) is (not value(qfilter))
    assert value(["&", qfilter, ["!", qfilter]]) is False
    assert value(["|", qfilter, ["!", qfilter]]) is True
    assert value(["&", qfilter, qfilter]) is value(qfilter)


def test_filters_on_the_recorded_cluster(rich1: QuerySource) -> None:
    """The first one and its answer are a recorded command's."""

    def names(text: str) -> list[str]:
        rows = engine.query("instance", ["name"], parse_filter(text), rich1)["data"]
        return [row[0][1].removesuffix(".example.com") for row in rows]

    assert names('pnode == "node1.example.com" and be/memory > 100') == ["inst2"]
    assert names("'web' in tags") == ["inst3"]
    assert names("status =~ /^ADMIN/ and nic.count > 1") == ["inst9", "inst14"]
    assert names("oper_ram > 150") == ["inst2", "inst3"]
    assert names('name =* "inst1*"') == ["inst1", "inst14"]
    assert names("not oper_state and disk_template == 'ext'") == ["inst14"]
