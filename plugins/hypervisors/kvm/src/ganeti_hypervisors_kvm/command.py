"""QEMU's command line. Pure: everything it depends on comes in.

The order is upstream's, so that command lines can be compared by eye.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ganeti_kernel.objects import Guest, GuestDisk, GuestNic

PCI_SLOTS: Final = 32
VNC_BASE_PORT: Final = 5900
SCSI_TYPES: Final = {
    "scsi": "scsi-hd",
    "scsi-hd": "scsi-hd",
    "scsi-cd": "scsi-cd",
    "scsi-block": "scsi-block",
    "scsi-generic": "scsi-generic",
}
WRITE_CACHE_TYPES: Final = ("virtio-blk-pci", "ide-hd", "scsi-hd")
BOOT_LETTERS: Final = {"cdrom": "d", "floppy": "a", "network": "n"}


@dataclass(frozen=True, slots=True)
class Files:
    """Where this guest's files are."""

    pid: Path
    log: Path
    monitor: Path
    serial: Path
    qmp: Path
    agent: Path
    chroot: Path


@dataclass(frozen=True, slots=True)
class Drive:
    """A disk and what QEMU opens: a path, or a URI when `path` is None.

    `block`: the path is a block device; `shared`: other nodes reach the same data.
    """

    disk: GuestDisk
    path: str | None
    uri: str | None = None
    block: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Interface:
    """A NIC and the tap it is on; None: QEMU's own network for users without privileges."""

    nic: GuestNic
    tap: str | None
    vhost: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything of a guest that QEMU is told."""

    guest: Guest
    accel: str
    files: Files
    drives: Sequence[Drive] = ()
    interfaces: Sequence[Interface] = ()
    vnc_port: int | None = None
    run_with: bool = False
    """QEMU takes `-run-with user=` instead of `-runas` (from 9.1 on)."""


class _Slots:
    """Hands out PCI slots above those left to QEMU; beyond the last one QEMU chooses."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._next = int(params.get("kvm_pci_reservations") or 12)
        self._bus = "pcie.0" if "q35" in str(params.get("machine_version") or "") else "pci.0"

    def take(self) -> str:
        slot, self._next = self._next, self._next + 1
        return f",bus={self._bus},addr=0x{slot:x}" if slot < PCI_SLOTS else ""


def build(machine: Machine) -> list[str]:
    """Return the whole argument list, beginning with QEMU's program."""
    params = machine.guest.hvparams
    slots = _Slots(params)
    parts = (
        _base(machine),
        _images(params),
        _kernel(params),
        _channels(machine),
        _screen(machine),
        _hardware(machine),
        shlex.split(str(params.get("kvm_extra") or "")),
        _nics(machine, slots),
        _drives(machine, slots),
        _identity(machine),
    )
    return [word for part in parts for word in part]


def device_id(kind: str, uuid: str) -> str:
    """`disk-` or `nic-` and the UUID's first three groups: QEMU's names are short."""
    return f"{kind}-{'-'.join(uuid.split('-')[:3])}"


def escape(value: object) -> str:
    """A value inside an option: QEMU reads two commas as one."""
    return str(value).replace(",", ",,")


def _base(machine: Machine) -> Iterator[str]:
    guest, params, files = machine.guest, machine.guest.hvparams, machine.files
    yield str(params["kvm_path"])
    yield from ("-name", escape(guest.name))
    yield from ("-m", str(guest.maxmem))
    yield from ("-smp", _smp(guest))
    yield from ("-pidfile", str(files.pid))
    if any(params.get(key) in SCSI_TYPES for key in ("disk_type", "cdrom_disk_type")):
        yield from ("-device", f"{params['scsi_controller_type']},id=scsi")
    yield from ("-device", "virtio-balloon-pci,id=balloon")
    yield "-daemonize"
    yield from ("-D", str(files.log))
    if params.get("reboot_behavior") == "exit":
        yield "-no-reboot"
    options = [str(params["machine_version"])] if params.get("machine_version") else []
    options += [] if params.get("acpi", True) else ["acpi=off"]
    yield from ("-machine", ",".join([*options, f"accel={machine.accel}"]))
    yield "-S"


def _smp(guest: Guest) -> str:
    names = ("cores", "threads", "sockets")
    chosen = {name: guest.hvparams.get(f"cpu_{name}") for name in names}
    return ",".join(
        [str(guest.vcpus), *(f"{name}={value}" for name, value in chosen.items() if value)]
    )


