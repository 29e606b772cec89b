"""Hypervisor fake: the contract, and what is upstream's."""

from __future__ import annotations

from pathlib import Path

import pytest
from ganeti_hypervisors_fake import FakeHypervisor
from ganeti_hypervisors_fake.state import parse

from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.hypervisor import HypervisorContract, make_guest


class TestFake(HypervisorContract):
    MAKES_INTERFACES = False

    @pytest.fixture
    def plugin_class(self) -> type[FakeHypervisor]:
        return FakeHypervisor


@pytest.fixture
def fake(tmp_path: Path) -> FakeHypervisor:
    return FakeHypervisor(PluginContext(paths=Paths(tmp_path)))


def test_state_file_is_upstreams(fake: FakeHypervisor, tmp_path: Path) -> None:
    fake.start_instance(make_guest(fake, "inst1.example.com", {}), False)
    file = tmp_path / "var/run/ganeti/fake-hypervisor/inst1.example.com"
    assert file.read_text() == "0\n64\n1\n"


def test_memory_of_instances_is_not_free(fake: FakeHypervisor, tmp_path: Path) -> None:
    directory = tmp_path / "var/run/ganeti/fake-hypervisor"
    directory.mkdir(parents=True)
    (directory / "inst1.example.com").write_text("0\n99999999\n1\n")
    assert fake.node_resources({}).memory_free == 0


@pytest.mark.parametrize("text", ["", "0\n1\n", "a\nb\nc\n", "1 2 3 4"])
def test_broken_state_is_named(fake: FakeHypervisor, tmp_path: Path, text: str) -> None:
    directory = tmp_path / "var/run/ganeti/fake-hypervisor"
    directory.mkdir(parents=True)
    (directory / "inst1.example.com").write_text(text)
    with pytest.raises(HypervisorError, match=r"inst1\.example\.com is not an instance's state"):
        fake.list_instances()
    with pytest.raises(ValueError, match=r".+"):
        parse("inst1.example.com", text)


def test_migration_moves_the_state(fake: FakeHypervisor, tmp_path: Path) -> None:
    target = FakeHypervisor(PluginContext(paths=Paths(tmp_path / "other")))
    guest = make_guest(fake, "inst1.example.com", {})
    fake.start_instance(guest, False)
    info = fake.migration_info(guest)
    target.accept_instance(guest, info, "192.0.2.1")
    fake.migrate_instance(guest, "192.0.2.1", True)
    fake.migrate_instance(guest, "192.0.2.1", True)
    assert fake.migration_status(guest).status == "completed"
    assert [state.name for state in fake.list_instances()] == [guest.name]
    fake.finalize_migration_source(guest, True)
    target.finalize_migration_target(guest, info, True)
    assert fake.instance_state(guest.name) is None
    assert target.instance_state(guest.name) is not None
    assert fake.migration_status(guest).status == "failed"


def test_migration_that_is_given_up_leaves_the_guest(fake: FakeHypervisor, tmp_path: Path) -> None:
    target = FakeHypervisor(PluginContext(paths=Paths(tmp_path / "other")))
    guest = make_guest(fake, "inst1.example.com", {})
    with pytest.raises(HypervisorError, match="does not run on this node"):
        fake.migrate_instance(guest, "192.0.2.1", True)
    assert fake.migration_status(guest).status == "failed"
    fake.start_instance(guest, False)
    fake.migrate_instance(guest, "192.0.2.1", True)
    target.finalize_migration_target(guest, "", False)
    fake.finalize_migration_source(guest, False)
    assert target.instance_state(guest.name) is None
    assert fake.instance_state(guest.name) is not None
    assert fake.migration_status(guest).status == "failed"
