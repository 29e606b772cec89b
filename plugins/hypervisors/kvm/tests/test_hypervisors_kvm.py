"""Hypervisor kvm on real QEMU processes (no guest boots): the contract, crashes, failures."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from ganeti_hypervisors_kvm import KvmHypervisor, accel, drives, processes, taps

from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.objects import BlockDevice, Guest, GuestDisk
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.specs.hypervisor import Hypervisor
from ganeti_kernel.testing.fakes import FixedLookup, RecordingNics
from ganeti_kernel.testing.hypervisor import NAME, HypervisorContract, make_guest

QEMU = shutil.which("kvm") or shutil.which("qemu-system-x86_64") or ""
pytestmark = pytest.mark.skipif(not QEMU, reason="QEMU is not installed")

PARAMS: dict[str, object] = {"kernel_path": "", "kvm_path": QEMU, "kvm_flag": "disabled"}


class Kvm(HypervisorContract):
    @pytest.fixture
    def plugin_class(self) -> type[KvmHypervisor]:
        return KvmHypervisor

    @pytest.fixture
    def hvparams(self) -> dict[str, object]:
        return dict(PARAMS)

    @pytest.fixture
    def stop_timeout(self) -> float:
        return 0.3  # the firmware ignores the power button

    @pytest.fixture
    def broken_guest(self, guest: Guest) -> Guest:
        disk = GuestDisk(
            uuid="c1e0c9a2-0000-4000-8000-000000000000",
            index=0,
            dev_type="file",
            logical_id=[],
            size=1,
            device=BlockDevice(path="/no/such/disk"),
        )
        return msgspec.structs.replace(guest, disks=[disk])

    @pytest.fixture
    def wrong_hvparams(self) -> list[dict[str, object]]:
        return [
            {"kernel_path": "/no/such/kernel"},
            {"cpu_mask": "x"},
            {"boot_order": "cdrom"},
            {"machine_version": "no-such-machine"},
            {"security_model": "pool"},
        ]


@pytest.mark.root
@pytest.mark.skipif(not taps.usable(), reason="taps need root and /dev/net/tun")
class TestKvmWithTaps(Kvm):
    @pytest.fixture(autouse=True)
    def own_network(self, ganeti_netns: None) -> None:
        """Taps are made in the test's namespace."""


class TestKvmWithoutPrivileges(Kvm):
    MAKES_INTERFACES = False

    @pytest.fixture(autouse=True)
    def no_taps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(taps, "usable", lambda: False)


@pytest.fixture
def kvm(ganeti_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KvmHypervisor]:
    monkeypatch.setattr(taps, "usable", lambda: False)
    plugin = KvmHypervisor(PluginContext(paths=Paths(ganeti_root)))
    yield plugin
    for state in plugin.list_instances():
        plugin.stop_instance(state.name, True, 1.0)


@pytest.fixture
def guest(kvm: Hypervisor) -> Guest:
    return make_guest(kvm, NAME, PARAMS)


def base(root: Path) -> Path:
    return root / "var/run/ganeti/kvm-hypervisor"


def test_files_are_upstreams(kvm: KvmHypervisor, guest: Guest, ganeti_root: Path) -> None:
    kvm.start_instance(guest, False)
    directory = base(ganeti_root)
    for file in ("pid", "ctrl/{}.monitor", "ctrl/{}.serial", "ctrl/{}.qmp", "conf/{}.runtime"):
        path = directory / (file.format(NAME) if "{" in file else f"{file}/{NAME}")
        assert path.exists(), path
    argv, nics, hvparams, disks = msgspec.json.decode(
        (directory / f"conf/{NAME}.runtime").read_bytes()
    )
    assert argv[0] == QEMU
    assert [nic["mac"] for nic in nics] == [nic.mac for nic in guest.nics]
    assert hvparams == guest.hvparams
    assert disks == []
    kvm.stop_instance(NAME, True, 1.0)
    assert [path for path in directory.glob("**/*") if path.is_file() or path.is_socket()] == []


def test_crash_is_noticed(kvm: KvmHypervisor, guest: Guest) -> None:
    kvm.start_instance(guest, False)
    state = kvm.instance_state(NAME)
    assert state is not None
    os.kill(state.id, signal.SIGKILL)
    pidfile = kvm.context.paths.run_dir / "kvm-hypervisor/pid" / NAME
    assert processes.wait_gone(state.id, pidfile, 10.0)
    assert kvm.instance_state(NAME) is None
    assert list(kvm.list_instances()) == []
    kvm.start_instance(guest, False)
    again = kvm.instance_state(NAME)
    assert again is not None
    assert again.id != state.id


