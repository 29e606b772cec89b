"""The hypervisor's parameters. Names, types and defaults are upstream's (3.0)."""

from __future__ import annotations

from typing import Any, Final

from ganeti_kernel.specs import Parameter

DISK_TYPES: Final = (
    "ide",
    "mtd",
    "paravirtual",
    "pflash",
    "scsi",
    "scsi-block",
    "scsi-cd",
    "scsi-generic",
    "scsi-hd",
    "sd",
)
NIC_TYPES: Final = (
    "e1000",
    "i82551",
    "i82557b",
    "i82559er",
    "ne2k_isa",
    "ne2k_pci",
    "paravirtual",
    "pcnet",
    "rtl8139",
)
SERIAL_SPEEDS: Final = (
    *(75, 110, 300, 600, 1200, 1800, 2400, 4800, 9600, 14400, 19200, 28800),
    *(38400, 57600, 115200, 230400, 345600, 460800),
)
SPICE_IMAGE: Final = ("auto_glz", "auto_lz", "glz", "lz", "off", "quic")
SPICE_LOSSY: Final = ("always", "auto", "never")
PORT: Final = {"required": True, "minimum": 1, "maximum": 65535}


def _path(name: str, text: str, default: str = "", **more: Any) -> Parameter:
    return Parameter(name=name, default=default, absolute_path=True, help=text, **more)


def _bool(name: str, default: bool, text: str) -> Parameter:
    return Parameter(name=name, type="bool", default=default, help=text)


def _int(name: str, default: int, text: str, **more: Any) -> Parameter:
    return Parameter(name=name, type="int", default=default, help=text, **more)


def _text(name: str, default: str, text: str, **more: Any) -> Parameter:
    return Parameter(name=name, default=default, help=text, **more)