def _images(params: Mapping[str, Any]) -> Iterator[str]:
    kind = str(params.get("cdrom_disk_type") or "ide")
    interface = {"paravirtual": "virtio"}.get(kind, "scsi" if kind in SCSI_TYPES else kind)
    for name in ("cdrom_image_path", "cdrom2_image_path"):
        if params.get(name):
            image = escape(params[name])
            yield from ("-drive", f"file={image},format=raw,if={interface},media=cdrom")
    if params.get("floppy_image_path"):
        image = escape(params["floppy_image_path"])
        yield from ("-drive", f"file={image},format=raw,if=floppy")


def _kernel(params: Mapping[str, Any]) -> Iterator[str]:
    if not params.get("kernel_path"):
        letter = BOOT_LETTERS.get(str(params.get("boot_order")))
        if letter:
            yield from ("-boot", letter)
        return
    yield from ("-kernel", str(params["kernel_path"]))
    if params.get("initrd_path"):
        yield from ("-initrd", str(params["initrd_path"]))
    arguments = [f"root={params['root_path']}"] if params.get("root_path") else []
    arguments.append(str(params.get("kernel_args") or ""))
    if params.get("serial_console", True):
        arguments.append(f"console=ttyS0,{params.get('serial_speed') or 38400}")
    yield from ("-append", " ".join(word for word in arguments if word))


def _channels(machine: Machine) -> Iterator[str]:
    params, files = machine.guest.hvparams, machine.files
    if params.get("mem_path"):
        yield from ("-mem-path", str(params["mem_path"]), "-mem-prealloc")
    yield from ("-monitor", f"unix:{escape(files.monitor)},server=on,wait=off")
    if params.get("serial_console", True):
        yield from ("-serial", f"unix:{escape(files.serial)},server=on,wait=off")
    else:
        yield from ("-serial", "none")
    yield from ("-qmp", f"unix:{escape(files.qmp)},server=on,wait=off")


def _screen(machine: Machine) -> Iterator[str]:
    params = machine.guest.hvparams
    if params.get("usb_mouse"):
        yield from ("-usb", "-device", f"usb-{params['usb_mouse']}")
    if params.get("vnc_tls"):
        yield from ("-object", _vnc_credentials(params))
    vnc, spice = str(params.get("vnc_bind_address") or ""), str(params.get("spice_bind") or "")
    if vnc:
        yield from ("-vnc", _vnc(params, vnc, machine.vnc_port, machine.guest.name))
    elif spice:
        yield from ("-spice", _spice(params, spice, machine.vnc_port))
        if params.get("spice_use_vdagent", True):
            yield from ("-device", "virtio-serial-pci")
            yield from ("-chardev", "spicevmc,id=vdagent,name=vdagent")
            yield from ("-device", "virtserialport,chardev=vdagent,name=com.redhat.spice.0")
    else:
        yield from ("-display", "none")
    if params.get("vga"):
        yield from ("-vga", str(params["vga"]))
    if params.get("keymap"):
        yield from ("-k", str(params["keymap"]))


def _vnc(params: Mapping[str, Any], bind: str, port: int | None, name: str) -> str:
    display = (port or VNC_BASE_PORT) - VNC_BASE_PORT
    text = f"{bind}:{display}"
    if bind.startswith("/"):
        text = f"unix:{escape(bind)}/{escape(name)}.vnc"
    if params.get("vnc_tls"):
        text += ",tls-creds=vnctls0"
    return text + (",password=on" if params.get("vnc_password_file") else "")


def _vnc_credentials(params: Mapping[str, Any]) -> str:
    text = "tls-creds-x509,id=vnctls0,endpoint=server"
    text += f",verify-peer={'on' if params.get('vnc_x509_verify') else 'off'}"
    return text + f",dir={escape(params.get('vnc_x509_path') or '')}"


def _spice(params: Mapping[str, Any], bind: str, port: int | None) -> str:
    options = [f"addr={escape(bind)}", f"port={port or VNC_BASE_PORT}"]
    if params.get("spice_ip_version"):
        options.append(f"ipv{params['spice_ip_version']}=on")
    if not params.get("spice_password_file"):
        options.append("disable-ticketing=on")
    for name, option in (
        ("spice_image_compression", "image-compression"),
        ("spice_jpeg_wan_compression", "jpeg-wan-compression"),
        ("spice_zlib_glz_wan_compression", "zlib-glz-wan-compression"),
        ("spice_streaming_video", "streaming-video"),
    ):
        if params.get(name):
            options.append(f"{option}={params[name]}")
    if not params.get("spice_playback_compression", True):
        options.append("playback-compression=off")
    return ",".join(options)


