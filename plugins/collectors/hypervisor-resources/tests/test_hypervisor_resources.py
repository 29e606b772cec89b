from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from ganeti_collectors_hypervisor_resources import HypervisorResources

from ganeti_kernel.errors import ConfdClientError, PluginError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import Description, Parameter, Plugin, PluginContext
from ganeti_kernel.specs.hypervisor import InstanceState, NodeResources
from ganeti_kernel.testing.collector import CollectorContract


class Scripted:
    def __init__(self) -> None:
        self.parameters: Mapping[str, Any] = {}

    def describe(self) -> Description:
        given = Parameter(name="kvm_path", default="/usr/bin/kvm"), Parameter(name="x", default="y")
        return Description(name="kvm", version="1", summary="scripted", parameters=given)

    def node_resources(self, hvparams: Mapping[str, Any]) -> NodeResources:
        self.parameters = hvparams
        return NodeResources(
            memory_total=4096, memory_free=1024, memory_dom0=512, cpu_total=8, hv_version="7.2"
        )

    def list_instances(self) -> Sequence[InstanceState]:
        return [InstanceState(name="web")]


class Hypervisors:
    def __init__(self) -> None:
        self.kvm = Scripted()

    def get(self, kind: str, name: str) -> Plugin:
        if (kind, name) != ("hypervisor", "kvm"):
            raise PluginError(f"hypervisor {name!r} is not installed on this node")
        return cast("Plugin", self.kvm)

    def names(self, kind: str) -> Sequence[str]:
        return ["kvm"]


class Confd:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def ask(self, number: int, query: Any) -> Any:
        if self.answer is None:
            raise ConfdClientError("nobody answers")
        assert number == 10
        return self.answer if query == "/cluster/hvparams/kvm" else {}


def context(root: Path, answer: Any = None) -> PluginContext:
    paths = Paths(root)
    paths.data_dir.mkdir(parents=True, exist_ok=True)
    paths.ssconf("hypervisor_list").write_text("kvm\nxen-pvm\n")
    return PluginContext(
        paths=paths, node_name="node1", cluster=Confd(answer), plugins=Hypervisors()
    )


class TestContract(CollectorContract):
    @pytest.fixture
    def plugin_class(self) -> type[HypervisorResources]:
        return HypervisorResources

    @pytest.fixture
    def context(self, ganeti_root: Path) -> PluginContext:
        return context(ganeti_root)


def test_what_a_hypervisor_has(ganeti_root: Path) -> None:
    kvm, xen = HypervisorResources(context(ganeti_root)).collect()["hypervisors"]
    assert (kvm["name"], kvm["version"], kvm["instances"]) == ("kvm", "7.2", 1)
    assert (kvm["memory_total"], kvm["memory_free"], kvm["memory_node"]) == (4096, 1024, 512)
    assert xen["error"].startswith("hypervisor 'xen-pvm' is not installed")


def test_the_clusters_parameters_are_used(ganeti_root: Path) -> None:
    given = context(ganeti_root, {"kvm_path": "/opt/kvm"})
    HypervisorResources(given).collect()
    assert isinstance(given.plugins, Hypervisors)
    assert given.plugins.kvm.parameters == {"kvm_path": "/opt/kvm", "x": "y"}


def test_inactive_without_a_cluster(ganeti_root: Path) -> None:
    made = HypervisorResources(PluginContext(paths=Paths(ganeti_root)))
    assert "no cluster" in str(made.precondition())