PARAMETERS: Final[tuple[Parameter, ...]] = (
    _bool("acpi", True, "give the guest ACPI; without it a shutdown is always by force"),
    _text(
        "boot_order",
        "disk",
        "what to boot from when there is no kernel_path",
        choices=("cdrom", "disk", "floppy", "network"),
        required=True,
    ),
    _text("cdrom2_image_path", "", "second CD image: a path or a URL"),
    _text("cdrom_disk_type", "", "how CDs are attached; empty: ide", choices=DISK_TYPES),
    _text("cdrom_image_path", "", "first CD image: a path or a URL"),
    _int("cpu_cores", 0, "cores a socket; 0: QEMU's choice", minimum=0),
    _text("cpu_mask", "all", "CPUs of the node for the guest's: all, 0-3, or one for each, 0:1-2"),
    _int("cpu_sockets", 0, "CPU sockets; 0: QEMU's choice", minimum=0),
    _int("cpu_threads", 0, "threads a core; 0: QEMU's choice", minimum=0),
    _text("cpu_type", "", "CPU model, e.g. host"),
    _text("disk_aio", "threads", "how disks are read", choices=("io_uring", "native", "threads")),
    _text(
        "disk_cache",
        "default",
        "cache mode of disks; shared disks are never cached",
        choices=("default", "none", "writeback", "writethrough"),
        required=True,
    ),
    _text(
        "disk_discard", "ignore", "what becomes of discard requests", choices=("ignore", "unmap")
    ),
    _text("disk_type", "paravirtual", "how disks are attached", choices=DISK_TYPES, required=True),
    _path("floppy_image_path", "floppy image"),
    _path("initrd_path", "initial RAM disk that goes with kernel_path"),
    _text("kernel_args", "ro", "arguments of the kernel in kernel_path"),
    _path(
        "kernel_path",
        "kernel on the node to boot; empty: boot as boot_order says",
        "/boot/vmlinuz-3-kvmU",
    ),
    _text("keymap", "", "keyboard layout of VNC"),
    _text("kvm_extra", "", "more arguments of QEMU, as a shell would read them"),
    _text(
        "kvm_flag",
        "",
        "insist on KVM, or do without; empty: use it where it works",
        choices=("disabled", "enabled"),
    ),
    _path("kvm_path", "QEMU's program", "/usr/bin/kvm", required=True),
    _int("kvm_pci_reservations", 12, "PCI slots left to QEMU itself", minimum=1, maximum=32),
    _text("machine_version", "", "machine type, e.g. pc-i440fx-7.2; empty: QEMU's default"),
    _path("mem_path", "directory of huge pages for the guest's memory"),
    _int(
        "migration_bandwidth",
        32,
        "MiB/s a migration may use",
        minimum=0,
        required=True,
        cluster_only=True,
    ),
    _text("migration_caps", "", "QEMU's migration capabilities to switch on, colon separated"),
    _int(
        "migration_downtime", 30, "milliseconds a guest may stand still", minimum=0, required=True
    ),
    _text(
        "migration_mode",
        "live",
        "how instances migrate unless the command says otherwise",
        choices=("live", "non-live"),
        required=True,
        cluster_only=True,
    ),
    _int("migration_port", 8102, "TCP port for migrations", cluster_only=True, **PORT),
    _text("nic_type", "paravirtual", "model of NICs", choices=NIC_TYPES, required=True),
    _text(
        "reboot_behavior",
        "reboot",
        "what a reboot from inside does",
        choices=("exit", "reboot"),
        required=True,
    ),
    Parameter(
        name="root_path",
        type="maybe-string",
        default="/dev/vda1",
        help="root device for the kernel in kernel_path",
    ),
    _text(
        "scsi_controller_type",
        "lsi",
        "SCSI controller",
        choices=("dc390", "lsi", "megasas", "virtio-scsi-pci"),
        required=True,
    ),
    _text("security_domain", "", "user to run QEMU as with security_model user"),
    _text(
        "security_model",
        "none",
        "whom QEMU runs as",
        choices=("none", "pool", "user"),
        required=True,
    ),
    _bool("serial_console", True, "give the guest a serial console"),
    _int("serial_speed", 38400, "speed of the serial console", choices=SERIAL_SPEEDS),
    _text("soundhw", "", "sound card"),
    _text("spice_bind", "", "address to serve SPICE on; empty: no SPICE"),
    _text("spice_image_compression", "", "SPICE image compression", choices=SPICE_IMAGE),
    _int("spice_ip_version", 0, "4 or 6: the kind of the address in spice_bind", choices=(0, 4, 6)),
    _text("spice_jpeg_wan_compression", "", "SPICE JPEG compression", choices=SPICE_LOSSY),
    _path("spice_password_file", "file with the SPICE password"),
    _bool("spice_playback_compression", True, "compress SPICE sound"),
    _text("spice_streaming_video", "", "SPICE video", choices=("all", "filter", "off")),
    _text("spice_tls_ciphers", "HIGH:-DES:-3DES:-EXPORT:-DH", "TLS ciphers of SPICE"),
    _bool("spice_use_tls", False, "encrypt SPICE"),
    _bool("spice_use_vdagent", True, "offer the SPICE agent to the guest"),
    _text("spice_zlib_glz_wan_compression", "", "SPICE zlib compression", choices=SPICE_LOSSY),
    _text("usb_devices", "", "more USB devices, comma separated"),
    _text("usb_mouse", "", "USB pointing device", choices=("mouse", "tablet")),
    _bool("use_chroot", False, "run QEMU in an empty directory"),
    _bool("use_guest_agent", False, "a channel for QEMU's guest agent"),
    _bool("use_localtime", False, "the guest's clock shows local time"),
    _bool(
        "user_shutdown",
        False,
        "no effect: a shutdown from inside counts as a crash",
    ),
    _text("vga", "", "graphics adapter"),
    _bool("vhost_net", True, "let the kernel serve virtio NICs, where it can"),
    _int("virtio_net_queues", 1, "queues of a virtio NIC", minimum=1, maximum=32),
    _text("vnc_bind_address", "", "address or directory to serve VNC on; empty: no VNC"),
    _path("vnc_password_file", "file with the VNC password"),
    _bool("vnc_tls", False, "encrypt VNC"),
    _path("vnc_x509_path", "directory with VNC's certificates"),
    _bool("vnc_x509_verify", False, "ask VNC clients for a certificate"),
    _bool("vnet_hdr", True, "let NICs hand over packets without checksums"),
)
