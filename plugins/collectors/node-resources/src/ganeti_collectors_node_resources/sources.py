"""Files of the kernel, parsed, and what has to be asked for each file system and interface."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ganeti_kernel.errors import CommandError
from ganeti_kernel.specs.reading import read_text

MEMORY = {
    "MemTotal": "total",
    "MemFree": "free",
    "MemAvailable": "available",
    "Buffers": "buffers",
    "Cached": "cached",
    "SwapTotal": "swap_total",
    "SwapFree": "swap_free",
}

LOCAL_TYPES = frozenset(
    (
        *("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "ocfs2", "overlay"),
        *("reiserfs", "tmpfs", "vfat", "xfs", "zfs"),
    )
)
"""Types that are asked. A server that went away would hold up whoever asks a network's type."""

TRAFFIC = {
    "rx_bytes": 0,
    "rx_packets": 1,
    "rx_errors": 2,
    "rx_dropped": 3,
    "tx_bytes": 8,
    "tx_packets": 9,
    "tx_errors": 10,
    "tx_dropped": 11,
}
"""Columns of /proc/net/dev."""

_OCTAL = re.compile(r"\\([0-7]{3})")


def parse_meminfo(text: str) -> dict[str, int]:
    """/proc/meminfo's lines that are reported, KiB."""
    out = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in MEMORY:
            out[MEMORY[name]] = int(rest.split()[0])
    return out


def parse_loadavg(text: str) -> tuple[float, float, float, int]:
    """Load of one, five and fifteen minutes, and how many processes and threads exist."""
    try:
        one, five, fifteen, tasks, *_rest = text.split()
        return float(one), float(five), float(fifteen), int(tasks.partition("/")[2])
    except ValueError:
        raise CommandError(f"/proc/loadavg holds {text[:80]!r}, no load averages") from None


def parse_mounts(text: str) -> list[tuple[str, str, str]]:
    """Device, mount point and type of local file systems, one entry a device."""
    out: dict[str, tuple[str, str, str]] = {}
    for line in text.splitlines():
        columns = line.split()
        if len(columns) >= 3 and columns[2] in LOCAL_TYPES:
            device, place, kind = (_plain(column) for column in columns[:3])
            key = device if device.startswith("/") else place
            out.setdefault(key, (device, place, kind))
    return list(out.values())


def filesystems(mounts: str) -> list[dict[str, Any]]:
    """Size and free space of local file systems; one that cannot be asked is left out."""
    out = []
    for device, place, kind in parse_mounts(mounts):
        try:
            info = os.statvfs(place)
        except OSError:
            continue
        if info.f_blocks:
            out.append(
                {
                    "mountpoint": place,
                    "device": device,
                    "type": kind,
                    "size": info.f_blocks * info.f_frsize,
                    "free": info.f_bfree * info.f_frsize,
                    "available": info.f_bavail * info.f_frsize,
                    "inodes_free": info.f_ffree,
                }
            )
    return out


def parse_net_dev(text: str) -> dict[str, dict[str, int]]:
    """Traffic of each interface."""
    out = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        columns = rest.split()
        try:
            out[name.strip()] = {key: int(columns[index]) for key, index in TRAFFIC.items()}
        except (ValueError, IndexError):
            raise CommandError(f"/proc/net/dev: {line[:120]!r} is not an interface") from None
    return out


def interfaces(net_dev: str) -> list[dict[str, Any]]:
    """All interfaces with their traffic."""
    return [
        {
            "name": name,
            "mac": _attribute(name, "address"),
            "state": _attribute(name, "operstate") or "unknown",
            "mtu": int(_attribute(name, "mtu") or 0),
            **traffic,
        }
        for name, traffic in parse_net_dev(net_dev).items()
    ]


def _attribute(interface: str, name: str) -> str | None:
    """A file of the interface; None when the interface went away meanwhile."""
    try:
        return read_text(Path("/sys/class/net") / interface / name, 256).strip() or None
    except CommandError:
        return None


def _plain(text: str) -> str:
    """Undo the escapes of /proc/mounts."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
