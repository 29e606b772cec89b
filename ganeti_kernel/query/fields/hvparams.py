"""`hv/…` and `be/…`: an instance's hypervisor and backend parameters.

Names come from the installed hypervisors' descriptions, and from upstream 3.0's list below so that
its clients find every column they know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from ganeti_kernel.objects import Instance
from ganeti_kernel.objects.secrets import HIDDEN
from ganeti_kernel.query.fields.base import BOOL, FLOAT, NUMBER, OTHER, UNIT, Field
from ganeti_kernel.query.source import Missing, QuerySource
from ganeti_kernel.specs.base import Parameter

CLUSTER_WIDE: Final = frozenset(
    {"migration_port", "migration_bandwidth", "migration_mode", "xen_cmd"}
)
"""Parameters that hold for a whole cluster and are no column of an instance (upstream 3.0)."""

UPSTREAM_BOOLS: Final = (
    "acpi pae serial_console spice_playback_compression spice_use_tls spice_use_vdagent"
    " use_bootloader use_chroot use_guest_agent use_localtime user_shutdown vhost_net viridian"
    " vnc_tls vnc_x509_verify vnet_hdr"
)
UPSTREAM_NUMBERS: Final = (
    "cpu_cap cpu_cores cpu_sockets cpu_threads cpu_weight kvm_pci_reservations migration_downtime"
    " num_ttys serial_speed spice_ip_version startup_timeout virtio_net_queues"
)
UPSTREAM_TEXTS: Final = (
    "blockdev_prefix boot_order bootloader_args bootloader_path cdrom2_image_path cdrom_disk_type"
    " cdrom_image_path cpu_mask cpu_type cpuid device_model devices disk_aio disk_cache"
    " disk_discard disk_type drop_capabilities extra_cgroups extra_config floppy_image_path"
    " init_script initrd_path kernel_args kernel_path keymap kvm_extra kvm_flag kvm_path"
    " machine_version mem_path migration_caps nic_type pci_pass reboot_behavior root_path"
    " scsi_controller_type security_domain security_model soundhw spice_bind"
    " spice_image_compression spice_jpeg_wan_compression spice_password_file"
    " spice_streaming_video spice_tls_ciphers spice_zlib_glz_wan_compression usb_devices"
    " usb_mouse vga vif_script vif_type vnc_bind_address vnc_password_file vnc_x509_path"
)
UPSTREAM_KINDS: Final = {
    name: kind
    for kind, names in (
        (BOOL, UPSTREAM_BOOLS),
        (NUMBER, UPSTREAM_NUMBERS),
        (OTHER, UPSTREAM_TEXTS),
    )
    for name in names.split()
}

TITLES: Final = {
    "acpi": "ACPI",
    "boot_order": "Boot_order",
    "cdrom_image_path": "CDROM_image_path",
    "cpu_type": "cpu_type",
    "disk_type": "Disk_type",
    "initrd_path": "Initrd_path",
    "kernel_path": "Kernel_path",
    "nic_type": "NIC_type",
    "pae": "PAE",
    "pci_pass": "pci_pass",
    "vnc_bind_address": "VNC_bind_address",
}
"""Columns whose heading is not `hv/NAME`."""

KIND_OF_TYPE: Final = {"bool": BOOL, "int": NUMBER, "size": UNIT, "float": FLOAT}

BACKEND: Final = (
    ("always_failover", "be/always_failover", BOOL, "Never migrate, always fail over"),
    ("auto_balance", "Auto_balance", BOOL, "Reserve memory for it on the secondary node"),
    ("maxmem", "ConfigMaxMem", UNIT, "Most memory it may have"),
    ("minmem", "ConfigMinMem", UNIT, "Least memory it must have"),
    ("spindle_use", "be/spindle_use", NUMBER, "Physical disks it keeps busy"),
    ("vcpus", "ConfigVCPUs", NUMBER, "Virtual processors"),
)


def hv_fields(parameters: Iterable[Parameter]) -> list[Field]:
    """Make the columns: upstream's, and whatever the installed hypervisors have beyond."""
    kinds = dict(UPSTREAM_KINDS)
    docs: dict[str, str] = {}
    for item in parameters:
        if item.cluster_only or item.name in CLUSTER_WIDE:
            continue
        kinds.setdefault(item.name, KIND_OF_TYPE.get(item.type, OTHER))
        docs.setdefault(item.name, item.help)
    return [
        Field(
            f"hv/{name}",
            TITLES.get(name, f"hv/{name}"),
            kind,
            docs.get(name) or f"The hypervisor's parameter {name}",
            _hv(name),
        )
        for name, kind in kinds.items()
    ]


def _hv(name: str) -> Callable[[QuerySource, Any], Any]:
    def get(source: QuerySource, inst: Instance) -> Any:
        filled = source.view.fill_hv(inst)
        if name not in filled:
            return Missing.UNAVAIL
        secrets = source.view.secrets
        if filled[name] and not secrets.shown and secrets.hides(name):
            return HIDDEN
        return filled[name]

    return get


def hvparams(source: QuerySource, inst: Instance) -> dict[str, Any]:
    """All parameters of the instance's hypervisor that can differ between instances."""
    whole = {item.name for item in source.hv_parameters if item.cluster_only}
    hidden = CLUSTER_WIDE | (whole - UPSTREAM_KINDS.keys())
    filled = source.view.fill_hv(inst)
    shown = {name: value for name, value in filled.items() if name not in hidden}
    return redacted(source, shown)


def custom_hvparams(source: QuerySource, inst: Instance) -> dict[str, Any]:
    return redacted(source, inst.hvparams)


def redacted(source: QuerySource, values: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = source.view.secrets.redact(values, "hvparams")
    return out


def beparams(source: QuerySource, inst: Instance) -> dict[str, Any]:
    """Backend parameters filled in; `memory` is upstream's old name of `maxmem`."""
    filled = source.view.fill_be(inst)
    return {**filled, "memory": filled["maxmem"]}


def _be(name: str) -> Callable[[QuerySource, Any], Any]:
    return lambda source, inst: beparams(source, inst)[name]


BE_FIELDS: Final = [
    *(Field(f"be/{name}", title, kind, doc, _be(name)) for name, title, kind, doc in BACKEND),
    Field("be/memory", "ConfigMaxMem", UNIT, "Most memory it may have", _be("memory")),
    Field("vcpus", "ConfigVCPUs", NUMBER, "Virtual processors", _be("vcpus")),
]