def test_start_that_was_cut_off_is_finished(kvm: KvmHypervisor, guest: Guest) -> None:
    """A node daemon that ends between QEMU's start and `cont` leaves it as `paused` does."""
    kvm.start_instance(guest, True)
    kvm.start_instance(guest, True)
    assert kvm._ask(NAME, ("query-status", {}))[0]["status"] == "prelaunch"
    kvm.start_instance(guest, False)
    assert kvm._ask(NAME, ("query-status", {}))[0]["status"] == "running"
    assert len(kvm.list_instances()) == 1


def test_start_after_half_a_start_cleans_up(
    kvm: KvmHypervisor, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node daemon that ends before QEMU starts leaves files, and no pid."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ganeti_kernel.plugins.process.check", die)
        with pytest.raises(KeyboardInterrupt):
            kvm.start_instance(guest, False)
    assert list(kvm.list_instances()) == []
    kvm.start_instance(guest, False)
    assert [state.name for state in kvm.list_instances()] == [NAME]


def test_pid_of_somebody_else_is_not_believed(
    kvm: KvmHypervisor, guest: Guest, ganeti_root: Path
) -> None:
    pidfile = base(ganeti_root) / "pid" / NAME
    pidfile.parent.mkdir(parents=True)
    for text in (str(os.getpid()), "1", "", "no number", "99999999", "-1"):
        pidfile.write_text(text)
        assert kvm.instance_state(NAME) is None
        kvm.stop_instance(NAME, True, 1.0)
        assert not pidfile.exists()


def test_qemu_that_hangs_is_ended(kvm: KvmHypervisor, guest: Guest) -> None:
    kvm.start_instance(guest, False)
    state = kvm.instance_state(NAME)
    assert state is not None
    os.kill(state.id, signal.SIGSTOP)
    listed = kvm.list_instances()
    assert [item.memory for item in listed] == [guest.maxmem]
    with pytest.raises(HypervisorError, match="did not answer within"):
        kvm._ask(NAME, ("query-status", {}), timeout=0.2)
    kvm.stop_instance(NAME, False, 0.3)
    assert kvm.instance_state(NAME) is None


def test_disk_that_is_not_active_is_named(kvm: KvmHypervisor, guest: Guest) -> None:
    disk = GuestDisk(
        uuid="c1", index=3, dev_type="file", logical_id=[], size=1, instance=guest.name
    )
    with pytest.raises(HypervisorError, match=r"disk 3 of inst1.* is not active"):
        kvm.start_instance(msgspec.structs.replace(guest, disks=[disk]), False)
    assert list(kvm.list_instances()) == []


@pytest.mark.parametrize("disk_type", ["paravirtual", "ide", "scsi", "scsi-hd"])
@pytest.mark.parametrize("shared", [False, True])
def test_qemu_takes_disks_of_every_type(
    kvm: KvmHypervisor,
    guest: Guest,
    tmp_path: Path,
    disk_type: str,
    shared: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drives, "is_shared", lambda *_: shared)
    disks = []
    for index in range(2):
        image = tmp_path / f"disk,{index}"
        image.write_bytes(bytes(1 << 20))
        device = BlockDevice(path=str(image), uris={"kvm": f"file:{image}"} if index else {})
        disks.append(
            GuestDisk(
                uuid=f"c1e0c9a2-0000-400{index}-8000-000000000000",
                index=index,
                dev_type="file",
                logical_id=[],
                size=1,
                mode="ro" if index and disk_type != "ide" else "rw",
                device=device,
            )
        )
    params = {**guest.hvparams, "disk_type": disk_type}
    kvm.start_instance(msgspec.structs.replace(guest, disks=disks, hvparams=params), True)
    (blocks,) = kvm._ask(NAME, ("query-block", {}))
    files = {item["inserted"]["file"] for item in blocks if item.get("inserted")}
    assert files >= {disk.device.path for disk in disks}


