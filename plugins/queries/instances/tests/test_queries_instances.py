"""Requests about instances: the contract, and answers on a small cluster."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from ganeti_queries_instances import InstanceAddresses, InstanceDisks, NodeByInstanceAddress

from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.specs.confd_query import ERROR_ARGUMENT, ERROR_UNKNOWN_ENTRY, ConfdQuery
from ganeti_kernel.testing.confd_query import ConfdQueryContract, make_view

CONTEXT = PluginContext(paths=Paths())


class TestNodeByInstanceAddress(ConfdQueryContract):
    UPSTREAM = True

    @pytest.fixture
    def plugin_class(self) -> type[ConfdQuery]:
        return NodeByInstanceAddress

    @pytest.fixture
    def queries(self) -> list[Any]:
        return [{"1": "198.51.100.1"}, {"2": ["198.51.100.1", "1.2.3.4"], "0": "br0"}, {}]


class TestInstanceAddresses(ConfdQueryContract):
    UPSTREAM = True

    @pytest.fixture
    def plugin_class(self) -> type[ConfdQuery]:
        return InstanceAddresses

    @pytest.fixture
    def queries(self) -> list[Any]:
        return [None, "br0", "no-such-link"]


class TestInstanceDisks(ConfdQueryContract):
    UPSTREAM = True

    @pytest.fixture
    def plugin_class(self) -> type[ConfdQuery]:
        return InstanceDisks

    @pytest.fixture
    def queries(self) -> list[Any]:
        return ["inst1.example.com", "inst2"]


def test_node_of_one_address() -> None:
    plugin = NodeByInstanceAddress(CONTEXT)
    assert plugin.answer(make_view(), {"1": "198.51.100.2"}).answer == "192.0.2.2"
    unknown = plugin.answer(make_view(), {"1": "198.51.100.2", "0": "br9"})
    assert (unknown.answer, unknown.serial) == (ERROR_UNKNOWN_ENTRY, 0)


def test_nodes_of_a_list_keep_its_order() -> None:
    query = {"2": ["198.51.100.2", "1.2.3.4", "198.51.100.1"]}
    answer = NodeByInstanceAddress(CONTEXT).answer(make_view(), query).answer
    assert answer == [[0, "192.0.2.2", 7], [1, ERROR_UNKNOWN_ENTRY, 0], [0, "192.0.2.1", 7]]


def test_a_string_is_no_address_query() -> None:
    assert NodeByInstanceAddress(CONTEXT).answer(make_view(), "x").answer == ERROR_ARGUMENT


def test_addresses_on_links() -> None:
    plugin = InstanceAddresses(CONTEXT)
    assert sorted(plugin.answer(make_view(), None).answer) == ["198.51.100.1", "198.51.100.2"]
    assert plugin.answer(make_view(), "br9").answer == []


def test_disks_are_whole_objects() -> None:
    answer = InstanceDisks(CONTEXT).answer(make_view(), "inst1")
    (disk,) = msgspec.json.decode(msgspec.json.encode(answer.answer))
    assert disk["dev_type"] == "drbd"
    assert [child["dev_type"] for child in disk["children"]] == ["plain", "plain"]
