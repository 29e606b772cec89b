"""Requests about nodes: the contract, and answers on a small cluster."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from ganeti_queries_nodes import (
    CandidateAddresses,
    NodeAddresses,
    NodeDrbd,
    NodeInstances,
    NodeRole,
)

from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.specs.confd_query import STATUS_ERROR, ConfdQuery
from ganeti_kernel.testing.confd_query import ConfdQueryContract, make_view

CONTEXT = PluginContext(paths=Paths())
NAMED = ["node1.example.com", "node2"]


class TestNodeRole(ConfdQueryContract):
    UPSTREAM = True

    @pytest.fixture
    def plugin_class(self) -> type[ConfdQuery]:
        return NodeRole

    @pytest.fixture
    def queries(self) -> list[Any]:
        return NAMED


class TestNodeAddresses(ConfdQueryContract):
    UPSTREAM = True

    @pytest.fixture
    def plugin_class(self) -> type[ConfdQuery]:
        return NodeAddresses

    @pytest.fixture
    def queries(self) -> list[Any]:
        return [None, "ignored"]


class TestCandidateAddresses(TestNodeAddresses):
    @pytest.fixture
    def plugin_class(self) -> type[ConfdQuery]:
        return CandidateAddresses


class TestNodeDrbd(TestNodeRole):
    @pytest.fixture
    def plugin_class(self) -> type[ConfdQuery]:
        return NodeDrbd


class TestNodeInstances(TestNodeRole):
    @pytest.fixture
    def plugin_class(self) -> type[ConfdQuery]:
        return NodeInstances


def with_node(**changes: Any) -> ConfigView:
    """The small cluster with its second node changed."""
    view = make_view()
    uuid, node = list(view.nodes.items())[1]
    nodes: dict[str, Node] = dict(view.nodes) | {uuid: msgspec.structs.replace(node, **changes)}
    return ConfigView(cluster=view.cluster, nodes=nodes)


@pytest.mark.parametrize(
    ("changes", "role"),
    [
        ({}, 1),
        ({"master_candidate": False}, 4),
        ({"offline": True}, 2),
        ({"offline": True, "drained": True}, 3),
        ({"drained": True, "master_candidate": True}, 3),
    ],
)
def test_roles(changes: dict[str, Any], role: int) -> None:
    assert NodeRole(CONTEXT).answer(with_node(**changes), "node2.example.com").answer == role


def test_only_the_full_name_is_the_master() -> None:
    view = make_view()
    uuid = view.cluster.master_node
    roles = [NodeRole(CONTEXT).answer(view, name).answer for name in ("node1.example.com", uuid)]
    assert roles == [0, 1]


def test_ambiguous_and_unknown_names() -> None:
    view = with_node(name="node1.example.org")
    ambiguous = NodeRole(CONTEXT).answer(view, "node1")
    unknown = NodeRole(CONTEXT).answer(view, "node9")
    assert ambiguous.status == unknown.status == STATUS_ERROR
    assert "has multiple matches" in ambiguous.answer
    assert "node9 not found" in unknown.answer


def test_minors_of_both_sides() -> None:
    rows = NodeDrbd(CONTEXT).answer(make_view(), "node1").answer
    assert rows == [
        ["node1.example.com", 0, "inst1.example.com", "disk/0", "primary", "node2.example.com"],
        ["node1.example.com", 1, "inst2.example.com", "disk/0", "secondary", "node2.example.com"],
    ]


def test_instances_of_a_node_are_whole_objects() -> None:
    view = make_view()
    answer = NodeInstances(CONTEXT).answer(view, "node1")
    primary, secondary = msgspec.json.decode(msgspec.json.encode(answer.answer))
    assert [inst["name"] for inst in primary] == ["inst1.example.com"]
    assert [inst["name"] for inst in secondary] == ["inst2.example.com"]
    assert primary[0]["nics"][0]["ip"] == "198.51.100.1"
    assert answer.serial == 1
