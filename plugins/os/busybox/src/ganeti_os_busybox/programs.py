"""A busybox that needs no libraries, from this machine or from Debian's package."""

from __future__ import annotations

import shutil
import struct
import tempfile
from pathlib import Path

from ganeti_os_busybox import BusyboxError, debian

PACKAGE = "busybox-static"
PT_INTERP = 3
ELF64_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")


def is_static(data: bytes) -> bool:
    """Say whether a program (64-bit ELF) asks for no interpreter, i.e. no shared libraries."""
    if len(data) < ELF64_HEADER.size or data[:5] != b"\x7fELF\x02":
        return False
    fields = ELF64_HEADER.unpack_from(data)
    start, size, count = fields[5], fields[9], fields[10]
    if not size or start + size * count > len(data):
        return False
    types = (struct.unpack_from("<I", data, start + size * n)[0] for n in range(count))
    return PT_INTERP not in types


def busybox() -> bytes:
    """Return the program. Raises BusyboxError."""
    here = shutil.which("busybox")
    if here is not None:
        data = Path(here).read_bytes()
        if is_static(data):
            return data
    with tempfile.TemporaryDirectory(prefix="ganeti-os-busybox-") as directory:
        work = Path(directory)
        debian.unpack(debian.fetch(PACKAGE, work), work / "tree")
        for path in ("bin/busybox", "usr/bin/busybox"):
            if (work / "tree" / path).is_file():
                return (work / "tree" / path).read_bytes()
    raise BusyboxError(f"Debian's package {PACKAGE} holds no busybox")
