"""Facts of the node that several hypervisors report alike.

For authors of hypervisor plugins whose guests share the node's own kernel or run as its
processes. Source of the figures: upstream 3.0's default node information.
"""

from __future__ import annotations

from pathlib import Path

from ganeti_kernel.errors import HypervisorError
from ganeti_kernel.objects.guest import Guest
from ganeti_kernel.specs.hypervisor import NodeResources

MAX_PROC_BYTES = 4 << 20
"""More than /proc/cpuinfo of any machine that exists."""


def parse_meminfo(text: str) -> dict[str, int]:
    """Return the entries of /proc/meminfo in KiB; lines of another shape are left out."""
    out: dict[str, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        value = rest.split()
        if value and value[0].isdigit():
            out[name.strip()] = int(value[0])
    return out


def parse_cpu_count(text: str) -> int:
    """Return the number of processors that /proc/cpuinfo lists."""
    return sum(1 for line in text.splitlines() if line.partition(":")[0].strip() == "processor")


def resources(proc: Path = Path("/proc"), *, hv_version: str = "") -> NodeResources:
    """Return what the node has; memory the node itself uses is total less available.

    Raises HypervisorError when /proc cannot be read.
    """
    memory = parse_meminfo(_read(proc / "meminfo"))
    total = memory.get("MemTotal", 0) // 1024
    free = memory.get("MemAvailable", memory.get("MemFree", 0)) // 1024
    return NodeResources(
        memory_total=total,
        memory_free=free,
        memory_dom0=total - free,
        cpu_total=parse_cpu_count(_read(proc / "cpuinfo")),
        hv_version=hv_version,
    )


def startup_memory(guest: Guest, free: int) -> int:
    """Return the MiB a guest starts with: as much as is free, within its own bounds."""
    return max(guest.minmem, min(guest.maxmem, free))


def safe_name(name: str) -> str:
    """Return an instance name that can be a file name; raises HypervisorError otherwise."""
    if not name or "/" in name or "\0" in name or name.startswith("."):
        raise HypervisorError(f"{name!r} cannot be an instance's name: it is no plain file name")
    return name


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_PROC_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise HypervisorError(f"cannot read {path}: {error.strerror}") from error
