"""What a development cluster consists of. Pure: names, addresses and files' contents."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ganeti_kernel.paths import Paths

CLUSTER_NAME: Final = "cluster.example.com"
DOMAIN: Final = "example.com"
STATE_FILE: Final = "devcluster.json"
MAX_NODES: Final = 40
BRIDGE: Final = "br0"

MAX_ROOT: Final = 56
"""Longest root directory: a Unix socket's path has 107 bytes, and ours are below the root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A development cluster. `net` is a /24 network without its last octet."""

    root: Path
    nodes: int
    mode: str
    hypervisor: str
    net: str
    tag: str

    @classmethod
    def make(cls, root: Path, nodes: int, mode: str, hypervisor: str) -> Layout:
        """Derive addresses and names from the root, so that several clusters do not meet."""
        digest = hashlib.sha256(str(root).encode()).digest()
        first, second = digest[0] % 200 + 20, digest[1]
        net = f"127.{first}.{second}" if mode == "loopback" else f"10.{first}.{second}"
        return cls(
            root=root, nodes=nodes, mode=mode, hypervisor=hypervisor, net=net, tag=digest[:3].hex()
        )

    @property
    def names(self) -> list[str]:
        return [f"node{number}.{DOMAIN}" for number in range(1, self.nodes + 1)]

    @property
    def master_address(self) -> str:
        return f"{self.net}.254"

    def address(self, name: str) -> str:
        return f"{self.net}.{self.number(name)}"

    def number(self, name: str) -> int:
        return self.names.index(name) + 1

    def node_root(self, name: str) -> Path:
        return self.root / name.partition(".")[0]

    def paths(self, name: str) -> Paths:
        return Paths(self.node_root(name))

    def namespace(self, name: str) -> str:
        return f"gdc{self.tag}n{self.number(name)}"

    @property
    def switch(self) -> str:
        """The namespace that holds the bridge between the nodes."""
        return f"gdc{self.tag}sw"

    def find(self, name: str) -> str:
        """A node by its name or short name; raises ValueError that lists the names."""
        for full in self.names:
            if name in (full, full.partition(".")[0]):
                return full
        raise ValueError(f"there is no node {name!r}; nodes are {', '.join(self.names)}")

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "root": str(self.root)}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """Read a state file; raises ValueError, KeyError or TypeError when it is not one."""
        fields = json.loads(text)
        return cls(**{**fields, "root": Path(fields["root"])})


def hosts_file(layout: Layout) -> str:
    """Names and addresses of the cluster, as in /etc/hosts."""
    lines = [f"{layout.master_address} {CLUSTER_NAME}"]
    lines += [f"{layout.address(name)} {name} {name.partition('.')[0]}" for name in layout.names]
    return "\n".join(lines) + "\n"


def defaults_file(layout: Layout, name: str) -> str:
    """/etc/default/ganeti of a node: in loopback mode daemons keep to the node's own address."""
    if layout.mode != "loopback":
        return ""
    daemons = ("NODED", "CONFD", "MOND")
    return "".join(f'{daemon}_ARGS="-b {layout.address(name)}"\n' for daemon in daemons)


def enter(layout: Layout, name: str) -> list[str]:
    """What comes before a command to run it where the node is."""
    if layout.mode != "netns":
        return []
    # nsenter, not `ip netns exec`: the latter mounts over /sys, and cgroups are gone.
    return ["nsenter", f"--net=/var/run/netns/{layout.namespace(name)}"]


def environment(layout: Layout, name: str, bin_dir: str, base: dict[str, str]) -> dict[str, str]:
    """The environment of a command that runs as on a node."""
    return base | {
        "GANETI_ROOTDIR": str(layout.node_root(name)),
        "GANETI_HOSTNAME": name,
        "PATH": f"{bin_dir}:{base.get('PATH', '/usr/bin:/bin:/usr/sbin:/sbin')}",
    }


def remote_shell(layout: Layout, bin_dir: str) -> str:
    """The script that stands in for ssh: `remote-shell root@HOST COMMAND`."""
    cases = []
    for name in layout.names:
        settings = environment(layout, name, bin_dir, {})
        exports = " ".join(
            f"{key}={shlex.quote(value)}" for key, value in settings.items() if key != "PATH"
        )
        before = shlex.join(enter(layout, name))
        cases.append(f'  {name}) exec env {exports} {before} sh -c "$*" ;;')
    return "\n".join(
        [
            "#!/bin/sh",
            "# Runs a command as on another node of a development cluster.",
            "host=${1#*@}; shift",
            f"PATH={shlex.quote(bin_dir)}:$PATH; export PATH",
            'case "$host" in',
            *cases,
            '  *) echo "no such node: $host" >&2; exit 255 ;;',
            "esac",
            "",
        ]
    )


def init_command(
    layout: Layout, templates: Sequence[str], hvparams: Sequence[str] = ()
) -> list[str]:
    """`gnt-cluster init` with limits that suit small test instances."""
    return [
        "gnt-cluster",
        "init",
        "--enabled-hypervisors",
        layout.hypervisor,
        "--enabled-disk-templates",
        ",".join(templates),
        "--ipolicy-bounds-specs",
        "min:memory-size=4,cpu-count=1,disk-count=0,disk-size=4,nic-count=0,spindle-use=1/"
        "max:memory-size=32768,cpu-count=8,disk-count=16,disk-size=1048576,nic-count=8,"
        "spindle-use=12",
        "--nic-parameters",
        f"link={BRIDGE}",
        "--master-netdev",
        BRIDGE if layout.mode == "netns" else "lo",
        *(part for item in hvparams for part in ("--hypervisor-parameters", item)),
        CLUSTER_NAME,
    ]