@pytest.mark.parametrize("direct", [True, False])
def test_shared_disk_where_caches_cannot_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    """File systems in memory refuse direct I/O."""
    image = tmp_path / "disk"
    image.write_bytes(bytes(1 << 20))
    device = BlockDevice(path=str(image))
    disk = GuestDisk(uuid="c1", index=0, dev_type="ext", logical_id=[], size=1, device=device)
    really_open = os.open

    def pretend(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT and not direct:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return really_open(path, flags & ~os.O_DIRECT, mode)

    monkeypatch.setattr(os, "open", pretend)
    context = PluginContext(paths=Paths(tmp_path), plugins=FixedLookup())
    assert drives.drive(context, disk).shared == direct


def test_nobody_knows_a_disk_of_a_template_that_is_gone(tmp_path: Path) -> None:
    disk = GuestDisk(uuid="c1", index=0, dev_type="gone", logical_id=[], size=1)
    assert drives.is_shared(PluginContext(paths=Paths(tmp_path), plugins=FixedLookup()), disk)
    assert not drives.is_shared(PluginContext(paths=Paths(tmp_path)), disk)


@pytest.mark.parametrize("nic_type", ["paravirtual", "e1000", "ne2k_isa", "rtl8139", "i82551"])
def test_qemu_takes_nics_of_every_type(kvm: KvmHypervisor, guest: Guest, nic_type: str) -> None:
    guest = msgspec.structs.replace(guest, hvparams={**guest.hvparams, "nic_type": nic_type})
    if nic_type == "ne2k_isa":
        guest = msgspec.structs.replace(guest, nics=guest.nics[:1])
    kvm.start_instance(guest, True)
    (filters,) = kvm._ask(NAME, ("query-rx-filter", {})) if nic_type == "paravirtual" else ([],)
    assert {item["main-mac"] for item in filters} <= {nic.mac for nic in guest.nics}
    assert kvm.instance_state(NAME) is not None


def test_guest_with_everything_on(kvm: KvmHypervisor, guest: Guest, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    image = tmp_path / "image.iso"
    image.write_bytes(bytes(1 << 20))
    params = {
        **guest.hvparams,
        "machine_version": "q35",
        "acpi": False,
        "cpu_cores": 1,
        "cpu_type": "qemu64",
        "cpu_mask": "0",
        "cdrom_image_path": str(image),
        "boot_order": "cdrom",
        "usb_mouse": "tablet",
        "use_localtime": True,
        "vga": "std",
        "keymap": "de",
        "use_guest_agent": True,
        "vnc_bind_address": str(tmp_path),
        "vnc_password_file": str(secret),
        "kvm_extra": "-boot 'menu=off'",
        "reboot_behavior": "exit",
        "disk_discard": "unmap",
    }
    guest = msgspec.structs.replace(guest, hvparams=params, minmem=32)
    assert list(kvm.check_parameters(params)) == []
    kvm.start_instance(guest, False)
    state = kvm.instance_state(NAME)
    assert state is not None
    assert os.sched_getaffinity(state.id) >= {0}
    assert b"s3cret" not in Path(f"/proc/{state.id}/cmdline").read_bytes()


def test_console_reports_a_guest_that_is_not_there(kvm: KvmHypervisor, guest: Guest) -> None:
    console = kvm.console(guest, "node1.example.com")
    assert console.command is not None
    assert console.command[0] == sys.executable
    finished = subprocess.run(console.command, capture_output=True, text=True, timeout=30)
    assert finished.returncode == 1
    assert finished.stderr.startswith("cannot reach the console at")
    assert "Traceback" not in finished.stderr


def test_console_reads_the_firmware(kvm: KvmHypervisor, guest: Guest) -> None:
    """SeaBIOS speaks on the serial port when it is told to."""
    params = {**guest.hvparams, "kvm_extra": "-fw_cfg name=etc/sercon-port,string=0"}
    kvm.start_instance(msgspec.structs.replace(guest, hvparams=params), True)
    command = kvm.console(guest, "node1").command
    assert command is not None
    finished = subprocess.run(
        [*command, "--until", "x", "--timeout", "0.5"], capture_output=True, text=True, timeout=30
    )
    assert finished.returncode == 1
    assert "the guest did not say 'x' within 0.5 seconds" in finished.stderr


def test_other_consoles(kvm: KvmHypervisor, guest: Guest) -> None:
    quiet = {**guest.hvparams, "serial_console": False}
    silent = msgspec.structs.replace(guest, hvparams=quiet)
    assert kvm.console(silent, "node1").kind == "msg"
    screen = msgspec.structs.replace(
        guest, hvparams={**quiet, "vnc_bind_address": "0.0.0.0"}, network_port=11003
    )
    console = kvm.console(screen, "node1")
    assert (console.kind, console.host, console.port) == ("vnc", "node1", 11003)


def test_root_that_is_too_long_for_sockets(guest: Guest, tmp_path: Path) -> None:
    root = tmp_path / ("long" * 20)
    plugin = KvmHypervisor(PluginContext(paths=Paths(root)))
    with pytest.raises(HypervisorError, match="too long for a socket"):
        plugin.start_instance(guest, False)


def test_missing_qemu_is_one_line(kvm: KvmHypervisor, guest: Guest) -> None:
    params = {**guest.hvparams, "kvm_path": "/no/such/qemu"}
    (problem,) = kvm.verify(params)
    assert "/no/such/qemu" in problem
    assert kvm.node_resources(params).hv_version == ""
    with pytest.raises(HypervisorError, match="/no/such/qemu"):
        kvm.start_instance(msgspec.structs.replace(guest, hvparams=params), False)


def test_qemus_own_words_are_passed_on(kvm: KvmHypervisor, guest: Guest) -> None:
    params = {**guest.hvparams, "kvm_extra": "-no-such-option"}
    with pytest.raises(HypervisorError, match="no-such-option: invalid option"):
        kvm.start_instance(msgspec.structs.replace(guest, hvparams=params), False)


def test_words_of_a_qemu_in_the_background_are_passed_on(
    kvm: KvmHypervisor, guest: Guest, ganeti_root: Path
) -> None:
    """What fails after QEMU has gone into the background is only in its log."""
    log = ganeti_root / "var/log/ganeti/kvm" / NAME
    log.parent.mkdir(parents=True)
    log.with_name(f"{NAME}.log").write_text("something of last week\n")
    extra = "-device virtio-blk-pci,drive=nosuchdrive"
    params = {**guest.hvparams, "kvm_extra": extra}
    with pytest.raises(HypervisorError, match="nosuchdrive") as caught:
        kvm.start_instance(msgspec.structs.replace(guest, hvparams=params), False)
    assert "last week" not in str(caught.value)


def test_probe_boots_under_the_translator() -> None:
    assert accel.works(QEMU, "tcg", timeout=60.0)


def test_probe_fails_where_there_is_no_qemu() -> None:
    assert not accel.works("/no/such/qemu")


def test_answer_of_the_probe_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def works(path: str) -> bool:
        asked.append(path)
        return path == "good"

    monkeypatch.setattr(accel, "works", works)
    monkeypatch.setattr(accel, "DEVICE", tmp_path)
    monkeypatch.setattr(accel, "BOOT_ID", tmp_path / "boot_id")
    (tmp_path / "boot_id").write_text("one\n")
    assert [accel.choose("good", tmp_path) for _ in range(3)] == ["kvm"] * 3
    assert accel.choose("bad", tmp_path) == "tcg"
    (tmp_path / "boot_id").write_text("two\n")
    assert accel.choose("bad", tmp_path) == "tcg"
    assert asked == ["good", "bad", "bad"]
    (tmp_path / "accelerator").write_bytes(b"\x00garbage")
    assert accel.choose("good", tmp_path) == "kvm"
    monkeypatch.setattr(accel, "DEVICE", tmp_path / "missing")
    assert accel.choose("good", tmp_path) == "tcg"


@pytest.mark.root
@pytest.mark.skipif(not taps.usable(), reason="taps need root and /dev/net/tun")
def test_taps_of_a_crashed_qemu_are_removed(ganeti_netns: None, ganeti_root: Path) -> None:
    nics = RecordingNics()
    plugin = KvmHypervisor(PluginContext(paths=Paths(ganeti_root), nics=nics))
    guest = make_guest(plugin, NAME, PARAMS)
    plugin.start_instance(guest, False)
    state = plugin.instance_state(NAME)
    assert state is not None
    assert len(links()) == 2
    assert set(nics.connected) == set(links())
    recorded = sorted((base(ganeti_root) / "nic" / NAME).iterdir())
    assert [file.name for file in recorded] == ["0", "1"]
    assert {file.read_text() for file in recorded} == set(links())
    os.kill(state.id, signal.SIGKILL)
    plugin.stop_instance(NAME, False, 1.0)
    assert links() == []
    assert nics.connected == {}


def links() -> list[str]:
    text = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
    names = [line.split(": ")[1] for line in text.splitlines()]
    return [name for name in names if name.startswith("tap")]