def _hardware(machine: Machine) -> Iterator[str]:
    params = machine.guest.hvparams
    if params.get("use_localtime"):
        yield from ("-rtc", "base=localtime")
    if params.get("cpu_type"):
        yield from ("-cpu", str(params["cpu_type"]))
    for name in str(params.get("usb_devices") or "").split(","):
        if name:
            yield from ("-usb", "-device", name)
    yield from ("-uuid", machine.guest.uuid)
    if params.get("soundhw"):
        yield from ("-device", str(params["soundhw"]))
    if params.get("use_guest_agent"):
        path = escape(machine.files.agent)
        yield from ("-device", "virtio-serial")
        yield from ("-chardev", f"socket,path={path},server=on,wait=off,id=qga0")
        yield from ("-device", "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0")


def _nics(machine: Machine, slots: _Slots) -> Iterator[str]:
    params = machine.guest.hvparams
    if not machine.interfaces:
        yield from ("-nic", "none")
    queues = int(params.get("virtio_net_queues") or 1)
    model = str(params.get("nic_type") or "paravirtual")
    virtio = model == "paravirtual"
    for interface in machine.interfaces:
        name = device_id("nic", interface.nic.uuid)
        if interface.tap is None:
            yield from ("-netdev", f"user,id={name}")
        else:
            netdev = f"tap,id={name},ifname={interface.tap},script=no,downscript=no"
            netdev += ",vhost=on" if interface.vhost and virtio else ""
            netdev += f",queues={queues}" if queues > 1 and virtio else ""
            yield from ("-netdev", netdev)
        device = "virtio-net-pci" if virtio else model
        device += f",id={name},netdev={name},mac={interface.nic.mac}"
        if virtio and queues > 1 and interface.tap is not None:
            device += f",mq=on,vectors={2 * queues + 2}"
        yield from ("-device", device + ("" if model == "ne2k_isa" else slots.take()))


def _drives(machine: Machine, slots: _Slots) -> Iterator[str]:
    params = machine.guest.hvparams
    kind = str(params.get("disk_type") or "paravirtual")
    first_boots = params.get("boot_order") == "disk" and not params.get("kernel_path")
    for number, drive in enumerate(machine.drives):
        name = device_id("disk", drive.disk.uuid)
        cache = "none" if drive.shared else str(params.get("disk_cache") or "default")
        yield from _backend(drive, name, cache, params, kind)
        device = _frontend(kind, name, number, slots)
        if device is None:
            continue
        if first_boots and number == 0:
            device += ",bootindex=1"
        if device.partition(",")[0] in WRITE_CACHE_TYPES:
            device += f",write-cache={'off' if cache == 'writethrough' else 'on'}"
        yield from ("-device", device)


def _backend(
    drive: Drive, name: str, cache: str, params: Mapping[str, Any], kind: str
) -> Iterator[str]:
    direct = "on" if cache == "none" else "off"
    readonly = "on" if drive.disk.mode == "ro" else "off"
    discard = str(params.get("disk_discard") or "ignore")
    aio = str(params.get("disk_aio") or "threads")
    if drive.path is None or kind in ("mtd", "pflash", "sd"):
        interface = kind if kind in ("mtd", "pflash", "sd") else "none"
        text = f"id={name},file={escape(drive.path or drive.uri)},format=raw,if={interface}"
        text += f",cache.direct={direct},discard={discard},readonly={readonly}"
        yield from ("-drive", text)
        return
    text = f"driver=raw,node-name={name},discard={discard},read-only={readonly}"
    text += f",cache.direct={direct},cache.no-flush=off"
    text += f",file.driver={'host_device' if drive.block else 'file'}"
    text += f",file.filename={escape(drive.path)},file.aio={aio}"
    yield from ("-blockdev", text)


def _frontend(kind: str, name: str, number: int, slots: _Slots) -> str | None:
    """The device of a drive; None for types that QEMU makes with the drive itself."""
    if kind == "paravirtual":
        return f"virtio-blk-pci,id={name},drive={name}{slots.take()}"
    if kind == "ide":
        return f"ide-hd,id={name},drive={name}"
    if kind in SCSI_TYPES:
        return f"{SCSI_TYPES[kind]},id={name},drive={name},bus=scsi.0,scsi-id={number},lun=0"
    return None


def _identity(machine: Machine) -> Iterator[str]:
    params = machine.guest.hvparams
    user, chroot = ("-run-with", "-run-with") if machine.run_with else ("-runas", "-chroot")
    if params.get("security_model") == "user":
        name = str(params["security_domain"])
        yield from (user, f"user={name}" if machine.run_with else name)
    if params.get("use_chroot"):
        path = machine.files.chroot
        yield from (chroot, f"chroot={escape(path)}" if machine.run_with else str(path))
