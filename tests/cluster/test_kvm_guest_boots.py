"""A guest really boots under QEMU: disk, network, console and power button are real."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

import pytest
from ganeti_hypervisors_kvm import KvmHypervisor, taps
from ganeti_networks_bridged import BridgedScript
from ganeti_os_busybox import CannotFetch, install, kernel
from ganeti_storage_ext_loopfile import LoopfileProvider

from ganeti_kernel.objects import BlockDevice, Guest, GuestDisk, GuestNic
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.specs.extstorage import Volume
from ganeti_kernel.specs.network_script import NicRequest

pytestmark = [pytest.mark.qemu, pytest.mark.slow, pytest.mark.timeout(240)]

NAME = "inst1.example.com"
ADDRESS = "192.0.2.10"
BOOT_SECONDS = 120
NIC = GuestNic(
    index=0,
    uuid="7d0f1ea4-0000-4000-8000-000000000000",
    mac="aa:00:00:00:00:01",
    mode="bridged",
    link="br0",
    ip=ADDRESS,
)


class Nics:
    """The bridged script without a node around it."""

    def __init__(self, context: PluginContext) -> None:
        self.script = BridgedScript(context)

    def up(self, guest: Guest, nic: GuestNic, interface: str, phase: str = "") -> None:
        self.script.up(NicRequest(instance=guest.name, interface=interface, nic=nic))

    def down(self, guest: Guest, nic: GuestNic, interface: str) -> None:
        self.script.down(NicRequest(instance=guest.name, interface=interface, nic=nic))


@pytest.fixture(scope="module")
def boot_files() -> tuple[Path, Path]:
    """Kernel and RAM disk, made once for this user and this code."""
    try:
        return kernel.prepare(kernel.cache_directory())
    except CannotFetch as error:
        pytest.skip(f"no kernel to boot: {error}")


@pytest.fixture
def bridge(ganeti_netns: None) -> None:
    for command in (
        "link add br0 type bridge",
        "addr add 192.0.2.1/28 dev br0",
        "link set br0 up",
    ):
        subprocess.run(["ip", *command.split()], check=True, timeout=10)


def make_disk(provider: LoopfileProvider, volume: Volume, definition: Path) -> BlockDevice:
    """A volume with the system on it, as the node daemon has it made."""
    provider.create(volume)
    device = provider.attach(volume)
    env = {
        "PATH": "/sbin:/bin:/usr/sbin:/usr/bin",
        "INSTANCE_NAME": NAME,
        "OS_VARIANT": "default",
        "DISK_COUNT": "1",
        "DISK_0_PATH": str(device.path),
        "DISK_0_ACCESS": "rw",
        "NIC_COUNT": "1",
        "NIC_0_MAC": NIC.mac,
        "NIC_0_IP": ADDRESS,
        "NIC_0_NETWORK_SUBNET": "192.0.2.0/28",
        "NIC_0_NETWORK_GATEWAY": "192.0.2.1",
    }
    subprocess.run(["./create"], cwd=definition, env=env, check=True, timeout=60)
    return device


def boot(
    root: Path, boot_files: tuple[Path, Path], *, nics: bool, kvm_flag: str
) -> tuple[KvmHypervisor, Guest]:
    context = PluginContext(paths=Paths(root))
    if nics:
        context = PluginContext(paths=Paths(root), nics=Nics(context))
    hypervisor = KvmHypervisor(context)
    device = make_disk(LoopfileProvider(context), VOLUME, install.install(root / "os"))
    disk = GuestDisk(
        uuid=VOLUME.uuid,
        index=0,
        dev_type="ext",
        logical_id=["loopfile", VOLUME.name],
        size=VOLUME.size,
        instance=NAME,
        device=device,
    )
    params = {
        **hypervisor.describe().defaults(),
        "kernel_path": str(boot_files[0]),
        "initrd_path": str(boot_files[1]),
        "root_path": "/dev/vda",
        "kernel_args": "ro quiet",
        "kvm_flag": kvm_flag,
    }
    guest = Guest(
        name=NAME,
        uuid="5f0f1ea4-0000-4000-8000-000000000000",
        hypervisor="kvm",
        maxmem=128,
        minmem=128,
        hvparams=params,
        disks=[disk],
        nics=[NIC],
    )
    assert list(hypervisor.check_parameters(params)) == []
    hypervisor.start_instance(guest, False)
    return hypervisor, guest


VOLUME = Volume(name="c1.ext.disk0", uuid="c1e0c9a2-0000-4000-8000-000000000000", size=64)


def read_console(hypervisor: KvmHypervisor, guest: Guest) -> str:
    argv = hypervisor.console(guest, "node1.example.com").command
    assert argv is not None
    finished = subprocess.run(
        [*argv, "--until", "Press Enter for a prompt", "--timeout", str(BOOT_SECONDS)],
        capture_output=True,
        text=True,
        timeout=BOOT_SECONDS + 30,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.mark.root
@pytest.mark.skipif(not taps.usable(), reason="taps need root and /dev/net/tun")
def test_guest_boots_answers_and_shuts_down(
    bridge: None,
    ganeti_root: Path,
    boot_files: tuple[Path, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider = LoopfileProvider(PluginContext(paths=Paths(ganeti_root)))
    hypervisor = None
    try:
        hypervisor, guest = boot(ganeti_root, boot_files, nics=True, kvm_flag="")
        console = read_console(hypervisor, guest)
        assert f"ganeti guest {NAME} is up: eth0 {ADDRESS}/28" in console
        ping = ["busybox", "ping", "-c", "3", "-W", "5", ADDRESS]
        subprocess.run(ping, check=True, capture_output=True, timeout=60)
        state = hypervisor.instance_state(NAME)
        assert state is not None
        with caplog.at_level(logging.WARNING):
            hypervisor.stop_instance(NAME, False, 60.0)
        assert "ended by force" not in caplog.text, "the guest ignored its power button"
        assert hypervisor.instance_state(NAME) is None
        assert "tap" not in subprocess.run(["ip", "link"], capture_output=True, text=True).stdout
    finally:
        if hypervisor is not None:
            hypervisor.stop_instance(NAME, True, 1.0)
        provider.remove(VOLUME)


def test_guest_boots_without_privileges(
    ganeti_root: Path, boot_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain file for a disk, QEMU's own network: what anybody may do."""
    monkeypatch.setattr(taps, "usable", lambda: False)
    monkeypatch.setattr("ganeti_storage_ext_loopfile.loop.usable", lambda: False)
    hypervisor, guest = boot(ganeti_root, boot_files, nics=False, kvm_flag="disabled")
    try:
        assert f"ganeti guest {NAME} is up: eth0 {ADDRESS}/28" in read_console(hypervisor, guest)
        hypervisor.reboot_instance(guest)
        assert f"ganeti guest {NAME} is up" in read_console(hypervisor, guest)
    finally:
        hypervisor.stop_instance(NAME, True, 1.0)
