"""The recorded cluster as a source of queries: every instance that should run runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganeti_kernel.config import datafile
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.query.source import INSTANCE_STATE, NODE_INFO, Live, QuerySource
from ganeti_kernel.rpc.results import NodeInfo
from ganeti_kernel.specs.disk_template import StorageSpace
from ganeti_kernel.specs.hypervisor import InstanceState, NodeResources

RECORDED = Path(__file__).parents[2] / "data" / "upstream"


def view_of(name: str) -> ConfigView:
    return datafile.parse((RECORDED / f"config/config.data.{name}.json").read_bytes())


def live_of(view: ConfigView) -> Live:
    guests: dict[str, dict[str, InstanceState]] = {uuid: {} for uuid in view.nodes}
    for inst in view.instances.values():
        if inst.admin_state == "up":
            be = view.fill_be(inst)
            guests[inst.primary_node][inst.name] = InstanceState(
                name=inst.name, memory=be["maxmem"], vcpus=be["vcpus"]
            )
    free = {"node1.example.com": 22438, "node2.example.com": 22310, "node3.example.com": 22374}
    infos = {
        uuid: NodeInfo(
            bootid="15b6d77c-2f7f-457a-a4e6-3940522ef873",
            hypervisors={
                "fake": NodeResources(
                    memory_total=24105,
                    memory_free=free[node.name],
                    memory_dom0=745,
                    cpu_total=2,
                    cpu_dom0=2,
                )
            },
            storage=[StorageSpace(name="/srv", total=258019, free=72411)],
        )
        for uuid, node in view.nodes.items()
    }
    return Live(gathered=frozenset({INSTANCE_STATE, NODE_INFO}), nodes=infos, guests=guests)


@pytest.fixture(scope="session")
def recorded() -> Path:
    return RECORDED


@pytest.fixture(scope="session")
def rich1() -> QuerySource:
    view = view_of("rich1")
    return QuerySource(view=view, live=live_of(view))


@pytest.fixture(scope="session")
def rich2() -> QuerySource:
    view = view_of("rich2")
    return QuerySource(view=view, live=live_of(view))
