"""Measuring what was attached, whether this node or only QEMU can open it."""

from __future__ import annotations

import json
import os
from typing import Final

from ganeti_kernel.errors import BlockDeviceError, CommandError
from ganeti_kernel.objects.guest import BlockDevice
from ganeti_kernel.plugins import process

QEMU_IMG_TIMEOUT: Final = 30.0


def measure(device: BlockDevice) -> int:
    """Return the bytes of a block device, a file, or an image behind a URI.

    Raises BlockDeviceError when it cannot be opened.
    """
    if device.path is not None:
        return _seek(device.path)
    problems = []
    for uri in device.uris.values():  # one hypervisor's may be nothing that QEMU knows
        try:
            return _ask_qemu(uri)
        except BlockDeviceError as error:
            problems.append(str(error))
    raise BlockDeviceError("; ".join(problems) or "cannot measure a device without path and URI")


def _seek(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY)
        try:
            return os.lseek(fd, 0, os.SEEK_END)
        finally:
            os.close(fd)
    except OSError as error:
        raise BlockDeviceError(f"cannot measure {path}: {error.strerror}") from error


def _ask_qemu(uri: str) -> int:
    argv = ["qemu-img", "info", "--force-share", "--output=json", uri]
    try:
        answer = json.loads(process.check(argv, timeout=QEMU_IMG_TIMEOUT).output)
        return int(answer["virtual-size"])
    except (CommandError, ValueError, KeyError, TypeError) as error:
        raise BlockDeviceError(f"cannot measure {uri!r}: {error}") from error
