"""Hypervisor kvm without any QEMU: command lines, rules of parameters, /proc, masks."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ganeti_hypervisors_kvm import KvmHypervisor, checks, command, processes, qmp, taps
from ganeti_hypervisors_kvm.command import Drive, Files, Interface, Machine
from ganeti_hypervisors_kvm.console import main, plain
from ganeti_hypervisors_kvm.parameters import PARAMETERS
from hypothesis import given
from hypothesis import strategies as st

from ganeti_kernel.objects import Guest, GuestDisk, GuestNic
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.hypervisor import make_guest

DEFAULTS = {item.name: item.default for item in PARAMETERS}
UUID = "c1e0c9a2-0001-4002-8003-000000000004"
FILES = Files(
    pid=Path("/run/pid"),
    log=Path("/log"),
    monitor=Path("/run/monitor"),
    serial=Path("/run/serial"),
    qmp=Path("/run/qmp"),
    agent=Path("/run/qga"),
    chroot=Path("/run/chroot"),
)
NIC = GuestNic(index=0, uuid=UUID, mac="aa:00:00:00:00:01", mode="bridged", link="br0")
DISK = GuestDisk(uuid=UUID, index=0, dev_type="file", logical_id=[], size=1)


def line(
    drives: list[Drive] | None = None, interfaces: list[Interface] | None = None, **params: Any
) -> list[str]:
    guest = Guest(
        name="inst1",
        uuid=UUID,
        hypervisor="kvm",
        maxmem=256,
        vcpus=2,
        hvparams={**DEFAULTS, **params},
    )
    return command.build(Machine(guest, "tcg", FILES, drives or [], interfaces or []))


def after(words: list[str], option: str) -> list[str]:
    return [words[index + 1] for index, word in enumerate(words[:-1]) if word == option]


def test_order_is_upstreams() -> None:
    words = line([Drive(DISK, "/disk")], [Interface(NIC, "tap0")])
    options = [word for word in words if word.startswith("-")]
    assert options == [
        "-name",
        "-m",
        "-smp",
        "-pidfile",
        "-device",
        "-daemonize",
        "-D",
        "-machine",
        "-S",
        "-kernel",
        "-append",
        "-monitor",
        "-serial",
        "-qmp",
        "-display",
        "-uuid",
        "-netdev",
        "-device",
        "-blockdev",
        "-device",
    ]


def test_kernel_arguments() -> None:
    (append,) = after(line(), "-append")
    assert append == "root=/dev/vda1 ro console=ttyS0,38400"
    (append,) = after(line(serial_console=False, root_path=None, kernel_args="quiet"), "-append")
    assert append == "quiet"
    assert after(line(kernel_path=""), "-append") == []


@pytest.mark.parametrize(
    ("params", "option", "value"),
    [
        ({"cpu_cores": 2, "cpu_sockets": 1}, "-smp", "2,cores=2,sockets=1"),
        ({"acpi": False}, "-machine", "acpi=off,accel=tcg"),
        ({"machine_version": "q35"}, "-machine", "q35,accel=tcg"),
        ({"kernel_path": "", "boot_order": "network"}, "-boot", "n"),
        ({"vnc_bind_address": "127.0.0.1"}, "-vnc", "127.0.0.1:0"),
        (
            {"vnc_bind_address": "/run/vnc", "vnc_password_file": "/p"},
            "-vnc",
            "unix:/run/vnc/inst1.vnc,password=on",
        ),
        ({"use_localtime": True}, "-rtc", "base=localtime"),
        ({"security_model": "user", "security_domain": "vm"}, "-runas", "vm"),
        ({"use_chroot": True}, "-chroot", "/run/chroot"),
        ({"mem_path": "/huge"}, "-mem-path", "/huge"),
        ({"serial_console": False}, "-serial", "none"),
        ({"floppy_image_path": "/a,b"}, "-drive", "file=/a,,b,format=raw,if=floppy"),
    ],
)
def test_parameters_become_options(params: dict[str, Any], option: str, value: str) -> None:
    assert value in after(line(**params), option)


def test_newer_qemu_is_told_otherwise_whom_to_run_as() -> None:
    params = {
        **DEFAULTS,
        "security_model": "user",
        "security_domain": "vm",
        "use_chroot": True,
    }
    guest = Guest(name="inst1", uuid=UUID, hypervisor="kvm", hvparams=params)
    words = command.build(Machine(guest, "tcg", FILES, run_with=True))
    assert after(words, "-run-with") == ["user=vm", "chroot=/run/chroot"]
    assert "-runas" not in words


def test_extra_arguments_are_read_as_by_a_shell() -> None:
    words = line(kvm_extra="-foo 'a b' -bar")
    assert words[words.index("-foo") :][:3] == ["-foo", "a b", "-bar"]


@pytest.mark.parametrize(
    ("shared", "cache", "direct", "write_cache"),
    [
        (False, "default", "off", "on"),
        (False, "none", "on", "on"),
        (False, "writeback", "off", "on"),
        (False, "writethrough", "off", "off"),
        (True, "writeback", "on", "on"),
        (True, "writethrough", "on", "on"),
    ],
)
def test_cache_of_shared_disks_is_off(
    shared: bool, cache: str, direct: str, write_cache: str
) -> None:
    words = line([Drive(DISK, "/disk", shared=shared)], disk_cache=cache)
    (backend,) = after(words, "-blockdev")
    assert f"cache.direct={direct}," in backend
    assert f"write-cache={write_cache}" in after(words, "-device")[-1]


def test_disks_and_nics_get_slots_above_qemus() -> None:
    disks = [msgspec.structs.replace(DISK, uuid=f"{n:08x}-0-0-0", index=n) for n in range(16)]
    nics = [msgspec.structs.replace(NIC, uuid=f"{n:08x}-0-0-0", index=n) for n in range(8)]
    words = line([Drive(disk, "/d") for disk in disks], [Interface(nic, "t") for nic in nics])
    devices = [word for word in after(words, "-device") if "-pci,id=" in word][1:]
    slots = [word.partition("addr=")[2].partition(",")[0] for word in devices]
    assert slots == [f"0x{number:x}" for number in range(12, 32)] + [""] * 4


def test_first_disk_boots_without_a_kernel() -> None:
    drives = [Drive(DISK, "/a"), Drive(msgspec.structs.replace(DISK, uuid="d2-0-0-0"), "/b")]
    devices = after(line(drives, kernel_path=""), "-device")
    assert [("bootindex=1" in word) for word in devices if "virtio-blk" in word] == [True, False]


def test_uri_is_handed_to_qemu_as_it_is() -> None:
    (drive,) = after(line([Drive(DISK, None, "rbd:pool/vol,x")]), "-drive")
    assert drive.startswith("id=disk-c1e0c9a2-0001-4002,file=rbd:pool/vol,,x,format=raw,if=none,")


@pytest.mark.parametrize(
    ("interface", "params", "netdev", "device"),
    [
        (Interface(NIC, None), {}, "user,id={}", "virtio-net-pci,id={0},netdev={0},mac="),
        (
            Interface(NIC, "tap0", vhost=True),
            {"virtio_net_queues": 4},
            "tap,id={},ifname=tap0,script=no,downscript=no,vhost=on,queues=4",
            "mq=on,vectors=10",
        ),
        (
            Interface(NIC, "tap0", vhost=True),
            {"nic_type": "e1000"},
            "tap,id={},ifname=tap0,script=no,downscript=no",
            "e1000,id={0},",
        ),
    ],
)
def test_nics(interface: Interface, params: dict[str, Any], netdev: str, device: str) -> None:
    name = command.device_id("nic", UUID)
    assert name == "nic-c1e0c9a2-0001-4002"
    words = line(None, [interface], **params)
    assert after(words, "-netdev") == [netdev.format(name)]
    assert device.format(name) in after(words, "-device")[-1]


# -- parameters ------------------------------------------------------------------------------------


def test_table_is_upstreams() -> None:
    assert len(PARAMETERS) == 65
    assert {item.name for item in PARAMETERS if item.required} == {
        "boot_order",
        "disk_cache",
        "disk_type",
        "kvm_path",
        "migration_bandwidth",
        "migration_downtime",
        "migration_mode",
        "migration_port",
        "nic_type",
        "reboot_behavior",
        "scsi_controller_type",
        "security_model",
    }
    assert DEFAULTS["kvm_path"] == "/usr/bin/kvm"
    assert {item.name for item in PARAMETERS if item.cluster_only} == {
        "migration_bandwidth",
        "migration_mode",
        "migration_port",
    }


def test_defaults_are_consistent() -> None:
    assert list(checks.across(DEFAULTS)) == []


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"boot_order": "cdrom"}, "needs cdrom_image_path"),
        ({"boot_order": "floppy"}, "needs floppy_image_path"),
        ({"root_path": None}, "kernel_path needs root_path"),
        ({"security_model": "user"}, "needs security_domain"),
        ({"security_domain": "x"}, "only with security_model user"),
        ({"vnc_x509_verify": True}, "needs vnc_x509_path"),
        ({"vnc_tls": True}, "needs vnc_x509_path"),
        ({"spice_bind": "127.0.0.1", "vnc_bind_address": "127.0.0.1"}, "exclude each other"),
        ({"spice_bind": "127.0.0.1", "spice_use_tls": True}, "spice_use_tls is not served"),
        ({"spice_ip_version": 4}, "needs spice_bind"),
        ({"spice_bind": "eth0"}, "'eth0' is no IP address"),
        ({"kvm_extra": "-name 'x"}, "kvm_extra: No closing quotation"),
        ({"spice_image_compression": "lz"}, "needs spice_bind"),
        ({"disk_aio": "native"}, "needs disk_cache none"),
        ({"virtio_net_queues": 2, "vhost_net": False}, "needs vhost_net"),
        ({"vnc_bind_address": "somewhere"}, "neither an IP address nor"),
        ({"cpu_mask": "0-"}, "cpu_mask: '0-' is no CPU"),
    ],
)
def test_rules_across_parameters(params: dict[str, Any], words: str) -> None:
    (problem,) = checks.across({**DEFAULTS, **params})
    assert words in problem


def test_node_is_looked_at(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    params = {
        **DEFAULTS,
        "kvm_path": missing,
        "kernel_path": missing,
        "mem_path": missing,
        "cdrom_image_path": missing,
        "cdrom2_image_path": "https://example.com/image.iso",
        "security_model": "user",
        "security_domain": "no-such-user",
    }
    named = [text.partition(":")[0] for text in checks.on_node(params)]
    assert named == ["kvm_path", "kernel_path", "mem_path", "cdrom_image_path", "security_domain"]


@pytest.mark.parametrize(
    ("text", "masks"),
    [
        ("all", []),
        ("0-3", [{0, 1, 2, 3}]),
        ("0-3,^1", [{0, 2, 3}]),
        ("0:1-2:all", [{0}, {1, 2}, set()]),
    ],
)
def test_cpu_masks(text: str, masks: list[set[int]]) -> None:
    assert checks.parse_cpu_mask(text) == masks


@given(st.text(alphabet="0123456789-,:^al x", max_size=30))
def test_any_cpu_mask_is_read_or_refused(text: str) -> None:
    try:
        masks = checks.parse_cpu_mask(text)
    except ValueError:
        return
    assert all(0 <= cpu <= 4095 for mask in masks for cpu in mask)


# -- processes -------------------------------------------------------------------------------------


def put_process(proc: Path, pid: int, stat: str, *argv: str) -> None:
    directory = proc / str(pid)
    (directory / "task" / str(pid)).mkdir(parents=True)
    (directory / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in argv))
    (directory / "stat").write_text(stat)


STAT = "7 (kvm) {state} 1 7 7 0 -1 {flags} 0 0 0 0 150 50 0 0 20 0 1 0 9 0 0"
QEMU = ("kvm", "-name", "inst1", "-m", "256", "-smp", "2,cores=2", "-pidfile", "/run/pid")


def test_process_tells_its_size(tmp_path: Path) -> None:
    put_process(tmp_path, 7, STAT.format(state="S", flags=0), *QEMU)
    found = processes.look(7, Path("/run/pid"), tmp_path)
    assert found is not None
    assert (found.memory, found.vcpus) == (256, 2)
    assert found.cpu_time == 200 / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    ("state", "flags", "argv", "runs", "holds"),
    [
        ("S", 0, QEMU, True, True),
        ("Z", 0, QEMU, False, False),
        ("S", 0, ("cat", "/run/pid"), False, False),
        ("R", 4, (), False, True),
        ("S", 0x200000, (), False, False),
        ("S", 0, (*QEMU[:-1], "/other/pid"), False, False),
    ],
)
def test_whose_process_it_is(
    tmp_path: Path, state: str, flags: int, argv: tuple[str, ...], runs: bool, holds: bool
) -> None:
    put_process(tmp_path, 7, STAT.format(state=state, flags=flags), *argv)
    assert (processes.look(7, Path("/run/pid"), tmp_path) is not None) == runs
    assert processes.holds_on(7, Path("/run/pid"), tmp_path) == holds


def test_first_thread_can_end_before_the_others(tmp_path: Path) -> None:
    put_process(tmp_path, 7, STAT.format(state="Z", flags=4))
    (tmp_path / "7/task/8").mkdir()
    assert processes.holds_on(7, Path("/run/pid"), tmp_path)


def test_processes_are_found_by_their_pid_file(tmp_path: Path) -> None:
    put_process(tmp_path, 8, "", *QEMU, "-daemonize")
    put_process(tmp_path, 7, "", *QEMU)
    put_process(tmp_path, 9, "", *QEMU[:-1], "/run/pid2")
    put_process(tmp_path, 10, "", "cat", "/run/pid")
    (tmp_path / "self").mkdir()
    (tmp_path / "11").mkdir()
    assert processes.find(Path("/run/pid"), tmp_path) == [7, 8]


@pytest.mark.parametrize("stat", ["", "garbage", "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13"])
def test_odd_proc_is_no_crash(tmp_path: Path, stat: str) -> None:
    put_process(tmp_path, 7, stat, *QEMU)
    processes.look(7, Path("/run/pid"), tmp_path)
    processes.holds_on(7, Path("/run/pid"), tmp_path)


def test_names_of_taps() -> None:
    names = {
        taps.name_for(node, instance, nic)
        for node in ("/", "/tmp/node1")
        for instance in ("a", "b")
        for nic in ("x", "y")
    }
    assert len(names) == 8
    assert all(len(name) == 13 and name.startswith("tap") for name in names)


def test_console_reads_to_the_end_of_the_line(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "serial"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def guest() -> None:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(10) == b"\n"
                for part in (b"boot\r\nguest is u", b"p: eth0 192.0", b".2.2\r\nPress"):
                    connection.sendall(part)
                    time.sleep(0.05)
                connection.recv(10)

        thread = threading.Thread(target=guest)
        thread.start()
        assert main([str(path), "--until", "is up", "--timeout", "20"]) == 0
        thread.join()
    assert b"guest is up: eth0 192.0.2.2" in capfdbinary.readouterr().out


def test_console_output_without_control_sequences() -> None:
    assert plain(b"\x1b[1;31mred\x1b[0m\r\nname# \x1b[6n") == b"red\nname# "


def test_a_defect_within_an_event_loop_is_not_lost() -> None:
    async def defect() -> None:
        raise ZeroDivisionError

    async def inside() -> None:
        qmp._run(defect())

    with pytest.raises(ZeroDivisionError):
        asyncio.run(inside())


def test_a_defect_while_starting_leaves_nothing(
    ganeti_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = KvmHypervisor(PluginContext(paths=Paths(ganeti_root)))
    ended: list[str] = []
    monkeypatch.setattr(plugin, "_end", ended.append)
    monkeypatch.setattr(plugin, "_launch", lambda _guest: [][1])
    with pytest.raises(IndexError):
        plugin._start(make_guest(plugin, "inst1.example.com", {}), False)
    assert ended == ["inst1.example.com"]
