"""What gnt-instance info and QueryClusterInfo show of secret parameters."""

from __future__ import annotations

import pytest

from ganeti_kernel.luxi.clusterinfo import cluster_info
from ganeti_kernel.objects import Cluster, ConfigView, Instance, Node
from ganeti_kernel.objects.secrets import HIDDEN, SecretRules
from ganeti_kernel.operations import facts
from ganeti_kernel.operations.instance_query import GatherInstances

VIEW = ConfigView(
    cluster=Cluster(
        uuid="c",
        cluster_name="clu",
        master_node="n",
        master_ip="127.0.0.1",
        hvparams={"fake": {"plugin_pin": "1234", "kernel": "/boot/k"}},
    ),
    nodes={"n": Node(uuid="n", name="n", primary_ip="127.0.0.1")},
    instances={
        "i": Instance(
            uuid="i",
            name="i",
            primary_node="n",
            hypervisor="fake",
            hvparams={"vnc_password": "hunter2"},
        )
    },
    secrets=SecretRules(names=frozenset({"plugin_pin"})),
)


class Context:
    view = VIEW


def test_cluster_info() -> None:
    shown = cluster_info(VIEW)["hvparams"]["fake"]
    assert shown == {"plugin_pin": HIDDEN, "kernel": "/boot/k"}


def test_instance_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "secret_rules", lambda: VIEW.secrets)
    rows = GatherInstances().do(Context(), {"uuids": ["i"], "static": True})  # type: ignore[arg-type] # a part of one
    assert rows["i"]["hv_instance"] == {"vnc_password": HIDDEN}
    actual = rows["i"]["hv_actual"]
    assert (actual["plugin_pin"], actual["kernel"]) == (HIDDEN, "/boot/k")


def test_what_is_called_secret_later_is_hidden_from_then_on() -> None:
    names: set[str] = set()
    rules = SecretRules(names=names)
    assert rules.redact({"pin": "1234"}, "hvparams") == {"pin": "1234"}
    names.add("pin")
    assert rules.redact({"pin": "1234"}, "hvparams") == {"pin": HIDDEN}
