"""Storage units of a node: listed, changed and repaired by the template that has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ganeti_kernel.errors import BlockDeviceError, GenericError
from ganeti_kernel.node.registry import ENTRIES
from ganeti_kernel.node.storage import storage_change, storage_list, storage_repair, volumes_list
from ganeti_kernel.rpc.results import StorageUnit
from ganeti_kernel.specs import hookimpl
from ganeti_kernel.specs.disk_template import UnitState, Volume
from tests.unit.node.conftest import MemoryTemplate, NodeParts

UNIT = StorageUnit(template="groups", directory="/here")


class Groups(MemoryTemplate):
    """A template with volume groups."""

    features = frozenset({"units:vg", "units-change:vg", "units-repair:vg", "volumes"})

    @hookimpl
    def storage_units(
        self, kind: str, params: Mapping[str, Any], directory: str
    ) -> Sequence[UnitState]:
        self.log.append(f"list {kind} {directory}")
        return [UnitState(name="xenvg", size=100, used=40, free=60)]

    @hookimpl
    def change_unit(self, kind: str, name: str, changes: Mapping[str, Any]) -> None:
        self.log.append(f"change {kind} {name} {dict(changes)}")

    @hookimpl
    def repair_unit(self, kind: str, name: str) -> None:
        self.log.append(f"repair {kind} {name}")

    @hookimpl
    def list_volumes(self, params: Mapping[str, Any], directory: str) -> Sequence[Volume]:
        return [Volume(name="lv1", pool="xenvg", size=8, logical_ids=[["xenvg", "lv1"]])]


@pytest.fixture
def groups(node: NodeParts) -> Groups:
    made = Groups(node.template.context)
    node.add("disk_template", "groups", made)
    return made


def test_units_are_listed(node: NodeParts, groups: Groups) -> None:
    (unit,) = storage_list(node.context, "vg", UNIT)
    assert (unit.name, unit.free) == ("xenvg", 60)
    assert groups.log == ["list vg /here"]


def test_a_unit_is_changed_and_repaired(node: NodeParts, groups: Groups) -> None:
    storage_change(node.context, "vg", "xenvg", UNIT, {"allocatable": False})
    storage_repair(node.context, "vg", "xenvg", UNIT)
    assert groups.log[1::2] == ["change vg xenvg {'allocatable': False}", "repair vg xenvg"]


def test_a_unit_that_is_not_there_is_named(node: NodeParts, groups: Groups) -> None:
    with pytest.raises(BlockDeviceError, match=r"no storage unit other .*there are: xenvg"):
        storage_change(node.context, "vg", "other", UNIT, {"allocatable": True})
    with pytest.raises(BlockDeviceError, match=r"no storage unit other .*there are: xenvg"):
        storage_repair(node.context, "vg", "other", UNIT)
    assert set(groups.log) == {"list vg /here"}


def test_a_template_without_the_feature_is_named(node: NodeParts) -> None:
    memory = StorageUnit(template="memory")
    with pytest.raises(GenericError, match="disk template memory cannot do this"):
        storage_list(node.context, "vg", memory)
    with pytest.raises(GenericError, match="nosuch"):
        volumes_list(node.context, [StorageUnit(template="nosuch")])


def test_volumes_of_several_templates(node: NodeParts, groups: Groups) -> None:
    assert [item.name for item in volumes_list(node.context, [UNIT, UNIT])] == ["lv1", "lv1"]


def test_changes_of_one_unit_wait_for_each_other() -> None:
    subject = ENTRIES["storage_change"].subject({"kind": "vg", "name": "xenvg"})
    assert subject == ENTRIES["storage_repair"].subject({"kind": "vg", "name": "xenvg"})
