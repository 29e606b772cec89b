"""Kernel modules of an unpacked kernel package: which are needed, in which order they load."""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ganeti_os_busybox import BusyboxError

REQUIRED = ("virtio_pci", "virtio_blk", "virtio_net", "ext4")
WELCOME = (
    "button",
    "evdev",
    "virtio_balloon",
    "virtio_scsi",
    "sd_mod",
    "ata_piix",
    "ahci",
    "e1000",
    "8139cp",
    "sym53c8xx",
    "crc32c_generic",
)
"""Loaded where the kernel has them: the power button, ballooning, other disks and NICs."""


def parse_depends(module: bytes) -> list[str]:
    """Names of the modules that a module needs, from its own information section."""
    found = re.search(rb"\0depends=([^\0]*)\0", b"\0" + module)
    names = found[1].decode("ascii", "replace") if found else ""
    return [_plain(name) for name in names.split(",") if name]


def load_order(wanted: Iterable[str], depends: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the modules with all they need, each after what it needs."""
    order: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in order:
            return
        if name in path:
            raise BusyboxError(f"kernel modules need each other: {' '.join((*path, name))}")
        for other in depends.get(name, ()):
            visit(other, (*path, name))
        order.append(name)

    for name in wanted:
        visit(name, ())
    return order


def collect(tree: Path) -> list[tuple[str, bytes]]:
    """Return (name, content) of the modules to load, in order, from `<tree>/…/kernel`.

    Raises BusyboxError when the kernel lacks one that is required.
    """
    files = {_plain(path.name.partition(".")[0]): path for path in tree.glob("kernel/**/*.ko*")}
    builtin = {
        _plain(Path(line).name.partition(".")[0])
        for line in (tree / "modules.builtin").read_text().splitlines()
    }
    missing = [name for name in REQUIRED if name not in files and name not in builtin]
    if missing:
        raise BusyboxError(f"the kernel in {tree} has no {', '.join(missing)}")
    content: dict[str, bytes] = {}
    depends: dict[str, list[str]] = {}
    pending = [name for name in (*REQUIRED, *WELCOME) if name in files]
    wanted = list(pending)
    while pending:
        name = pending.pop()
        if name in content or name not in files:
            continue
        content[name] = _read(files[name])
        depends[name] = [other for other in parse_depends(content[name]) if other in files]
        pending += depends[name]
    return [(name, content[name]) for name in load_order(wanted, depends)]


def _plain(name: str) -> str:
    """Names of files have dashes where the kernel says underscores."""
    return name.replace("-", "_")


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".ko":
        return data
    if path.suffix == ".xz":
        return lzma.decompress(data)
    raise BusyboxError(f"{path} is compressed in a way that is not known here")
