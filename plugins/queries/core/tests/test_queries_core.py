"""Requests about the cluster: the contract, pointers, and what is hidden."""

from __future__ import annotations

from typing import Any

import pytest
from ganeti_queries_core import ClusterMaster, ConfigQuery, DataCollectors, Ping
from ganeti_queries_core.pointer import NotFound, look_up, steps

from ganeti_kernel.objects.secrets import HIDDEN, SecretRules
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.specs.confd_query import BadQuery, ConfdQuery
from ganeti_kernel.testing.confd_query import SECRET, ConfdQueryContract, make_view

CONTEXT = PluginContext(paths=Paths())


class TestPing(ConfdQueryContract):
    UPSTREAM = True

    @pytest.fixture
    def plugin_class(self) -> type[ConfdQuery]:
        return Ping

    @pytest.fixture
    def queries(self) -> list[Any]:
        return [None, "anything"]


class TestClusterMaster(ConfdQueryContract):
    UPSTREAM = True

    @pytest.fixture
    def plugin_class(self) -> type[ConfdQuery]:
        return ClusterMaster

    @pytest.fixture
    def queries(self) -> list[Any]:
        return [None, {"3": [0, 1, 2, 0]}, {"3": ["1"]}, {}]


class TestConfigQuery(ConfdQueryContract):
    UPSTREAM = True

    @pytest.fixture
    def plugin_class(self) -> type[ConfdQuery]:
        return ConfigQuery

    @pytest.fixture
    def queries(self) -> list[Any]:
        return ["/cluster", "/cluster/enabled_hypervisors/0", "/instances", "/version"]


class TestDataCollectors(ConfdQueryContract):
    UPSTREAM = True

    @pytest.fixture
    def plugin_class(self) -> type[ConfdQuery]:
        return DataCollectors

    @pytest.fixture
    def queries(self) -> list[Any]:
        return [None]


def test_master_by_fields() -> None:
    answer = ClusterMaster(CONTEXT).answer(make_view(), {"3": [2, 0, 1]})
    assert answer.answer == ["192.0.2.1", "node1.example.com", "192.0.2.100"]
    assert answer.serial == 7


def test_a_master_field_that_does_not_exist() -> None:
    with pytest.raises(BadQuery, match="fields are 0, 1 and 2"):
        ClusterMaster(CONTEXT).answer(make_view(), {"3": [3]})


def test_pointer_steps() -> None:
    assert steps("/a/b~1c/~0") == ["a", "b/c", "~"]
    for bad in ("", "a", "/a~", "/~2"):
        with pytest.raises(NotFound):
            steps(bad)


def test_pointers_that_lead_somewhere() -> None:
    view = make_view()
    uuid, inst = next(iter(view.instances.items()))
    assert look_up(view, "/cluster/cluster_name") == "cluster.example.com"
    assert look_up(view, f"/instances/{uuid}/name") == inst.name
    assert look_up(view, f"/instances/{uuid}/nics/0/ip") == "198.51.100.1"
    assert look_up(view, "/serial_no") == 7
    assert look_up(view, "/networks") == {}
    assert set(look_up(view, "/nodes")) == set(view.nodes)


@pytest.mark.parametrize(
    "pointer",
    [
        "/nosuch",
        "/cluster/",
        "/cluster/tags/0",
        "/cluster/enabled_hypervisors/-",
        "/cluster/enabled_hypervisors/0x0",
        "/cluster/enabled_hypervisors/+0",
        "/cluster/~2",
        "/cluster/enabled_hypervisors/99999999999999",
        "/cluster/cluster_name/0",
        "/nodes/nosuch",
        "//",
    ],
)
def test_pointers_that_lead_nowhere(pointer: str) -> None:
    with pytest.raises(NotFound):
        look_up(make_view(), pointer)


def secret_places() -> list[tuple[str, Any]]:
    view = make_view()
    inst = next(iter(view.instances.values()))
    disk = inst.disks[0]
    return [
        (f"/instances/{inst.uuid}/osparams_private/rootpw", HIDDEN),
        (f"/instances/{inst.uuid}/osparams_private", {"rootpw": HIDDEN}),
        ("/cluster/osparams_private_cluster/debootstrap/token", HIDDEN),
        ("/cluster/osparams_private_cluster/debootstrap", {"token": HIDDEN}),
        ("/cluster/osparams_private_cluster", {"debootstrap": {"token": HIDDEN}}),
        (f"/disks/{disk}/params/password", HIDDEN),
        (f"/disks/{disk}/params", {"password": HIDDEN}),
    ]


@pytest.mark.parametrize(("pointer", "expected"), secret_places())
def test_each_secret_is_hidden(pointer: str, expected: Any) -> None:
    assert look_up(make_view(), pointer) == expected


@pytest.mark.parametrize("table", ["/instances", "/cluster", "/disks"])
def test_whole_tables_have_no_secret(table: str) -> None:
    text = str(look_up(make_view(), table))
    assert SECRET not in text
    assert HIDDEN in text


def test_secrets_are_shown_only_on_request() -> None:
    view = make_view(secrets=SecretRules(shown=True))
    assert look_up(view, secret_places()[0][0]) == SECRET


def test_what_a_plugin_calls_secret_is_hidden_too() -> None:
    view = make_view(secrets=SecretRules(names=frozenset({"vcpus", "stripes"})))
    uuid = next(iter(view.instances))
    # the name counts for parameters of disks and hypervisors, not for any member of that name
    assert look_up(view, f"/instances/{uuid}/beparams/vcpus") == 2
    assert view.secrets.redact({"params": {"stripes": 3}}) == {"params": {"stripes": HIDDEN}}


def test_collectors_that_upstream_does_not_have_are_told() -> None:
    view = make_view()
    view.cluster.data_collectors["mine"] = {"active": False, "interval": 7, "other": 1}
    answer = DataCollectors(CONTEXT).answer(view, None).answer
    assert answer["mine"] == {"active": False, "interval": 7}


def test_collectors_follow_the_configuration() -> None:
    answer = DataCollectors(CONTEXT).answer(make_view(), None).answer
    assert answer["inst-status-xen"]["active"] is False
    assert answer["diskstats"] == {"active": True, "interval": 5_000_000}
