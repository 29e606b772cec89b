"""What is asked of nodes is asked while nobody changes the instance."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ganeti_kernel.jobs.opcodes import OpInstanceQueryData
from ganeti_kernel.jobs.operation import Lock
from ganeti_kernel.objects import Cluster, ConfigView, Instance, Node
from ganeti_kernel.operations.instance_query import InstanceQueryData

VIEW = ConfigView(
    cluster=Cluster(uuid="c", cluster_name="clu", master_node="m", master_ip="127.0.0.1"),
    nodes={"m": Node(uuid="m", name="m", primary_ip="127.0.0.1")},
    instances={
        name: Instance(uuid=name, name=name, primary_node="m", hypervisor="fake", os="")
        for name in ("one", "two")
    },
)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, {"one", "two"}),
        ({"instances": ["two", "two"]}, {"two"}),
        ({"static": True}, set()),
        ({"static": True, "use_locking": True}, {"one", "two"}),
    ],
)
def test_locks(fields: dict[str, Any], names: set[str]) -> None:
    context: Any = SimpleNamespace(view=VIEW)
    locks = InstanceQueryData(OpInstanceQueryData(**fields), context).locks()
    assert set(locks) == {Lock("instance", name) for name in names}
    assert len(locks) == len(names)
