from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.errors import BlockDeviceError, PluginError
from ganeti_kernel.node.context import NodeContext, Services
from ganeti_kernel.objects.guest import BlockDevice, Guest, GuestDisk, GuestNic
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins.registry import Broken, Registry
from ganeti_kernel.specs import Description, Plugin, PluginContext, hookimpl
from ganeti_kernel.specs.disk_template import DiskPlan, DiskRequest, DiskTemplate
from ganeti_kernel.specs.hypervisor import Console, Hypervisor, InstanceState, NodeResources
from ganeti_kernel.specs.network_script import NetworkScript, NicRequest


class FixedRegistry(Registry):
    """Plugins given as objects instead of installed ones."""

    def __init__(self, plugins: Mapping[str, Mapping[str, Any]]) -> None:
        self.fixed = {kind: dict(items) for kind, items in plugins.items()}
        self.later: dict[str, dict[str, Any]] = {}
        self.broken: list[Broken] = []

    def refresh(self) -> bool:
        if not self.later:
            return False
        for kind, items in self.later.items():
            self.fixed.setdefault(kind, {}).update(items)
        self.later = {}
        return True

    def names(self, kind: str) -> list[str]:
        return sorted(self.fixed.get(kind, {}))

    def get(self, kind: str, name: str) -> Any:
        try:
            return self.fixed[kind][name]
        except KeyError:
            raise PluginError(f"{kind} {name!r} is not installed on this node") from None

    def location(self, kind: str, name: str) -> str:
        return f"{kind}-{name} 1.0" if name in self.names(kind) else ""

    def load_all(self, kind: str) -> tuple[dict[str, Any], list[Broken]]:
        return dict(self.fixed.get(kind, {})), [item for item in self.broken if item.kind == kind]

    def broken_sources(self, kind: str) -> list[Broken]:
        return []


class MemoryTemplate(DiskTemplate):
    """Disks are names in a set; `log` has what was called."""

    features = frozenset({"grow"})

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self.volumes: set[str] = set()
        self.log: list[str] = []
        self.fail: dict[str, Exception] = {}

    def _note(self, call: str, disk: GuestDisk) -> None:
        self.log.append(f"{call} {disk.uuid}")
        if call in self.fail:
            raise self.fail[call]

    @hookimpl
    def describe(self) -> Description:
        return Description(name="memory", version="1", summary="", features=self.features)

    @hookimpl
    def check_request(self, request: DiskRequest) -> Sequence[str]:
        return [f"unknown key {key}" for key in request.spec]

    @hookimpl
    def plan(self, request: DiskRequest) -> DiskPlan:
        return DiskPlan(logical_id=["memory", request.uuid], size=request.size)

    @hookimpl
    def create(self, disk: GuestDisk) -> None:
        self._note("create", disk)
        self.volumes.add(disk.uuid)

    @hookimpl
    def remove(self, disk: GuestDisk) -> None:
        self._note("remove", disk)
        self.volumes.discard(disk.uuid)

    @hookimpl
    def exists(self, disk: GuestDisk) -> bool:
        return disk.uuid in self.volumes

    @hookimpl
    def attach(self, disk: GuestDisk) -> BlockDevice:
        self._note("attach", disk)
        if disk.uuid not in self.volumes:
            raise BlockDeviceError(f"{disk.uuid} does not exist")
        return BlockDevice(path=f"/dev/{disk.uuid}", uris={"memory": f"mem:{disk.uuid}"})

    @hookimpl
    def detach(self, disk: GuestDisk) -> None:
        self._note("detach", disk)

    @hookimpl
    def actual_size(self, disk: GuestDisk) -> int:
        return disk.size << 20

    @hookimpl
    def open(self, disk: GuestDisk, exclusive: bool) -> None:
        self._note(f"open({exclusive})", disk)

    @hookimpl
    def close(self, disk: GuestDisk) -> None:
        self._note("close", disk)

    @hookimpl
    def set_info(self, disk: GuestDisk, text: str) -> None:
        self._note(f"info({text})", disk)


