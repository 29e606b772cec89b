"""From what a user wants of the cluster's settings to the fields of the cluster.

For a cluster that is changed and for one that is made: the checks are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ganeti_kernel.jobs.opcodes import OpClusterSetParams
from ganeti_kernel.objects import Cluster, ConfigView
from ganeti_kernel.operations import cluster_params, cluster_values, facts, inherited

EMPTYING = frozenset(
    {
        "default_iallocator_params",
        "reserved_lvs",
        "compression_tools",
        "uid_pool",
        "enabled_hypervisors",
        "enabled_disk_templates",
    }
)
"""Fields that an empty list or object empties; for others it means: not given."""


def given(op: OpClusterSetParams) -> dict[str, Any]:
    """The opcode's fields that ask for something."""
    values = {name: getattr(op, name) for name in op.__struct_fields__ if name != "force"}
    return {
        name: value
        for name, value in values.items()
        if value is not None and (value not in ({}, []) or name in EMPTYING)
    }


def new_fields(
    view: ConfigView, asked: Mapping[str, Any], say: Callable[[str], None]
) -> Iterator[tuple[str, Any]]:
    """The cluster's fields that are asked for, with their new values.

    `asked`: fields of OP_CLUSTER_SET_PARAMS. Refuses what is wrong, by its name; what is so
    already is told.
    """
    for name, (field, check) in cluster_values.CHECKS.items():
        if name in asked:
            yield field, check(view, asked[name])
    yield from _inherited(view, asked)
    yield from _enabled(view.cluster, asked)
    yield from _lists(view.cluster, asked, say)


def _inherited(view: ConfigView, asked: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    cluster = view.cluster
    for name, merge in (
        ("os_hvp", cluster_params.os_hvp),
        ("beparams", cluster_params.beparams),
        ("ndparams", cluster_params.ndparams),
        ("diskparams", cluster_params.diskparams),
        ("ipolicy", cluster_params.instance_policy),
    ):
        if name in asked:
            yield name, merge(cluster, asked[name])
    if "nicparams" in asked:
        yield "nicparams", cluster_params.nicparams(view, asked["nicparams"])
    for name in ("osparams", "osparams_private_cluster"):
        if name in asked:
            yield name, cluster_params.osparams(getattr(cluster, name), asked[name])
    if "hv_state" in asked:
        own = cluster.hv_state_static
        yield "hv_state_static", inherited.merge_hv_state(own, asked["hv_state"])
    if "disk_state" in asked:
        own = cluster.disk_state_static
        yield "disk_state_static", inherited.merge_disk_state(own, asked["disk_state"])


def _enabled(cluster: Cluster, asked: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    hypervisors: list[str] = []
    if "enabled_hypervisors" in asked:
        names = asked["enabled_hypervisors"]
        hypervisors = cluster_params.enabled("hypervisor", "hypervisor", names)
        yield "enabled_hypervisors", hypervisors
    if hypervisors or "hvparams" in asked:
        values = asked.get("hvparams", {})
        yield "hvparams", cluster_params.hvparams(cluster, values, hypervisors)
    if "enabled_disk_templates" in asked:
        names = asked["enabled_disk_templates"]
        templates = cluster_params.enabled("disk_template", "disk template", names)
        yield "enabled_disk_templates", templates


def _lists(
    cluster: Cluster, asked: Mapping[str, Any], say: Callable[[str], None]
) -> Iterator[tuple[str, Any]]:
    for name, what in (("hidden_os", "hidden"), ("blacklisted_os", "blacklisted")):
        if name in asked:
            names, notes = cluster_values.changed_names(getattr(cluster, name), asked[name], what)
            for note in notes:
                say(f"{note}; left as it is")
            yield name, names
    if {"uid_pool", "add_uids", "remove_uids"} & set(asked):
        yield (
            "uid_pool",
            cluster_values.changed_uids(
                asked.get("uid_pool", cluster.uid_pool),
                asked.get("add_uids", ()),
                asked.get("remove_uids", ()),
            ),
        )
    if {"enabled_data_collectors", "data_collector_interval"} & set(asked):
        yield (
            "data_collectors",
            cluster_values.changed_collectors(
                cluster.data_collectors,
                facts.registry().names("collector"),
                asked.get("enabled_data_collectors", {}),
                asked.get("data_collector_interval", {}),
            ),
        )
