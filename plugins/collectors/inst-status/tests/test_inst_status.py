from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from ganeti_collectors_inst_status import InstanceStatus

from ganeti_kernel.errors import HypervisorError, PluginError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import Plugin, PluginContext
from ganeti_kernel.specs.hypervisor import STATE_SHUTDOWN, InstanceState
from ganeti_kernel.testing.collector import CollectorContract

NODE = "node1.example.com"


class Confd:
    def __init__(self, *instances: dict[str, Any]) -> None:
        self.instances = list(instances)

    def ask(self, number: int, query: Any) -> Any:
        assert (number, query) == (8, NODE)
        return [self.instances, []]


class Hypervisors:
    """Looks up scripted hypervisors: a list of guests, or the error it raises."""

    def __init__(self, **guests: list[InstanceState] | Exception) -> None:
        self.guests = guests

    def get(self, kind: str, name: str) -> Plugin:
        assert kind == "hypervisor"
        if name not in self.guests:
            raise PluginError(f"hypervisor {name!r} is not installed on this node")
        return cast("Plugin", Scripted(self.guests[name]))

    def names(self, kind: str) -> Sequence[str]:
        return sorted(self.guests)


class Scripted:
    def __init__(self, guests: list[InstanceState] | Exception) -> None:
        self.guests = guests

    def list_instances(self) -> Sequence[InstanceState]:
        if isinstance(self.guests, Exception):
            raise self.guests
        return self.guests


def instance(name: str, admin: str = "up", hypervisor: str = "kvm") -> dict[str, Any]:
    return {
        "name": name,
        "uuid": f"uuid-{name}",
        "admin_state": admin,
        "hypervisor": hypervisor,
        "mtime": 1.5,
    }


def context(
    root: Path, confd: Confd, hypervisors: Hypervisors, enabled: str = "kvm\n"
) -> PluginContext:
    paths = Paths(root)
    paths.data_dir.mkdir(parents=True, exist_ok=True)
    paths.ssconf("hypervisor_list").write_text(enabled)
    return PluginContext(paths=paths, node_name=NODE, cluster=confd, plugins=hypervisors)


GUEST = InstanceState(name="web", id=7, memory=512, vcpus=2, cpu_time=12.5)


class TestContract(CollectorContract):
    @pytest.fixture
    def plugin_class(self) -> type[InstanceStatus]:
        return InstanceStatus

    @pytest.fixture
    def context(self, ganeti_root: Path) -> PluginContext:
        hypervisors = Hypervisors(kvm=[GUEST, InstanceState(name="stray")])
        confd = Confd(instance("web"), instance("db"), instance("x", hypervisor="gone"))
        return context(ganeti_root, confd, hypervisors)


@pytest.mark.parametrize(
    ("admin", "guests", "actual", "code"),
    [
        ("up", [GUEST], "running", 0),
        ("up", [], "shutdown", 4),
        ("up", [InstanceState(name="web", state=STATE_SHUTDOWN)], "shutdown", 4),
        ("down", [], "shutdown", 0),
        ("down", [GUEST], "running", 4),
        ("offline", [], "shutdown", 2),
    ],
)
def test_verdicts(
    ganeti_root: Path, admin: str, guests: list[InstanceState], actual: str, code: int
) -> None:
    made = InstanceStatus(
        context(ganeti_root, Confd(instance("web", admin)), Hypervisors(kvm=guests))
    )
    data = made.collect()
    assert data["instances"][0]["actualState"] == actual
    assert data["instances"][0]["status"]["code"] == code
    assert data["status"]["code"] == code


def test_what_the_guest_uses(ganeti_root: Path) -> None:
    made = InstanceStatus(context(ganeti_root, Confd(instance("web")), Hypervisors(kvm=[GUEST])))
    item = made.collect()["instances"][0]
    assert (item["memory"], item["vcpus"], item["cpuTime"]) == (512, 2, 12.5)


def test_one_hypervisor_that_fails_costs_its_own_instances(ganeti_root: Path) -> None:
    hypervisors = Hypervisors(kvm=[GUEST], lxc=HypervisorError("lxc-ls failed"))
    confd = Confd(instance("web"), instance("box", hypervisor="lxc"))
    data = InstanceStatus(context(ganeti_root, confd, hypervisors, "kvm\nlxc\n")).collect()
    states = {item["name"]: item["actualState"] for item in data["instances"]}
    assert states == {"web": "running", "box": "unknown"}
    assert data["problems"] == ["hypervisor lxc: lxc-ls failed"]
    assert data["status"]["code"] == 2


def test_a_guest_of_another_node_is_told(ganeti_root: Path) -> None:
    data = InstanceStatus(context(ganeti_root, Confd(), Hypervisors(kvm=[GUEST]))).collect()
    assert data["unexpected"] == [{"name": "web", "hypervisor": "kvm"}]
    assert data["status"]["code"] == 1


def test_inactive_without_a_cluster(ganeti_root: Path) -> None:
    made = InstanceStatus(PluginContext(paths=Paths(ganeti_root), node_name=NODE))
    assert "no cluster" in str(made.precondition())


def test_the_fake_hypervisor(ganeti_root: Path, make_fake: Callable[[Path], Any]) -> None:
    """A real plugin through its own contract."""
    fake = make_fake(ganeti_root)

    class One(Hypervisors):
        def get(self, kind: str, name: str) -> Plugin:
            return cast("Plugin", fake)

    made = InstanceStatus(
        context(ganeti_root, Confd(instance("web", hypervisor="fake")), One(), "fake\n")
    )
    assert made.collect()["instances"][0]["actualState"] == "shutdown"
    folder = Paths(ganeti_root).run_dir / "fake-hypervisor"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "web").write_text("0\n512\n2\n")
    assert made.collect()["instances"][0]["memory"] == 512


@pytest.fixture
def make_fake() -> Callable[[Path], Any]:
    module = pytest.importorskip("ganeti_hypervisors_fake")
    return lambda root: module.FakeHypervisor(PluginContext(paths=Paths(root), node_name=NODE))