class MemoryHypervisor(Hypervisor):
    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self.guests: dict[str, Guest] = {}
        self.resources: Callable[[], NodeResources] = lambda: NodeResources(
            memory_total=1024, memory_free=512, memory_dom0=512
        )

    @hookimpl
    def describe(self) -> Description:
        return Description(name="memory", version="1", summary="")

    @hookimpl
    def verify(self, hvparams: Mapping[str, Any]) -> Sequence[str]:
        return ["no accelerator"]

    @hookimpl
    def check_parameters(self, hvparams: Mapping[str, Any]) -> Sequence[str]:
        return [f"no {key} here" for key in hvparams]

    @hookimpl
    def node_resources(self, hvparams: Mapping[str, Any]) -> NodeResources:
        return self.resources()

    @hookimpl
    def list_instances(self) -> Sequence[InstanceState]:
        return [InstanceState(name=name) for name in sorted(self.guests)]

    @hookimpl
    def instance_state(self, name: str) -> InstanceState | None:
        return InstanceState(name=name) if name in self.guests else None

    @hookimpl
    def start_instance(self, guest: Guest, paused: bool) -> None:
        self.guests[guest.name] = guest

    @hookimpl
    def stop_instance(self, name: str, force: bool, timeout: float) -> None:
        self.guests.pop(name, None)

    @hookimpl
    def reboot_instance(self, guest: Guest) -> None:
        self.guests[guest.name] = guest

    @hookimpl
    def console(self, guest: Guest, node: str) -> Console:
        return Console(instance=guest.name, kind="ssh", host=node, command=["true"])


class RecordingScript(NetworkScript):
    def __init__(self, name: str, log: list[str], *, service: bool = False) -> None:
        super().__init__(PluginContext(paths=Paths()))
        self.name = name
        self.log = log
        self.failure: Exception | None = None
        if service:
            self.IS_SERVICE = True  # type: ignore[misc] # one class serves both in tests

    @hookimpl
    def describe(self) -> Description:
        return Description(name=self.name, version="1", summary="")

    @hookimpl
    def up(self, request: NicRequest) -> None:
        self.log.append(f"up {self.name} {request.interface}")
        if self.failure is not None:
            raise self.failure

    @hookimpl
    def down(self, request: NicRequest) -> None:
        self.log.append(f"down {self.name} {request.interface}")
        if self.failure is not None:
            raise self.failure


class NotedServices(Services):
    """Notes what node calls want of the machine's daemons."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.runs = False

    def left(self) -> None:
        self.asked.append("left")

    def master_runs(self) -> bool:
        return self.runs

    def stop_master(self) -> list[str]:
        self.asked.append("stop_master")
        return ["ganeti-masterd"]

    def reload(self, name: str) -> None:
        self.asked.append(f"reload {name}")


class NodeParts:
    """A node context with its plugins at hand."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root)
        self.paths.data_dir.mkdir(parents=True)
        plain = PluginContext(paths=self.paths)
        self.template = MemoryTemplate(plain)
        self.hypervisor = MemoryHypervisor(plain)
        self.services = NotedServices()
        self.registry = FixedRegistry(
            {
                "disk_template": {"memory": self.template},
                "hypervisor": {"memory": self.hypervisor},
            }
        )
        self.context = NodeContext(self.paths, "node1.example.com", self.registry, self.services)

    def script(self, name: str, log: list[str], *, service: bool = False) -> RecordingScript:
        made = RecordingScript(name, log, service=service)
        self.registry.fixed.setdefault("network_script", {})[name] = made
        return made

    def add(self, kind: str, name: str, plugin: Plugin) -> None:
        self.registry.fixed.setdefault(kind, {})[name] = plugin


@pytest.fixture
def node(tmp_path: Path) -> NodeParts:
    return NodeParts(tmp_path / "root")


@pytest.fixture
def disk() -> GuestDisk:
    return GuestDisk(
        uuid="d0", index=0, dev_type="memory", logical_id=["x"], size=8, instance="inst1"
    )


@pytest.fixture
def nic() -> GuestNic:
    return GuestNic(index=0, uuid="n0", mac="aa:00:00:00:00:01", mode="bridged", link="br0")


@pytest.fixture
def guest(disk: GuestDisk, nic: GuestNic) -> Guest:
    return Guest(name="inst1", uuid="i1", hypervisor="memory", os="probe", disks=[disk], nics=[nic])
