"""What becomes of a node's flags, and who may fill the pool of candidates."""

from __future__ import annotations

from typing import Any

import pytest

from ganeti_kernel.errors import OpPrereqError
from ganeti_kernel.objects import Node
from ganeti_kernel.operations.candidates import lacking
from ganeti_kernel.operations.node_modify import new_flags


def node(name: str = "n1", **fields: Any) -> Node:
    return Node(uuid=name, name=name, primary_ip="192.0.2.1", **fields)


def test_one_role_replaces_another() -> None:
    flags = new_flags(node(master_candidate=True), {"drained": True})
    assert (flags["master_candidate"], flags["drained"], flags["offline"]) == (False, True, False)
    flags = new_flags(node(offline=True), {"master_candidate": True})
    assert (flags["master_candidate"], flags["offline"]) == (True, False)
    assert not new_flags(node(master_candidate=True), {"master_capable": False})["master_candidate"]


@pytest.mark.parametrize(
    ("fields", "wanted", "text"),
    [
        ({}, {"offline": True, "drained": True}, "more than one state"),
        ({"master_capable": False}, {"master_candidate": True}, "is not master capable"),
    ],
)
def test_contradictions_are_refused(
    fields: dict[str, Any], wanted: dict[str, bool], text: str
) -> None:
    with pytest.raises(OpPrereqError, match=text):
        new_flags(node(**fields), wanted)


def test_lacking() -> None:
    nodes = [node("a", master_candidate=True), node("c"), node("b"), node("d", drained=True)]
    missing, free = lacking(nodes, 10)
    assert (missing, [item.name for item in free]) == (2, ["b", "c"])
    assert lacking(nodes, 2)[0] == 1
    assert lacking(nodes, 1)[0] == 0
