"""`gnt-cluster doctor`: what is wrong with this node, found without any daemon's help."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ganeti_kernel.daemons.doctor import cluster, files, processes
from ganeti_kernel.daemons.doctor.report import ERROR, WARNING, Finding, Site, document, role
from ganeti_kernel.errors import GenericError

__all__ = ["CHECKS", "ERROR", "WARNING", "Finding", "Site", "document", "examine", "role"]

Check = Callable[[Site], Iterator[Finding]]

CHECKS: Final[tuple[Check, ...]] = (
    files.check_directories,
    files.check_permissions,
    files.check_keys,
    files.check_certificates,
    files.check_ssconf,
    files.check_configuration,
    processes.check_daemons,
    processes.check_name,
    processes.check_plugins,
    cluster.check_peers,
)


def examine(site: Site) -> Iterator[Finding]:
    """Everything that is wrong with a node; a check that cannot be made is a finding itself."""
    if not site.in_cluster:
        text = "this machine is no node of a cluster"
        advice = "gnt-cluster init makes one of it, gnt-node add on a master takes it in"
        yield Finding(ERROR, "cluster", text, advice)
        return
    for check in CHECKS:
        try:
            yield from check(site)
        except (GenericError, OSError) as error:
            name = check.__name__.removeprefix("check_")
            yield Finding(ERROR, name, f"could not be looked at: {error}", "mend this first")
