"""Smaller forms of a request, a unit at a time in the resource that failed (upstream's hspace)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from .limits import Request, Sizes

#: Smallest change of a size: memory and disk in MiB.
UNIT = {"FailMem": 64, "FailDisk": 256, "FailCPU": 1, "FailSpindles": 1}


def steps(request: Request, failure: str) -> int:
    """How often the request can shrink in what failed; a unit, or a spindle per disk, is left."""
    if failure == "FailSpindles":
        return min((count for count in request.disk_spindles if count is not None), default=1) - 1
    amounts = {"FailMem": request.mem, "FailDisk": request.dsk, "FailCPU": request.vcpus}
    return max(0, amounts[failure] // UNIT[failure] - 1) if failure in amounts else 0


def shrunk(request: Request, failure: str, times: int) -> Request:
    """The request that many units smaller; ``times`` is at most its `steps`."""
    less = UNIT[failure] * times
    if failure == "FailMem":
        return replace(request, mem=request.mem - less)
    if failure == "FailCPU":
        return replace(request, vcpus=request.vcpus - less)
    if failure == "FailDisk":
        disks = tuple(size - less for size in request.disks)
        return replace(request, dsk=request.dsk - less, disks=disks)
    fewer = tuple(None if count is None else count - less for count in request.disk_spindles)
    return replace(request, disk_spindles=fewer)


def shrinking(request: Request, failure: str, times: range) -> Sizes:
    """The sizes of the request shrunk each of ``times``, without making these requests."""
    less = (UNIT[failure] * np.arange(times.start, times.stop, dtype=float))[:, None]
    own = request.sizes
    counted = sum(count is not None for count in request.disk_spindles)
    changes: dict[str, dict[str, Any]] = {
        "FailMem": {"mem": less},
        "FailCPU": {"vcpus": less},
        "FailDisk": {"dsk": less, "largest": less, "smallest": less},
        "FailSpindles": {"spindles": less * counted},
    }
    columns = ("mem", "dsk", "vcpus", "spindles", "largest", "smallest")
    change = dict.fromkeys(columns, np.zeros_like(less)) | changes[failure]
    return Sizes(request, **{name: getattr(own, name) - change[name] for name in columns})


def blocks(request: Request, failure: str) -> Iterator[range]:
    """How often to shrink, from not at all on, in blocks of growing length.

    The smallest size is left out: upstream's jumps never lead to one that cannot shrink further.
    """
    start, length, end = 0, 64, steps(request, failure)
    while start < end:
        yield range(start, min(start + length, end))
        start += length
        length = min(length * 4, 512)
