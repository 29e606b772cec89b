"""Where everything lies on a node.

`GANETI_ROOTDIR` puts every path under one directory and `GANETI_HOSTNAME` names the node, so
that several nodes can share one machine (both variables are upstream's).
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

ROOT_VARIABLE = "GANETI_ROOTDIR"
HOSTNAME_VARIABLE = "GANETI_HOSTNAME"


@dataclass(frozen=True, slots=True)
class Paths:
    """Every path of one node, derived from its root directory."""

    root: Path = Path("/")

    @classmethod
    def from_environment(cls) -> Paths:
        """Read `GANETI_ROOTDIR`; raise ValueError when it is not absolute."""
        root = Path(os.environ.get(ROOT_VARIABLE) or "/")
        if not root.is_absolute():
            raise ValueError(f"{ROOT_VARIABLE} must be an absolute path, not {str(root)!r}")
        return cls(root)

    def under(self, path: str) -> Path:
        """Place an absolute path of a node under this root."""
        return self.root / path.lstrip("/")

    @property
    def data_dir(self) -> Path:
        return self.under("/var/lib/ganeti")

    @property
    def run_dir(self) -> Path:
        return self.under("/var/run/ganeti")

    @property
    def log_dir(self) -> Path:
        return self.under("/var/log/ganeti")

    @property
    def conf_dir(self) -> Path:
        return self.under("/etc/ganeti")

    @property
    def lock_dir(self) -> Path:
        return self.under("/var/lock")

    @property
    def socket_dir(self) -> Path:
        return self.run_dir / "socket"

    @property
    def master_socket(self) -> Path:
        """LUXI: jobs and queries."""
        return self.socket_dir / "ganeti-master"

    @property
    def query_socket(self) -> Path:
        """LUXI: the second name upstream's clients use for queries."""
        return self.socket_dir / "ganeti-query"

    @property
    def job_socket(self) -> Path:
        """Job processes talk to the master daemon here."""
        return self.socket_dir / "ganeti-jobs"

    @property
    def config_file(self) -> Path:
        return self.data_dir / "config.data"

    @property
    def store_file(self) -> Path:
        return self.data_dir / "store.sqlite"

    @property
    def replica_file(self) -> Path:
        """A candidate's copy of the master's store."""
        return self.data_dir / "replica.sqlite"

    @property
    def replicas_file(self) -> Path:
        """Which candidates have everything that the master acknowledged."""
        return self.data_dir / "replicas"

    @property
    def domain_secret(self) -> Path:
        return self.data_dir / "cluster-domain-secret"

    @property
    def hmac_key(self) -> Path:
        return self.data_dir / "hmac.key"

    @property
    def ca_file(self) -> Path:
        """Certificate of the cluster's own authority; its key is beside it on candidates."""
        return self.data_dir / "ca.pem"

    @property
    def ca_key(self) -> Path:
        return self.data_dir / "ca.key"

    @property
    def node_certificate(self) -> Path:
        """This node's own key and certificate, in one PEM file."""
        return self.data_dir / "server.pem"

    def ssconf(self, key: str) -> Path:
        return self.data_dir / f"ssconf_{key}"

    @property
    def watcher_pause(self) -> Path:
        """Until when the watcher pauses: seconds since the epoch."""
        return self.data_dir / "watcher.pause"

    @property
    def plugins_config(self) -> Path:
        """Which plugins an administrator switched off."""
        return self.conf_dir / "plugins.toml"

    @property
    def hooks_dir(self) -> Path:
        return self.conf_dir / "hooks"

    @property
    def restricted_dir(self) -> Path:
        """Commands that the master may run here."""
        return self.conf_dir / "restricted-commands"

    @property
    def restricted_switch(self) -> Path:
        """Without this file no restricted command is run."""
        return self.conf_dir / "enable-restricted-commands"

    @property
    def hosts_file(self) -> Path:
        """Names of a cluster that lives under a root directory of its own."""
        return self.conf_dir / "hosts"

    @property
    def file_storage_paths(self) -> Path:
        return self.conf_dir / "file-storage-paths"

    @property
    def export_dir(self) -> Path:
        """Where a node keeps exports, a directory an instance."""
        return self.under("/srv/ganeti/export")

    @property
    def os_search_path(self) -> tuple[Path, ...]:
        return tuple(
            self.under(path)
            for path in (
                "/srv/ganeti/os",
                "/usr/local/lib/ganeti/os",
                "/usr/lib/ganeti/os",
                "/usr/share/ganeti/os",
            )
        )

    @property
    def extstorage_search_path(self) -> tuple[Path, ...]:
        return tuple(
            self.under(path)
            for path in (
                "/srv/ganeti/extstorage",
                "/usr/local/lib/ganeti/extstorage",
                "/usr/lib/ganeti/extstorage",
                "/usr/share/ganeti/extstorage",
            )
        )


def host_name() -> str:
    """This node's name: `GANETI_HOSTNAME`, else the machine's fully qualified name."""
    return os.environ.get(HOSTNAME_VARIABLE) or socket.getfqdn()
