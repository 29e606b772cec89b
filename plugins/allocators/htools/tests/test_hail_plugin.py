"""hail keeps the Allocator contract."""

from __future__ import annotations

from typing import Any

import pytest
from ganeti_allocators_htools.plugin import Hail

from ganeti_kernel.testing.allocator import (
    IPOLICY,
    AllocatorContract,
    cluster,
    names,
    nodes,
    settle,
    wish,
)

REQUEST = wish("new.example.com", "plain", 1)


@pytest.fixture
def document() -> dict[str, Any]:
    message = cluster(nodes(3))
    settle(message)
    return message | {"request": REQUEST}


class TestHail(AllocatorContract):
    @pytest.fixture
    def plugin_class(self) -> type[Hail]:
        return Hail

    def test_parameters_are_options(self, plugin: Hail, document: dict[str, Any]) -> None:
        for name in names(3):
            answer = plugin.allocate(document, {"restrict-allocation-to": name})
            assert answer["result"] == [name]

    @pytest.mark.parametrize(
        ("name", "value"),
        [("frobnicate", "1"), ("static-kvm-node-memory", "x"), ("no-headers", "")],
    )
    def test_bad_parameter_is_named(
        self, plugin: Hail, document: dict[str, Any], name: str, value: str
    ) -> None:
        answer = plugin.allocate(document, {name: value})
        assert not answer["success"]
        assert f"allocator parameter {name!r}" in answer["info"]
        assert "Usage:" not in answer["info"]

    @pytest.mark.parametrize(
        "change",
        [
            {"nodegroups": {"u": "x"}},
            {"nodes": {"n": 5}},
            {"instances": {"i": []}},
            {"enabled_hypervisors": 5},
            {"ipolicy": {**IPOLICY, "minmax": ["x"]}},
            {"request": "x"},
            {"request": {**REQUEST, "nics": ["x"]}},
            {"request": {**REQUEST, "spindle_use": None}},
        ],
    )
    def test_malformed_document_is_an_answer(
        self, plugin: Hail, document: dict[str, Any], change: dict[str, Any]
    ) -> None:
        answer = plugin.allocate(document | change, {})
        assert not answer["success"]
        assert answer["info"].startswith("the request is not understood: ")
