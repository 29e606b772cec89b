"""`node-daemon-setup`: make this machine a node, from a JSON object on standard input.

The master sends it over a connection that it trusts already (a terminal, ssh): from then on the
two trust each other by certificates.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from ganeti_kernel.config.ssconf import read_ssconf, write_ssconf
from ganeti_kernel.constants import EXIT_FAILURE, EXIT_NODE_SETUP, EXIT_SUCCESS, EXIT_USAGE
from ganeti_kernel.errors import ConfigurationError, GenericError
from ganeti_kernel.files import write_durably
from ganeti_kernel.node import copies
from ganeti_kernel.node.files import forget_cluster
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc import certificates, trust

MAX_INPUT: Final = 4 << 20
USAGE: Final = """Usage: node-daemon-setup < FILE
       node-daemon-setup --leave CLUSTER FINGERPRINT

Makes this machine a node of a cluster. FILE is a JSON object: cluster_name, node_name,
ca (the cluster's certificate, PEM), certificate (this node's key and certificate, PEM),
master_fingerprint, and optionally hmac_key and ssconf (an object of texts).
With --leave the machine forgets that cluster again, for when its node daemon does not
run; FINGERPRINT is that of the cluster's certificate.
GANETI_ROOTDIR puts everything under another directory."""


class Setup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a new node is told. `certificate` holds the node's key too."""

    cluster_name: str
    node_name: str
    ca: str
    certificate: str
    master_fingerprint: str
    hmac_key: str | None = None
    ssconf: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Setup({self.node_name} of {self.cluster_name})"


def main() -> int:
    """Entry point of the program."""
    leave = len(sys.argv) == 4 and sys.argv[1] == "--leave"
    if len(sys.argv) > 1 and not leave:
        wanted = sys.argv[1:] in (["-h"], ["--help"])
        print(USAGE, file=sys.stdout if wanted else sys.stderr)
        return EXIT_SUCCESS if wanted else EXIT_USAGE
    try:
        if leave:
            leave_cluster(Paths.from_environment(), *sys.argv[2:])
            return EXIT_SUCCESS
        setup = read_setup(sys.stdin.buffer)
        set_up_node(Paths.from_environment(), setup)
    except OtherCluster as error:
        print(f"node-daemon-setup: {error}", file=sys.stderr)
        return EXIT_NODE_SETUP
    except (GenericError, OSError, ValueError) as error:
        print(f"node-daemon-setup: {error}", file=sys.stderr)
        return EXIT_FAILURE
    print(json.dumps({"cluster_name": setup.cluster_name, "node_name": setup.node_name}))
    return EXIT_SUCCESS


class OtherCluster(ConfigurationError):
    """This machine is a node of another cluster already."""


def read_setup(stream: BinaryIO) -> Setup:
    """Read and check the input; raises ConfigurationError that never quotes a secret."""
    data = stream.read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise ConfigurationError(f"the input has more than {MAX_INPUT >> 20} MiB")
    try:
        setup = msgspec.json.decode(data, type=Setup)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"the input is not usable: {error}") from None
    if not trust.FINGERPRINT.fullmatch(setup.master_fingerprint.upper()):
        raise ConfigurationError("master_fingerprint is not a SHA-1 fingerprint with colons")
    certificates.check_identity(setup.ca.encode(), setup.certificate.encode())
    return setup


def set_up_node(paths: Paths, setup: Setup) -> None:
    """Write the node's files; done already for the same cluster is done again.

    Raises OtherCluster, with nothing changed, for a node of another cluster.
    """
    _refuse_other_cluster(paths, setup)
    paths.data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not paths.ca_file.exists():
        # An epoch of the node's former life must not keep the master of its new one out.
        (paths.data_dir / "epoch").unlink(missing_ok=True)
    # A list from before would count more than the fingerprint that comes now.
    paths.ssconf(trust.CANDIDATES_KEY).unlink(missing_ok=True)
    files: list[tuple[Path, str, int]] = [
        (paths.ca_file, setup.ca, 0o644),
        (paths.node_certificate, setup.certificate, 0o600),
        (trust.bootstrap_file(paths), setup.master_fingerprint.upper() + "\n", 0o644),
    ]
    if setup.hmac_key is not None:
        files.append((paths.hmac_key, setup.hmac_key, 0o600))
    for path, content, mode in files:
        write_durably(path, content.encode(), mode)
    write_ssconf(paths, {"cluster_name": setup.cluster_name, **setup.ssconf})
    trust.server_context(paths)  # what was written can be read again


def leave_cluster(paths: Paths, name: str, fingerprint: str) -> None:
    """Forget a cluster: its files go; one that is forgotten already is no error.

    Raises OtherCluster, with nothing changed, for a node of another cluster, ConfigurationError
    for a master, whose files are the cluster itself.
    """
    try:
        known = certificates.fingerprint(paths.ca_file.read_bytes())
    except FileNotFoundError:
        return  # its certificate is what a machine is given first
    if known != fingerprint.upper():
        raise OtherCluster(
            f"{paths.ca_file} is the certificate of another cluster ({known}) than {name} "
            f"({fingerprint}); nothing was removed"
        )
    if paths.store_file.exists():
        raise ConfigurationError(
            f"this machine has the configuration of cluster {name} ({paths.store_file}); "
            "gnt-cluster destroy ends a cluster"
        )
    copies.remove_copy(paths)
    forget_cluster(paths)


def _refuse_other_cluster(paths: Paths, setup: Setup) -> None:
    try:
        current = read_ssconf(paths, "cluster_name").strip()
    except ConfigurationError:
        current = ""
    if current and current != setup.cluster_name:
        raise OtherCluster(
            f"this machine is a node of cluster {current}, not of {setup.cluster_name}; "
            "remove it there first"
        )
    try:
        same = paths.ca_file.read_bytes() == setup.ca.encode()
    except FileNotFoundError:
        return
    if not same:
        raise OtherCluster(
            f"{paths.ca_file} is the certificate of another cluster; remove this machine there "
            "first, or delete the file if that cluster is gone"
        )
