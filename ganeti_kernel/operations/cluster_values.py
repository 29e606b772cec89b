"""Checking the cluster's single settings. Pure, but for what plugins say of themselves.

Each function takes the configuration and what a user gave, and returns the field's new value; a
wrong one is refused by its name. Source of the rules: upstream 3.0.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ganeti_kernel.errors import ECODE_NOENT
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.operations import facts, finding, network_values

Range = Sequence[int]

MAX_UID: Final = 2**32 - 2
INTERVAL_LIMITS: Final = (1, 24 * 3600)
"""Least and longest interval of a collector, seconds."""

_DEVICE: Final = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")
_TOOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]{0,63}")
_NETWORK: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VOLUME_GROUP: Final = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}")
_PREFIX_BITS: Final = {2: 32, 10: 128}
"""Longest prefix by address family."""


def mac_prefix(_view: ConfigView, text: str) -> str:
    prefix = network_values.mac_prefix(text) or ""
    if int(prefix[:2], 16) & 1:
        finding.refuse(f"MAC prefix '{text}' is one of group addresses: no card can have it")
    return prefix


def master_netdev(_view: ConfigView, text: str) -> str:
    if _DEVICE.fullmatch(text) is None:
        finding.refuse(f"master netdev '{text}' is not the name of a network device")
    return text


def master_netmask(view: ConfigView, bits: int) -> int:
    longest = _PREFIX_BITS.get(view.cluster.primary_ip_family, 32)
    if bits > longest:
        finding.refuse(f"master netmask {bits} is not a prefix length from 0 to {longest}")
    return bits


def directory(_view: ConfigView, path: str) -> str:
    """A storage directory; empty: none."""
    if path and (not path.startswith("/") or posixpath.normpath(path) != path or path == "/"):
        finding.refuse(f"storage directory '{path}' must be an absolute, normalised path")
    return path


def volume_group(_view: ConfigView, name: str) -> str | None:
    if name and _VOLUME_GROUP.fullmatch(name) is None:
        finding.refuse(f"'{name}' is not the name of a volume group")
    return name or None


def helper(_view: ConfigView, path: str) -> str | None:
    if path and not path.startswith("/"):
        finding.refuse(f"DRBD usermode helper '{path}' must be an absolute path")
    return path or None


def image(_view: ConfigView, path: str) -> str:
    """An image of a disk: an absolute path or a URL; empty: none."""
    if path and not path.startswith("/") and "://" not in path:
        finding.refuse(f"image '{path}' must be an absolute path or a URL")
    return path


def reserved_lvs(_view: ConfigView, patterns: Sequence[str]) -> list[str]:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            finding.refuse(f"reserved volume '{pattern}' is not a regular expression: {error}")
    return list(patterns)


def compression_tools(_view: ConfigView, names: Sequence[str]) -> list[str]:
    for name in names:
        if _TOOL.fullmatch(name) is None:
            finding.refuse(f"compression tool '{name}' is not the name of a program")
    return list(dict.fromkeys(names))


def default_iallocator(_view: ConfigView, name: str) -> str:
    if name:
        facts.describe("allocator", name)
    return name


def communication_network(view: ConfigView, name: str) -> str:
    """The network is made if there is none of this name (see `communication`)."""
    if name and view.find_network(name) is None and _NETWORK.fullmatch(name) is None:
        finding.refuse(
            f"'{name}' cannot be the name of a network for instance communication: letters, "
            "digits and ._- are allowed"
        )
    return name


def as_given(_view: ConfigView, value: Any) -> Any:
    return value


CHECKS: Final[Mapping[str, tuple[str, Callable[[ConfigView, Any], Any]]]] = {
    "vg_name": ("volume_group_name", volume_group),
    "drbd_helper": ("drbd_usermode_helper", helper),
    "mac_prefix": ("mac_prefix", mac_prefix),
    "master_netdev": ("master_netdev", master_netdev),
    "master_netmask": ("master_netmask", master_netmask),
    "file_storage_dir": ("file_storage_dir", directory),
    "shared_file_storage_dir": ("shared_file_storage_dir", directory),
    "gluster_storage_dir": ("gluster_storage_dir", directory),
    "reserved_lvs": ("reserved_lvs", reserved_lvs),
    "compression_tools": ("compression_tools", compression_tools),
    "default_iallocator": ("default_iallocator", default_iallocator),
    "default_iallocator_params": ("default_iallocator_params", as_given),
    "instance_communication_network": ("instance_communication_network", communication_network),
    "install_image": ("install_image", image),
    "zeroing_image": ("zeroing_image", image),
    **{
        name: (name, as_given)
        for name in (
            "candidate_pool_size",
            "max_running_jobs",
            "max_tracked_jobs",
            "maintain_node_health",
            "prealloc_wipe_disks",
            "use_external_mip_script",
            "modify_etc_hosts",
            "enabled_user_shutdown",
        )
    },
}
"""Field of OP_CLUSTER_SET_PARAMS -> field of the cluster, and what checks it."""


# -- user-id pool --------------------------------------------------------------------------------


def uid_ranges(ranges: Sequence[Range]) -> list[list[int]]:
    """Ranges of user ids as they are kept, sorted; refuses an impossible or overlapping one."""
    out = sorted([int(low), int(high)] for low, high in ranges)
    for low, high in out:
        if not 0 <= low <= high <= MAX_UID:
            finding.refuse(f"{low}-{high} is not a range of user ids (0 to {MAX_UID})")
    for (_, before), (low, high) in itertools.pairwise(out):
        if low <= before:
            finding.refuse(f"user ids {low}-{high} overlap with others of the pool")
    return out


def changed_uids(
    pool: Sequence[Range], added: Sequence[Range], removed: Sequence[Range]
) -> list[list[int]]:
    """The pool with ranges added, then others removed; what is removed must be in it as it is."""
    out = uid_ranges([*pool, *added])
    for item in removed:
        if list(item) not in out:
            finding.refuse(f"user ids {item[0]}-{item[1]} are not a range of the pool", ECODE_NOENT)
        out.remove(list(item))
    return out


# -- hidden and blacklisted OSs ------------------------------------------------------------------

ADDING: Final = ("add", "attach")


def changed_names(
    names: Sequence[str], changes: Sequence[tuple[str, str]], what: str
) -> tuple[list[str], list[str]]:
    """Names after `add`/`attach` and `remove`/`detach`; also says what was so already."""
    out, notes = list(names), []
    for action, name in changes:
        adding = action in ADDING
        if adding == (name in out):
            notes.append(f"OS {name} is {'already' if adding else 'not'} among the {what} ones")
        elif adding:
            out.append(name)
        else:
            out.remove(name)
    return sorted(out), notes


# -- data collectors -----------------------------------------------------------------------------


def changed_collectors(
    settings: Mapping[str, Mapping[str, Any]],
    known: Sequence[str],
    active: Mapping[str, bool],
    intervals: Mapping[str, int],
) -> dict[str, dict[str, Any]]:
    """Collectors' settings with some switched or timed anew; `intervals` in microseconds."""
    out = {name: dict(values) for name, values in settings.items()}
    for name in sorted({*active, *intervals}):
        if name not in out and name not in known:
            names = ", ".join(sorted({*out, *known})) or "none"
            finding.refuse(f"unknown data collector '{name}' (known: {names})", ECODE_NOENT)
    for name, wanted in active.items():
        out[name] = {"active": True, "interval": 5_000_000} | out.get(name, {}) | {"active": wanted}
    low, high = INTERVAL_LIMITS
    for name, value in intervals.items():
        if not low * 1_000_000 <= value <= high * 1_000_000:
            finding.refuse(
                f"interval of data collector '{name}' must be {low} to {high} seconds, not "
                f"{value / 1e6:g}"
            )
        out[name] = {"active": True} | out.get(name, {}) | {"interval": value}
    return out
