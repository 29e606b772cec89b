"""The allocator suite notices an allocator that breaks a promise."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from ganeti_kernel.specs import Description, PluginContext, hookimpl
from ganeti_kernel.specs.allocator import Allocator
from ganeti_kernel.testing.allocator import AllocatorContract
from ganeti_kernel.testing.mutants import run_suite


class Simple(Allocator):
    """Takes the nodes with most memory: the least that passes, for breaking."""

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="simple",
            version="1",
            summary="most memory first",
            features=frozenset({"allocate"}),
        )

    @hookimpl
    def allocate(self, request: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, Any]:
        if not {"nodes", "nodegroups", "instances", "request"} <= set(request):
            return self.refuse("the document is not complete")
        wanted = request["request"]
        if wanted.get("type") != "allocate":
            return self.refuse(f"request type {wanted.get('type')!r} is not known")
        for group in self.groups(request["nodegroups"], wanted):
            fitting = [
                name
                for name, node in sorted(request["nodes"].items())
                if group in (None, node["group"]) and self.usable(node) and self.fits(node, wanted)
            ]
            fitting.sort(key=lambda name: -request["nodes"][name]["free_memory"])
            if len(fitting) >= wanted["required_nodes"]:
                return self.answer(fitting[: wanted["required_nodes"]])
        return self.refuse("there is not enough room")

    def groups(self, groups: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str | None]:
        return [
            uuid
            for uuid, group in groups.items()
            if group["alloc_policy"] != "unallocable"
            and wanted["group_name"] in (None, group["name"])
        ]

    def usable(self, node: Mapping[str, Any]) -> bool:
        return not node["offline"] and not node["drained"] and bool(node["vm_capable"])

    def fits(self, node: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
        if node["free_memory"] < wanted["memory"]:
            return False
        return self.elsewhere(wanted) or node["free_disk"] >= wanted["disk_space_total"]

    def elsewhere(self, wanted: Mapping[str, Any]) -> bool:
        return wanted["disk_template"] in ("diskless", "ext")

    def answer(self, chosen: list[str]) -> dict[str, Any]:
        return {"success": True, "info": "placed", "result": chosen}

    def refuse(self, why: str) -> dict[str, Any]:
        return {"success": False, "info": why, "result": []}


class Suite(AllocatorContract):
    @pytest.fixture
    def plugin_class(self, mutant: type[Simple]) -> type[Simple]:
        return mutant


class LikesOffline(Simple):
    def usable(self, node: Mapping[str, Any]) -> bool:
        return not node["drained"]


class ForgetsDisks(Simple):
    def fits(self, node: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
        return bool(node["free_memory"] >= wanted["memory"])


class ForgetsMemory(Simple):
    def fits(self, node: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
        return bool(node["free_disk"] >= wanted["disk_space_total"])


class LooksForRoomAnyway(Simple):
    def elsewhere(self, wanted: Mapping[str, Any]) -> bool:
        return False


class SameNodeTwice(Simple):
    def answer(self, chosen: list[str]) -> dict[str, Any]:
        return super().answer([chosen[0]] * len(chosen))


class TooMany(Simple):
    def answer(self, chosen: list[str]) -> dict[str, Any]:
        return super().answer([*chosen, "node9.example.com"])


class SaysNothing(Simple):
    def refuse(self, why: str) -> dict[str, Any]:
        return super().refuse("")


class RaisesWhenFull(Simple):
    def refuse(self, why: str) -> dict[str, Any]:
        raise RuntimeError(why)


class MixesGroups(Simple):
    def groups(self, groups: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str | None]:
        return [None]


class ForgetsTheWantedGroup(Simple):
    def groups(self, groups: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str | None]:
        return super().groups(groups, {**wanted, "group_name": None})


class LikesTheUnallocable(Simple):
    def groups(self, groups: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str | None]:
        return [*sorted(groups, reverse=True)]


class ChangesItsMind(Simple):
    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self.turn = itertools.count()

    def answer(self, chosen: list[str]) -> dict[str, Any]:
        return super().answer(chosen if next(self.turn) % 2 else chosen[::-1])


class Scribbles(Simple):
    @hookimpl
    def allocate(self, request: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, Any]:
        answer = super().allocate(request, options)
        for name in answer["result"]:
            request["nodes"][name]["free_memory"] = 0
        return answer


class NeedsAll(Simple):
    """Stumbles over a document that lacks something."""

    @hookimpl
    def allocate(self, request: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, Any]:
        request["nodes"], request["nodegroups"], request["instances"], request["request"]
        return super().allocate(request, options)


class AnswersAnything(Simple):
    @hookimpl
    def allocate(self, request: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, Any]:
        if "request" in request:
            request = {**request, "request": {**request["request"], "type": "allocate"}}
        return super().allocate(request, options)


@pytest.mark.parametrize(
    ("mutant", "caught_by"),
    [
        (LikesOffline, "test_unusable_nodes_are_left_out"),
        (ForgetsDisks, "test_what_does_not_fit_is_no_error"),
        (ForgetsMemory, "test_what_does_not_fit_is_no_error"),
        (LooksForRoomAnyway, "test_shared_storage_needs_no_room_on_a_node"),
        (SameNodeTwice, "test_places_on_nodes_of_the_cluster"),
        (TooMany, "test_places_on_nodes_of_the_cluster"),
        (SaysNothing, "test_two_copies_need_two_nodes"),
        (RaisesWhenFull, "test_empty_cluster_is_no_error"),
        (MixesGroups, "test_copies_stay_in_one_group"),
        (ForgetsTheWantedGroup, "test_stays_in_the_wanted_group"),
        (LikesTheUnallocable, "test_unallocable_group_is_left_out"),
        (ChangesItsMind, "test_same_question_same_answer"),
        (Scribbles, "test_question_is_left_as_it_is"),
        (NeedsAll, "test_incomplete_document_is_no_error"),
        (AnswersAnything, "test_unknown_request_is_no_error"),
    ],
)
def test_mutant_is_caught(mutant: type[Simple], caught_by: str) -> None:
    assert run_suite(Suite, mutant, only=caught_by).failed == {caught_by}


def test_good_plugin_passes() -> None:
    outcome = run_suite(Suite, Simple)
    assert outcome.failed == set(), outcome.report
    assert len(outcome.passed) > 12
