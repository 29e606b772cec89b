"""Several instances at once: what is asked for, and what an allocator may answer."""

from __future__ import annotations

from typing import Any

import pytest

from ganeti_kernel.errors import OpExecError, OpPrereqError
from ganeti_kernel.operations.instance_many import parse_answer, parse_wishes


def wish(name: str, **fields: Any) -> dict[str, Any]:
    return {"instance_name": name, "mode": "create", "disks": [], "nics": [], **fields}


def test_wishes_are_opcodes() -> None:
    ops = parse_wishes([wish("a", OP_ID="OP_INSTANCE_CREATE"), wish("b")])
    assert [op.instance_name for op in ops] == ["a", "b"]
    assert parse_wishes([]) == []


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([wish("a"), 3], "instance 2 of the request is no object"),
        ([wish("a", colour=1)], "instance 1 of the request: Unknown parameter 'colour'"),
        ([{"instance_name": "a"}], "instance 1 of the request: .*'mode'|'disks'"),
        ([{"OP_ID": "OP_TEST_DELAY", "duration": 1}], "is OP_TEST_DELAY, no creation"),
        ([{"OP_ID": "OP_NONE"}], "Unknown opcode OP_NONE"),
        ([wish("a"), wish("b"), wish("a")], "duplicate instance names: a$"),
        ([wish("a", iallocator="hail")], "a has an allocator of its own"),
        ([wish("a", pnode="n1"), wish("b")], "for all instances or for none; a and b differ"),
    ],
)
def test_what_contradicts_itself_is_refused(values: list[Any], why: str) -> None:
    with pytest.raises(OpPrereqError, match=why):
        parse_wishes(values)


def test_names_that_failed_come_with_and_without_reason() -> None:
    placed = parse_answer("x", [[["a", ["n1"]]], ["b", ["c", "too big"]]], ["a", "b", "c"])
    assert placed.chosen == [("a", ["n1"])]
    assert placed.failed_names == ["b", "c"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "gave no places"),
        ([[["a", ["n1"]]]], "gave no places"),
        ([[["a", ["n1"]]], []], "was asked about a, b and told of a$"),
        ([[["a", ["n1"]], ["b", ["n1"]]], ["b"]], "told of a, b, b"),
        ([[["a", ["n1", "n2"]]], ["b"]], "gave 2 nodes for a"),
        ([[["a", []]], ["b"]], "gave 0 nodes for a"),
    ],
)
def test_answers_that_cannot_be_used(answer: Any, why: str) -> None:
    with pytest.raises(OpExecError, match=f"allocator x .*{why}|allocator x {why}"):
        parse_answer("x", answer, ["a", "b"])
