"""What the doctor says: findings, each with what to do about it; and the site that is looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec

from ganeti_kernel.config.ssconf import read_ssconf
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.paths import Paths

ERROR: Final = "error"
WARNING: Final = "warning"


class Finding(msgspec.Struct, frozen=True):
    """Something that is wrong: `severity` ERROR or WARNING, `area` what was looked at.

    `text` says what and where, `advice` what to do.
    """

    severity: str
    area: str
    text: str
    advice: str

    def line(self) -> str:
        return f"{self.severity.upper()}: {self.area}: {self.text}; {self.advice}"


@dataclass(frozen=True)
class Site:
    """One node, as its files describe it. `name` is this node's."""

    paths: Paths
    name: str

    def lines(self, key: str) -> list[str]:
        """Lines of an ssconf file, none when it cannot be read."""
        try:
            return read_ssconf(self.paths, key).splitlines()
        except ConfigurationError:
            return []

    def value(self, key: str) -> str:
        return next(iter(self.lines(key)), "").strip()

    @cached_property
    def in_cluster(self) -> bool:
        """Whether anything says that this machine belongs to a cluster."""
        paths = self.paths
        traces = (paths.ssconf("cluster_name"), paths.node_certificate, paths.store_file)
        return any(path.exists() for path in traces)

    @cached_property
    def master(self) -> str:
        """The master's name, as this node knows it."""
        return self.value("master_node")

    @cached_property
    def is_master(self) -> bool:
        return self.master == self.name

    @cached_property
    def is_candidate(self) -> bool:
        return self.is_master or self.name in self.lines("master_candidates")

    @cached_property
    def addresses(self) -> dict[str, str]:
        """Node name -> primary address."""
        pairs = (line.split() for line in self.lines("node_primary_ips"))
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def document(site: Site, findings: Iterable[Finding]) -> dict[str, Any]:
    """The report for programs."""
    found = list(findings)
    return {
        "node": site.name,
        "cluster": site.value("cluster_name") or None,
        "role": role(site),
        "healthy": all(item.severity != ERROR for item in found),
        "findings": [msgspec.to_builtins(item) for item in found],
    }


def role(site: Site) -> str:
    """This node's part in words."""
    if not site.in_cluster:
        return "no node of a cluster"
    return "master" if site.is_master else "candidate" if site.is_candidate else "regular node"
