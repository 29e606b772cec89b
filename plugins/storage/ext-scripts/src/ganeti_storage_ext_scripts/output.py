"""What a script is told and what it answers: the environment, attach's output, texts."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ganeti_kernel.objects import BlockDevice
from ganeti_kernel.specs.extstorage import Volume

MAX_METADATA: Final = 128
MAX_URIS: Final = 16
_HYPERVISOR: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_BAD_FIRST: Final = re.compile(r"^[^A-Za-z0-9_+.]")
_BAD_LATER: Final = re.compile(r"[^-A-Za-z0-9_+.]")

IsDevice = Callable[[str], bool]


def environment(
    provider: str, volume: Volume, *, snapshot: bool = False, **extra: str
) -> dict[str, str]:
    """The variables of an action. `extra` are the action's own (VOL_SIZE, …).

    A snapshot's script is not told the disk's name and UUID.
    """
    out = {"VOL_NAME": volume.name}
    if not snapshot:
        out["VOL_UUID"] = volume.uuid
        if volume.cname:
            out["VOL_CNAME"] = volume.cname
    params = {**volume.params, "provider": provider, "access": volume.access}
    out |= {f"EXTP_{key.upper()}": str(value) for key, value in params.items()}
    return out | extra


def metadata(text: str) -> str:
    """Make a remark fit for storage systems: only harmless characters, at most 128."""
    return _BAD_LATER.sub("_", _BAD_FIRST.sub("_", text))[:MAX_METADATA]


def is_block_device(path: str) -> bool:
    try:
        return stat.S_ISBLK(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False


def parse_attach(text: str, is_device: IsDevice = is_block_device) -> BlockDevice:
    """Read attach's output: a block device's path, then `<hypervisor>:<uri>` lines.

    The first line may be empty when there are URIs. Raises ValueError that says which line is
    wrong; nothing is guessed, because a wrong path would be written to.
    """
    lines = text.rstrip("\n").split("\n")
    path = lines[0].strip()
    if path and not path.startswith("/"):
        raise ValueError(f"line 1 is not an absolute path: {_shown(path)}")
    if path and not is_device(path):
        raise ValueError(f"line 1 is not the path of a block device: {_shown(path)}")
    uris: dict[str, str] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        hypervisor, colon, uri = line.strip().partition(":")
        if not colon or not uri or not _HYPERVISOR.fullmatch(hypervisor) or not uri.isprintable():
            raise ValueError(f"line {number} is not HYPERVISOR:URI: {_shown(line)}")
        uris[hypervisor.lower()] = uri
        if len(uris) > MAX_URIS:
            raise ValueError(f"there are over {MAX_URIS} URIs")
    if not path and not uris:
        raise ValueError("it names neither a block device nor a URI")
    return BlockDevice(path=path or None, uris=uris)


def _shown(text: str) -> str:
    """A piece of output as it can stand in an error."""
    return repr(text if len(text) <= 80 else text[:80] + "…")
