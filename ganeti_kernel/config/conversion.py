"""Bringing a configuration of another release to the form of this one. Pure.

Upstream's cfgupgrade does this for its own releases. Members that an older release does not have
are filled in when a configuration is read; left are the number, and what this release wants set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ganeti_kernel.config.datafile import VERSIONS
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.objects import ConfigView
from ganeti_kernel.objects.document import TABLES
from ganeti_kernel.objects.params import BE_DEFAULTS, IPOLICY_DEFAULTS, ND_DEFAULTS, NIC_DEFAULTS
from ganeti_kernel.version import CONFIG_VERSION


def release_of(version: int) -> str:
    """`3000000` -> `3.0`."""
    return f"{version // 1_000_000}.{version // 10_000 % 100}"


def convert(view: ConfigView) -> tuple[ConfigView, list[str]]:
    """The configuration in this release's form, and what was done, a line each.

    Nothing is done to one that has it. Raises ConfigurationError for one of a release that is
    newer, or that is not known.
    """
    if view.version == CONFIG_VERSION:
        return view, []
    here, there = release_of(CONFIG_VERSION), release_of(view.version)
    if view.version > CONFIG_VERSION:
        raise ConfigurationError(
            f"the configuration is of release {there}, this software writes {here}: it cannot go "
            "back; install the newer software"
        )
    if (view.version // 1_000_000, view.version // 10_000 % 100) not in VERSIONS:
        raise ConfigurationError(f"configurations of release {there} cannot be converted")
    notes = [f"configuration version {view.version} ({there}) -> {CONFIG_VERSION} ({here})"]
    cluster = view.cluster
    fields: dict[str, Any] = {}
    for name, value, defaults in (
        ("beparams", cluster.beparams.get("default", {}), BE_DEFAULTS),
        ("nicparams", cluster.nicparams.get("default", {}), NIC_DEFAULTS),
    ):
        missing = _missing(value, defaults)
        if missing:
            fields[name] = {**getattr(cluster, name), "default": {**value, **missing}}
            notes.append(f"{name}: set {', '.join(sorted(missing))}")
    for name, defaults in (("ndparams", ND_DEFAULTS), ("ipolicy", IPOLICY_DEFAULTS)):
        missing = _missing(getattr(cluster, name), defaults)
        if missing:
            fields[name] = {**getattr(cluster, name), **missing}
            notes.append(f"{name}: set {', '.join(sorted(missing))}")
    tables = {name: getattr(view, name) for name in TABLES}
    converted = ConfigView(
        cluster=msgspec.structs.replace(cluster, **fields),
        version=CONFIG_VERSION,
        serial_no=view.serial_no + 1,
        ctime=view.ctime,
        mtime=view.mtime,
        secrets=view.secrets,
        **tables,
    )
    return converted, notes


def _missing(own: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in defaults.items() if key not in own}
