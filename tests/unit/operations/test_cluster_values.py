"""The cluster's settings: what is taken, and what is refused by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ganeti_kernel.errors import OpPrereqError
from ganeti_kernel.jobs.opcodes import OpClusterSetParams
from ganeti_kernel.objects import Cluster, ConfigView, Disk, Instance, Nic, Node, NodeGroup
from ganeti_kernel.operations import cluster_params as params
from ganeti_kernel.operations import cluster_values as values
from ganeti_kernel.operations.cluster_settings import given

CLUSTER = Cluster(
    uuid="c",
    cluster_name="clu",
    master_node="n",
    master_ip="192.0.2.1",
    enabled_disk_templates=["file"],
    enabled_hypervisors=["fake"],
)
VIEW = ConfigView(
    cluster=CLUSTER,
    nodes={"n": Node(uuid="n", name="n", primary_ip="192.0.2.2", group="g")},
    nodegroups={"g": NodeGroup(uuid="g", name="g")},
    instances={
        "i": Instance(
            uuid="i",
            name="inst",
            primary_node="n",
            hypervisor="fake",
            os="o",
            disks=["d"],
            nics=[Nic(uuid="x", mac="aa:00:00:00:00:01")],
        )
    },
    disks={"d": Disk(uuid="d", dev_type="file", size=2048, logical_id=["file", "/x"])},
)


@pytest.mark.parametrize(
    ("check", "value", "text"),
    [
        (values.mac_prefix, "aa:bb", "not three octets"),
        (values.mac_prefix, "01:00:00", "group addresses"),
        (values.master_netdev, "eth0 up", "name of a network device"),
        (values.master_netmask, 33, "prefix length from 0 to 32"),
        (values.directory, "srv/x", "absolute"),
        (values.directory, "/srv/../etc", "absolute, normalised"),
        (values.volume_group, "a b", "volume group"),
        (values.helper, "true", "absolute path"),
        (values.image, "here", "path or a URL"),
        (values.reserved_lvs, ["*"], "regular expression"),
        (values.compression_tools, ["a;b"], "name of a program"),
        (values.default_iallocator, "nosuch", "allocator 'nosuch'"),
        (values.communication_network, "no such", "'no such' cannot be the name"),
    ],
)
def test_wrong_values(check: Callable[[ConfigView, Any], Any], value: Any, text: str) -> None:
    with pytest.raises(OpPrereqError, match=text):
        check(VIEW, value)


def test_good_values() -> None:
    assert values.mac_prefix(VIEW, "AA:bb:CC") == "aa:bb:cc"
    assert values.volume_group(VIEW, "") is None
    assert values.helper(VIEW, "") is None
    assert values.compression_tools(VIEW, ["gzip", "gzip", "lz4"]) == ["gzip", "lz4"]


def test_user_ids() -> None:
    pool = values.changed_uids([[10, 20]], [[5, 5]], [])
    assert pool == [[5, 5], [10, 20]]
    assert values.changed_uids(pool, [], [[10, 20]]) == [[5, 5]]
    for added, removed, text in (
        ([[15, 30]], [], "overlap"),
        ([[9, 8]], [], "not a range of user ids"),
        ([[0, 2**32]], [], "not a range of user ids"),
        ([], [[10, 19]], "not a range of the pool"),
    ):
        with pytest.raises(OpPrereqError, match=text):
            values.changed_uids(pool, added, removed)


def test_names_of_oss() -> None:
    names, notes = values.changed_names(["a"], [("add", "b"), ("remove", "a")], "hidden")
    assert (names, notes) == (["b"], [])
    names, notes = values.changed_names(["a"], [("attach", "a"), ("detach", "c")], "hidden")
    assert (names, len(notes)) == (["a"], 2)


def test_collectors() -> None:
    before = {"lv": {"active": True, "interval": 7}}
    after = values.changed_collectors(before, ["drbd"], {"lv": False}, {"drbd": 2_000_000})
    assert after["lv"] == {"active": False, "interval": 7}
    assert after["drbd"] == {"active": True, "interval": 2_000_000}
    with pytest.raises(OpPrereqError, match="unknown data collector 'x'"):
        values.changed_collectors(before, ["drbd"], {"x": True}, {})
    with pytest.raises(OpPrereqError, match="must be 1 to 86400 seconds"):
        values.changed_collectors(before, ["drbd"], {}, {"lv": 1})


def test_backend_parameters() -> None:
    after = params.beparams(CLUSTER, {"memory": "1G", "vcpus": "3"})["default"]
    assert (after["minmem"], after["maxmem"], after["vcpus"]) == (1024, 1024, 3)
    again = params.beparams(Cluster(**_fields(beparams={"default": after})), {"vcpus": "default"})
    assert (again["default"]["vcpus"], again["default"]["maxmem"]) == (1, 1024)
    for wrong, text in (
        ({"speed": 1}, "unknown backend parameter 'speed'"),
        ({"vcpus": "x"}, "'vcpus': must be a whole number"),
        ({"minmem": 4096}, "larger than maxmem"),
    ):
        with pytest.raises(OpPrereqError, match=text):
            params.beparams(CLUSTER, wrong)


def _fields(**changed: Any) -> dict[str, Any]:
    return {name: getattr(CLUSTER, name) for name in CLUSTER.__struct_fields__} | changed


def test_policy() -> None:
    after = params.instance_policy(CLUSTER, {"std": {"memory-size": "1G"}, "vcpu-ratio": "2.5"})
    assert (after["std"]["memory-size"], after["std"]["cpu-count"]) == (1024, 1)
    assert after["vcpu-ratio"] == 2.5
    with pytest.raises(OpPrereqError, match="outside the limits"):
        params.instance_policy(CLUSTER, {"std": {"memory-size": "64G"}})
    with pytest.raises(OpPrereqError, match="unknown instance policy key 'speed'"):
        params.instance_policy(CLUSTER, {"speed": 1})


def test_os_parameters() -> None:
    after = params.osparams({"o": {"a": "1", "b": "2"}}, {"o": {"a": None}, "p": {"x": "y"}})
    assert after == {"o": {"b": "2"}, "p": {"x": "y"}}
    assert params.osparams(after, {"o": {"b": None}, "p": {"x": None}}) == {}


def test_what_is_used_stays_enabled() -> None:
    params.check_unused(VIEW, ["fake"], ["file"])
    params.check_unused(VIEW, [], [])
    with pytest.raises(OpPrereqError, match="Cannot disable hypervisor 'fake': instance inst"):
        params.check_unused(VIEW, ["kvm"], [])
    with pytest.raises(OpPrereqError, match=r"Cannot disable disk template 'file'.*inst"):
        params.check_unused(VIEW, [], ["diskless"])


def test_enabled() -> None:
    with pytest.raises(OpPrereqError, match="at least one hypervisor"):
        params.enabled("hypervisor", "hypervisor", [])
    with pytest.raises(OpPrereqError, match="fake is named twice"):
        params.enabled("hypervisor", "hypervisor", ["fake", "fake"])


def test_routed_needs_addresses() -> None:
    with pytest.raises(OpPrereqError, match=r"inst \(NIC 0\)"):
        params.nicparams(VIEW, {"mode": "routed"})
    with pytest.raises(OpPrereqError, match="network script 'warp'"):
        params.nicparams(VIEW, {"mode": "warp"})


def test_who_breaks_the_policy() -> None:
    assert list(params.violators(VIEW, CLUSTER)) == []
    low = Cluster(**_fields(ipolicy={"disk-templates": ["diskless"]}))
    assert list(params.violators(VIEW, low)) == ["inst"]


def test_what_was_asked_for() -> None:
    empty = OpClusterSetParams(hvparams={}, ipolicy={}, beparams={})
    assert set(given(empty)) & {"hvparams", "ipolicy", "beparams"} == set()
    cleared = OpClusterSetParams(reserved_lvs=[], uid_pool=[], default_iallocator_params={})
    assert {"reserved_lvs", "uid_pool", "default_iallocator_params"} <= set(given(cleared))
