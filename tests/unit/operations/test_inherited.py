"""What becomes of parameters that are inherited when a user changes some."""

from __future__ import annotations

from typing import Any

import pytest

from ganeti_kernel.errors import OpPrereqError
from ganeti_kernel.objects.params import SPEC_KEYS
from ganeti_kernel.operations.inherited import (
    merge_disk_state,
    merge_diskparams,
    merge_hv_state,
    merge_ipolicy,
    merge_ndparams,
)

LOW = dict.fromkeys(SPEC_KEYS, 1)
HIGH = dict.fromkeys(SPEC_KEYS, 9)


def test_node_parameters_are_changed_and_taken_back() -> None:
    assert merge_ndparams({"ssh_port": 1, "ovs": True}, {"ssh_port": "default"}) == {"ovs": True}
    assert merge_ndparams({"ovs": True}, {"ovs": None, "ssh_port": "2222"}) == {"ssh_port": 2222}
    assert merge_ndparams({}, {"oob_program": "/bin/oob"}) == {"oob_program": "/bin/oob"}


def test_disk_parameters_are_those_of_the_template() -> None:
    own = {"ext": {"access": "userspace"}}
    assert merge_diskparams({}, {"ext": {"access": "userspace"}}) == own
    assert merge_diskparams(own, {"ext": {"access": "default"}}) == {}
    assert merge_diskparams(own, {"file": {}}) == own


def test_a_policy_is_changed_key_by_key() -> None:
    own = merge_ipolicy({}, {"minmax": [{"min": LOW, "max": HIGH}], "vcpu-ratio": "3"})
    assert own == {"minmax": [{"min": LOW, "max": HIGH}], "vcpu-ratio": 3.0}
    assert merge_ipolicy(own, {"minmax": "default"}) == {"vcpu-ratio": 3.0}
    changed = merge_ipolicy(own, {"vcpu-ratio": "default", "disk-templates": ["file"]})
    assert changed == {"minmax": own["minmax"], "disk-templates": ["file"]}
    assert merge_ipolicy(changed, {"disk-templates": ["default"]}) == {"minmax": own["minmax"]}


def test_stated_figures() -> None:
    own = merge_hv_state(None, {"fake": {"mem_total": "1024"}})
    assert own == {"fake": {"mem_total": 1024}}
    assert merge_hv_state(own, {"fake": {"mem_total": "default"}}) == {"fake": {}}
    state = merge_disk_state(None, {"lvm": {"xenvg": {"disk_total": "5"}}})
    assert state == {"lvm": {"xenvg": {"disk_total": 5}}}
    more = merge_disk_state(state, {"lvm": {"other": {"disk_total": 6}}})
    assert more == {"lvm": {"xenvg": {"disk_total": 5}, "other": {"disk_total": 6}}}
    assert list(state["lvm"]) == ["xenvg"]  # what was given is left alone


@pytest.mark.parametrize(
    ("function", "given", "text"),
    [
        (merge_ndparams, {"speed": 2}, "unknown node parameter 'speed'"),
        (merge_ndparams, {"speed": None}, "unknown node parameter 'speed'"),
        (merge_ndparams, {"oob_program": "oob"}, "'oob_program' must be an absolute"),
        (merge_diskparams, {"nosuch": {}}, "nosuch"),
        (merge_diskparams, {"ext": {"colour": "red"}}, "unknown disk parameter of template ext"),
        (merge_diskparams, {"ext": {"access": "none"}}, "'access' must be one of"),
        (merge_ipolicy, {"size": 1}, "unknown instance policy key 'size'"),
        (merge_ipolicy, {"vcpu-ratio": "much"}, "vcpu-ratio must be a number above 0"),
        (merge_ipolicy, {"vcpu-ratio": "nan"}, "vcpu-ratio must be a number above 0"),
        (merge_ipolicy, {"minmax": []}, "at least one"),
        (merge_ipolicy, {"minmax": [{"min": LOW}]}, "min and max alone"),
        (merge_ipolicy, {"minmax": [{"min": HIGH, "max": LOW}]}, "the minimum 9 is above"),
        (merge_ipolicy, {"std": {}}, "Missing parameters in ipolicy spec std: cpu-count"),
        (merge_ipolicy, {"std": LOW | {"colour": 1}}, "unknown key 'colour'"),
        (merge_ipolicy, {"std": LOW | {"cpu-count": "x"}}, "cpu-count"),
        (merge_ipolicy, {"std": LOW | {"cpu-count": -1}}, "must not be negative"),
        (merge_ipolicy, {"disk-templates": ["nosuch"]}, "nosuch"),
        (merge_hv_state, {"nosuch": {"mem_total": 1}}, "nosuch"),
        (merge_hv_state, {"fake": {"memory": 1}}, "unknown state of hypervisor fake 'memory'"),
        (merge_hv_state, {"fake": {"mem_total": "x"}}, "mem_total must be a whole number"),
        (merge_disk_state, {"lvm": {"disk_total": 1}}, "must be KEY=NUMBER"),
    ],
)
def test_what_is_wrong_is_named(function: Any, given: dict[str, Any], text: str) -> None:
    with pytest.raises(OpPrereqError, match=text):
        function({}, given)


def test_what_one_node_or_one_group_cannot_have() -> None:
    with pytest.raises(OpPrereqError, match="set it on its group"):
        merge_ndparams({}, {"exclusive_storage": True}, of_node=True)
    with pytest.raises(OpPrereqError, match="unknown instance policy key 'std'"):
        merge_ipolicy({}, {"std": LOW}, of_group=True)
