"""What each hypervisor plugin says of the instances whose primary node this is."""

from __future__ import annotations

__version__ = "0.1.0"

from collections.abc import Mapping
from typing import Any

from ganeti_kernel.errors import GenericError, HypervisorError, PluginError
from ganeti_kernel.specs import Description, hookimpl
from ganeti_kernel.specs.collector import (
    CONFD_INPUTS,
    KIND_STATUS,
    REPAIRING,
    UNKNOWN,
    Collector,
    Field,
    merge_status,
    status,
)
from ganeti_kernel.specs.hypervisor import STATE_RUNNING, InstanceState
from ganeti_kernel.specs.instance_status import FIELDS, entry, primary_instances
from ganeti_kernel.specs.reading import read_text

UNEXPECTED = "It runs here, but this is not its primary node"

Guests = Mapping[str, InstanceState]


class InstanceStatus(Collector):
    """The report of `inst-status-xen` for every hypervisor, with three fields more.

    A guest that runs here while another node is its primary is in `unexpected`: at the end of a
    migration that is so for a moment.
    """

    API_VERSION = 1
    CATEGORY = "instance"
    KIND = KIND_STATUS
    FIELDS = (
        *FIELDS,
        Field(path="instances[].hypervisor", type="string", help="its hypervisor", label=True),
        Field(
            path="instances[].memory",
            unit="MiB",
            help="memory it has now, null when it does not run",
            metric="memory_bytes",
            scale=1 << 20,
        ),
        Field(path="instances[].vcpus", help="virtual CPUs, null when it does not run"),
        Field(
            path="instances[].cpuTime",
            type="float",
            unit="seconds",
            help="CPU time since it was started, null when it does not run",
            metric="cpu_seconds_total",
            counter=True,
        ),
        Field(path="unexpected[].name", type="string", help="guest of another node", label=True),
        Field(path="unexpected[].hypervisor", type="string", help="its hypervisor", label=True),
        Field(path="problems[]", type="string", help="hypervisors that do not answer, and why"),
    )
    INPUTS = CONFD_INPUTS

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="inst-status", version=__version__, summary="status of the node's instances"
        )

    @hookimpl
    def precondition(self) -> str | None:
        path = self.context.paths.ssconf("hypervisor_list")
        return None if path.exists() else f"this node belongs to no cluster ({path} is missing)"

    @hookimpl
    def collect(self) -> Any:
        instances = primary_instances(self.context.cluster, self.context.node_name)
        enabled = read_text(self.context.paths.ssconf("hypervisor_list")).split()
        wanted = {str(item.get("hypervisor", "")) for item in instances}
        guests: dict[str, Guests] = {}
        problems: dict[str, str] = {}
        for name in sorted(wanted.union(enabled)):
            try:
                guests[name] = self._guests(name)
            except (PluginError, HypervisorError, GenericError) as error:
                problems[name] = f"hypervisor {name}: {error}"
        entries = [self._entry(item, guests, problems) for item in instances]
        unexpected = _unexpected(instances, guests)
        codes = [(item["status"]["code"], _line(item)) for item in entries]
        codes += [(REPAIRING, f"{item['name']}: {UNEXPECTED}") for item in unexpected]
        codes += [(UNKNOWN, text) for text in problems.values()]
        return {
            "instances": entries,
            "unexpected": unexpected,
            "problems": list(problems.values()),
            "status": merge_status(codes),
        }

    def _guests(self, hypervisor: str) -> Guests:
        if self.context.plugins is None:
            raise PluginError("plugins cannot be reached from here")
        plugin: Any = self.context.plugins.get("hypervisor", hypervisor)
        return {guest.name: guest for guest in plugin.list_instances()}

    def _entry(
        self, instance: dict[str, Any], guests: Mapping[str, Guests], problems: Mapping[str, str]
    ) -> dict[str, Any]:
        hypervisor = str(instance.get("hypervisor", ""))
        guest = guests.get(hypervisor, {}).get(str(instance["name"]))
        if hypervisor in problems:
            actual = "unknown"
        elif guest is None:
            actual = "shutdown"
        else:
            actual = "running" if guest.state == STATE_RUNNING else "shutdown"
        out = entry(self.context.paths, instance, actual, None)
        if hypervisor in problems:
            out["status"] = status(UNKNOWN, problems[hypervisor])
        return out | {
            "hypervisor": hypervisor,
            "memory": guest.memory if guest else None,
            "vcpus": guest.vcpus if guest else None,
            "cpuTime": guest.cpu_time if guest else None,
        }


def _line(item: Mapping[str, Any]) -> str:
    message = item["status"]["message"]
    return f"{item['name']}: {message}" if message else ""


def _unexpected(
    instances: list[dict[str, Any]], guests: Mapping[str, Guests]
) -> list[dict[str, Any]]:
    expected = {item["name"] for item in instances}
    return [
        {"name": name, "hypervisor": hypervisor}
        for hypervisor, running in guests.items()
        for name, guest in running.items()
        if name not in expected and guest.state == STATE_RUNNING
    ]
