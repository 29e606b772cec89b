"""What each enabled hypervisor has and has left, as its plugin tells."""

from __future__ import annotations

__version__ = "0.1.0"

from typing import Any

from ganeti_kernel.errors import ConfdClientError, GenericError, PluginError
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.collector import CONFD_INPUTS, Collector, Field
from ganeti_kernel.specs.hypervisor import NodeResources
from ganeti_kernel.specs.reading import read_text

CONFIG_QUERY = 10


def _memory(key: str, text: str) -> Field:
    return Field(
        path=f"hypervisors[].{key}", unit="MiB", help=text, metric=f"{key}_bytes", scale=1 << 20
    )


class HypervisorResources(Collector):
    API_VERSION = 1
    CATEGORY = "hypervisor"
    INTERVAL = 15.0
    FIELDS = (
        Field(path="hypervisors[].name", type="string", help="hypervisor", label=True),
        Field(path="hypervisors[].version", type="string", help="its version, if it tells"),
        _memory("memory_total", "memory the hypervisor manages"),
        _memory("memory_free", "memory left for instances"),
        _memory("memory_node", "memory the node itself uses"),
        _memory("memory_hypervisor", "memory the hypervisor itself uses"),
        Field(path="hypervisors[].cpu_total", help="CPUs", metric="cpus"),
        Field(path="hypervisors[].cpu_node", help="CPUs kept for the node itself"),
        Field(path="hypervisors[].cpu_sockets", help="CPU sockets"),
        Field(path="hypervisors[].cpu_nodes", help="NUMA nodes", metric="numa_nodes"),
        Field(path="hypervisors[].instances", help="instances that run", metric="instances"),
        Field(path="hypervisors[].error", type="string", help="why it tells nothing, else absent"),
    )
    INPUTS = CONFD_INPUTS

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="hypervisor-resources",
            version=__version__,
            summary="memory and CPUs of each enabled hypervisor",
        )

    @hookimpl
    def precondition(self) -> str | None:
        path = self.context.paths.ssconf("hypervisor_list")
        return None if path.exists() else f"this node belongs to no cluster ({path} is missing)"

    @hookimpl
    def collect(self) -> Any:
        names = read_text(self.context.paths.ssconf("hypervisor_list")).split()
        return {"hypervisors": [self._one(name) for name in names]}

    def _one(self, name: str) -> dict[str, Any]:
        try:
            if self.context.plugins is None:
                raise PluginError("plugins cannot be reached from here")
            plugin: Any = self.context.plugins.get("hypervisor", name)
            parameters = plugin.describe().defaults() | self._cluster_parameters(name)
            resources: NodeResources = plugin.node_resources(parameters)
            running = len(plugin.list_instances())
        except GenericError as error:
            return {"name": name, "error": str(error)}
        return {
            "name": name,
            "version": resources.hv_version,
            "memory_total": resources.memory_total,
            "memory_free": resources.memory_free,
            "memory_node": resources.memory_dom0,
            "memory_hypervisor": resources.memory_hv,
            "cpu_total": resources.cpu_total,
            "cpu_node": resources.cpu_dom0,
            "cpu_sockets": resources.cpu_sockets,
            "cpu_nodes": resources.cpu_nodes,
            "instances": running,
        }

    def _cluster_parameters(self, name: str) -> dict[str, Any]:
        """The cluster's own values; without confd the plugin's defaults must do."""
        if self.context.cluster is None:
            return {}
        try:
            answer = self.context.cluster.ask(CONFIG_QUERY, f"/cluster/hvparams/{name}")
        except ConfdClientError:
            return {}
        return answer if isinstance(answer, dict) else {}
