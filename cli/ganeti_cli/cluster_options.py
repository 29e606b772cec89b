"""Options that say how a cluster is to be: of `gnt-cluster init` and `gnt-cluster modify`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click

from ganeti_cli import policy, values
from ganeti_cli.app import Misuse
from ganeti_cli.options import OPTIONS

MICROSECONDS: Final = 1_000_000


def parse_uids(text: str) -> list[list[int]]:
    """Parse `1000-1999,2500` to ranges; raises ValueError that quotes what is none."""
    out = []
    for part in values.split_escaped(text) if text else []:
        low, _, high = part.partition("-")
        numbers = (low.strip(), (high or low).strip())
        if not all(item.isascii() and item.isdigit() and len(item) <= 10 for item in numbers):
            raise ValueError(f"{part!r} is neither a user id nor a range like 1000-1999")
        out.append([int(item) for item in numbers])
    return out


def parse_list(text: str) -> list[str]:
    """Parse `a,b`; nothing is an empty list."""
    return values.split_escaped(text) if text else []


def parse_switches(text: str) -> dict[str, bool]:
    """Parse `NAME=yes,…`; raises ValueError."""
    return {
        name: value if isinstance(value, bool) else values.parse_bool(str(value))
        for name, value in values.parse_key_values(text).items()
    }


def parse_intervals(text: str) -> dict[str, int]:
    """Parse `NAME=SECONDS,…` to microseconds; raises ValueError that names the collector."""
    out = {}
    for name, value in values.parse_key_values(text).items():
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"the interval of {name} must be seconds, not {value!r}") from None
        if not 0 < seconds < 1e6:
            raise ValueError(f"the interval of {name} must be above 0, not {value}")
        out[name] = round(seconds * MICROSECONDS)
    return out


_PARSED: Final = {
    name: values.Parsed(metavar, parse)
    for name, metavar, parse in (
        ("uids", "UID-UID,…", parse_uids),
        ("list", "A,B,…", parse_list),
        ("switches", "NAME=yes|no,…", parse_switches),
        ("intervals", "NAME=SECONDS,…", parse_intervals),
    )
}

_BOTH: Final[Sequence[tuple[tuple[str, ...], Any, str]]] = (
    (("--vg-name", "vg_name"), str, "Volume group of LVM disks; empty: none."),
    (("--enabled-hypervisors",), _PARSED["list"], "The first is the default."),
    (("--enabled-disk-templates",), _PARSED["list"], "The first is the default."),
    (("-C", "--candidate-pool-size"), click.IntRange(min=1), "How many keep the configuration."),
    (("--maintain-node-health",), values.YES_NO, "Clean offline nodes up."),
    (("--prealloc-wipe-disks",), values.YES_NO, "Wipe new disks."),
    (("--uid-pool",), _PARSED["uids"], "User ids for guests, in place of those there are."),
    (("-I", "--default-iallocator"), str, "Allocator that chooses nodes; empty: none."),
    (("--default-iallocator-params",), values.KEY_VALUES, "Its parameters; empty: none."),
    (("-m", "--mac-prefix"), str, "Prefix of generated MAC addresses."),
    (("--master-netdev",), str, "Device of the master's address, which moves to it."),
    (("--master-netmask",), str, "Prefix length of it."),
    (("--use-external-mip-script",), values.YES_NO, "A program of yours sets it up."),
    (("--drbd-usermode-helper", "drbd_helper"), str, "DRBD's helper; empty: none."),
    (("--file-storage-dir",), str, "Where disks that are files lie; empty: nowhere."),
    (("--shared-file-storage-dir",), str, "The same on a shared file system."),
    (("--compression-tools",), _PARSED["list"], "Programs that exports may be packed with."),
    (("--install-image",), str, "Image that untrusted OSs are installed with."),
    (("--zeroing-image",), str, "Image that empties unused room before an export."),
    (("--user-shutdown", "enabled_user_shutdown"), values.YES_NO, "Users may shut down."),
)
"""Options of both commands whose value is the opcode's field of the same name."""

_CHANGING: Final[Sequence[tuple[tuple[str, ...], Any, str]]] = (
    (("--max-running-jobs",), click.IntRange(min=1), "Jobs that run at the same time."),
    (("--max-tracked-jobs",), click.IntRange(min=1), "Jobs that the scheduler watches."),
    (("--add-uids",), _PARSED["uids"], "Add ranges to the pool of user ids."),
    (("--remove-uids",), _PARSED["uids"], "Remove ranges from it."),
    (("--reserved-lvs",), _PARSED["list"], "Volumes that are not the cluster's (expressions)."),
    (("--modify-etc-hosts",), values.YES_NO, "Kept; /etc/hosts is never changed."),
    (("--instance-communication-network",), str, "Network for it; empty: none."),
    (("--enabled-data-collectors",), _PARSED["switches"], "Switch data collectors on or off."),
    (("--data-collector-interval",), _PARSED["intervals"], "How often they collect."),
)
"""Those of a cluster that is there."""

_MAKING: Final[Sequence[tuple[tuple[str, ...], Any, str]]] = (
    (("--gluster-storage-dir",), str, "Where gluster is mounted; empty: nowhere."),
)
"""Those of a cluster that is made."""

F = TypeVar("F", bound=Callable[..., Any])

_INHERITED: Final = ("ndparams", "diskparams", "hv_state", "disk_state")


def _field(flags: Sequence[str]) -> str:
    return flags[-1].lstrip("-").replace("-", "_")


def settings_options(*, making: bool) -> Callable[[F], F]:
    """Add the options; `making`: for a new cluster."""

    def decorate(function: F) -> F:
        for flags, kind, text in reversed((*_BOTH, *(_MAKING if making else _CHANGING))):
            names = [flag for flag in flags if flag.startswith("-")]
            function = click.option(*names, _field(flags), type=kind, help=text)(function)
        for option in (
            policy.inherited_options(*_INHERITED, *policy.POLICY),
            click.option(
                "--ipolicy-std-specs", "std", type=values.KEY_VALUES, help="A usual instance."
            ),
            click.option(
                "-H",
                "--hypervisor-parameters",
                "hvparams",
                type=values.IDENT,
                multiple=True,
                metavar="NAME:KEY=VALUE,…",
                help="Parameters of a hypervisor.",
            ),
            *(
                click.option(*OPTIONS[name][0], **OPTIONS[name][1])
                for name in ("nicparams", "beparams")
            ),
        ):
            function = option(function)
        return function

    return decorate


def make_opcode(given: Mapping[str, Any]) -> dict[str, Any]:
    """The opcode's fields from the options; empty when none was given."""
    names = [_field(flags) for flags, _kind, _text in (*_BOTH, *_CHANGING, *_MAKING)]
    out = {name: given.get(name) for name in names}
    out |= policy.settings(given, *_INHERITED)
    out["hvparams"] = policy.by_name(given["hvparams"], "--hypervisor-parameters") or None
    out["ipolicy"] = _policy(given) or None
    out["beparams"], out["nicparams"] = given["beparams"] or None, given["nicparams"] or None
    if out["master_netmask"] is not None:
        if not out["master_netmask"].isdigit():
            raise Misuse("The --master-netmask option expects an int parameter.")
        out["master_netmask"] = int(out["master_netmask"])
    return {name: value for name, value in out.items() if value is not None}


def _policy(given: Mapping[str, Any]) -> dict[str, Any]:
    out = policy.ipolicy(given)
    if given["std"]:
        try:
            out["std"] = policy.parse_specs(given["std"])
        except ValueError as error:
            raise Misuse(f"--ipolicy-std-specs: {error}") from None
    return out
