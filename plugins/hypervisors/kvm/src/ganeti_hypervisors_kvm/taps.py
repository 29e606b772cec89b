"""Tap interfaces that QEMU opens by name; they outlive QEMU until they are deleted.

They persist so that they can be connected before QEMU starts, and found after it crashed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
import time
from pathlib import Path
from typing import Final

from ganeti_kernel.errors import HypervisorError

DEVICE: Final = Path("/dev/net/tun")
TUNSETIFF: Final = 0x400454CA
TUNSETPERSIST: Final = 0x400454CB
BUSY_SECONDS: Final = 2.0
"""How long a QEMU that just ended may take to let go."""

IFF_TAP: Final = 0x0002
IFF_NO_PI: Final = 0x1000
IFF_VNET_HDR: Final = 0x4000
IFF_MULTI_QUEUE: Final = 0x0100


def usable() -> bool:
    """Say whether this process may make taps."""
    return os.geteuid() == 0 and DEVICE.exists()


def name_for(node: str, instance: str, nic: str) -> str:
    """The interface of a NIC: always the same one, so that a repeated start finds it."""
    digest = hashlib.sha256(f"{node}\0{instance}\0{nic}".encode()).hexdigest()
    return f"tap{digest[:10]}"


def create(name: str, *, vnet_hdr: bool = True, queues: int = 1) -> None:
    """Make the interface; one that exists is success. Raises HypervisorError."""
    flags = IFF_TAP | IFF_NO_PI
    flags |= IFF_VNET_HDR if vnet_hdr else 0
    flags |= IFF_MULTI_QUEUE if queues > 1 else 0
    _set(name, flags, persist=1)


def delete(name: str) -> None:
    """Remove the interface; one that is not there is success. Raises HypervisorError."""
    present = Path("/sys/class/net", name, "tun_flags")
    try:
        # The kernel wants the number of queues confirmed.
        multi = int(present.read_text(), 16) & IFF_MULTI_QUEUE
    except (OSError, ValueError):
        multi = 0
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            _set(name, IFF_TAP | IFF_NO_PI | multi, persist=0)
        except HypervisorError as error:
            cause = error.__cause__
            busy = isinstance(cause, OSError) and cause.errno == errno.EBUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _set(name: str, flags: int, *, persist: int) -> None:
    try:
        with DEVICE.open("r+b", buffering=0) as tun:
            fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
            fcntl.ioctl(tun, TUNSETPERSIST, persist)
    except OSError as error:
        what = "make" if persist else "remove"
        raise HypervisorError(f"cannot {what} interface {name}: {error.strerror}") from error
