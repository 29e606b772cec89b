"""Which instance a logical volume belongs to, by the disks of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

PLAIN = "plain"


def owners_by_volume(instances: Iterable[tuple[str, Any]]) -> dict[tuple[str, str], str]:
    """(volume group, volume) -> instance, out of (instance, its disks as JSON objects)."""
    return {
        volume: name for name, disks in instances for disk in disks for volume in _volumes(disk)
    }


def parse_recorded_owners(value: Any) -> dict[tuple[str, str], str]:
    """The same out of a recording: a list of pairs of an instance object and its disks."""
    return owners_by_volume((instance["name"], disks) for instance, disks in value)


def _volumes(disk: Any) -> Iterator[tuple[str, str]]:
    logical_id = disk.get("logical_id")
    if disk.get("dev_type") == PLAIN and isinstance(logical_id, list) and len(logical_id) == 2:
        yield str(logical_id[0]), str(logical_id[1])
    for child in disk.get("children") or ():
        yield from _volumes(child)
