"""Keys and certificates are renewed while calls go on, also when the job is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.config import datafile
from ganeti_kernel.errors import GenericError, RemoteError
from ganeti_kernel.objects import Node
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc.certificates import fingerprint, split_certificates
from ganeti_kernel.rpc.sync import SyncNodeClient
from ganeti_kernel.testing.devcluster import BIN, DevCluster
from ganeti_kernel.testing.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RENEW = ("gnt-cluster", "renew-crypto", "-f")


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(3) as made:
        yield made


class Caller(threading.Thread):
    """Calls all nodes as one node of the cluster, over and over."""

    def __init__(self, paths: Paths) -> None:
        super().__init__()
        self.nodes = list(datafile.load(paths.config_file).nodes.values())
        self.paths = paths
        self.calls = 0
        self.failures: list[str] = []
        self.done = threading.Event()

    def run(self) -> None:
        with SyncNodeClient(self.paths) as client:
            while not self.done.is_set():
                for node in self.nodes:
                    try:
                        client.call(node, "version")
                        self.calls += 1
                    except GenericError as error:
                        self.failures.append(str(error))
                time.sleep(0.005)

    def __enter__(self) -> Caller:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.done.set()
        self.join()


def marks(cluster: DevCluster) -> list[str]:
    return [fingerprint(paths.node_certificate.read_bytes()) for paths in cluster.nodes]


def listed(paths: Paths) -> list[str]:
    text = paths.ssconf("master_candidates_certs").read_text()
    return sorted(line.partition("=")[2] for line in text.split())


def same_list(cluster: DevCluster) -> None:
    wanted = sorted(marks(cluster))
    wait_until(
        lambda: all(listed(paths) == wanted for paths in cluster.nodes),
        lambda: f"{wanted} on all lists, not {[listed(paths) for paths in cluster.nodes]}",
    )


def test_everything_is_renewed_and_no_call_fails(
    cluster: DevCluster, tmp_path: Path, record_property: Any
) -> None:
    first = cluster.nodes[0]
    old = Paths(tmp_path)
    old.data_dir.mkdir(parents=True)
    for name in ("ca.pem", "server.pem"):
        (old.data_dir / name).write_bytes((first.data_dir / name).read_bytes())
    before = marks(cluster)
    names = ("ca.pem", "ca.key", "hmac.key", "cluster-domain-secret")
    files = {name: (first.data_dir / name).read_bytes() for name in names}
    with Caller(first) as master, Caller(cluster.nodes[1]) as candidate:
        out = cluster.must(
            *RENEW,
            "--new-cluster-certificate",
            "--new-confd-hmac-key",
            "--new-cluster-domain-secret",
            "--new-rapi-certificate",
            "--new-spice-certificate",
        )
        same_list(cluster)
    assert out.endswith("All requested certificates and keys have been replaced.\n")
    assert (master.failures, candidate.failures) == ([], [])
    assert master.calls > 100
    record_property(
        "figure", f"renew-crypto: {master.calls + candidate.calls} calls meanwhile, none failed"
    )
    assert not set(before) & set(marks(cluster))
    for name, content in files.items():
        new = (first.data_dir / name).read_bytes()
        assert new != content
        wait_until(
            lambda name=name, new=new: all(  # type: ignore[misc] # mypy cannot infer defaults
                (paths.data_dir / name).read_bytes() == new for paths in cluster.nodes
            ),
            f"the new {name} everywhere",
        )
    assert len(split_certificates((first.data_dir / "ca.pem").read_bytes())) == 1
    for name in ("rapi.pem", "spice.pem"):
        assert b"PRIVATE KEY" in (first.data_dir / name).read_bytes()
    assert not list(first.data_dir.glob("*.next"))

    # whoever kept the old ones is nobody now
    (node,) = (n for n in datafile.load(first.config_file).nodes.values() if "node2" in n.name)
    refused(old, node)
    cluster.must("gnt-confd", "ping")
    cluster.must("gnt-cluster", "add-tags", "after")


def refused(paths: Paths, node: Node) -> None:
    with SyncNodeClient(paths) as client, pytest.raises(RemoteError):
        client.call(node, "version")


def test_a_killed_renewal_is_carried_on(cluster: DevCluster) -> None:
    before = marks(cluster)
    with Caller(cluster.nodes[0]) as caller:
        renewal = subprocess.Popen(
            [BIN / "gnt-devcluster", "exec", "--root", str(cluster.root), "node1", "--", *RENEW,
             "--new-cluster-certificate"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        with renewal:
            wait_until(lambda: marks(cluster) != before, "the first node's new certificate")
            (livelock,) = (cluster.nodes[0].run_dir / "livelocks").glob("job_*")
            os.kill(holder(livelock), signal.SIGKILL)
            out, _none = renewal.communicate(timeout=120)
        assert renewal.returncode == 0, out
        assert "carrying on" in out
        same_list(cluster)
    assert caller.failures == []
    assert not set(before) & set(marks(cluster))
    assert len(split_certificates(cluster.nodes[2].ca_file.read_bytes())) == 1


def holder(path: Path) -> int:
    """The process that has a file open, the youngest of several."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if any(item.resolve() == path for item in (folder / "fd").iterdir()):
                    found.append(int(folder.name))
    return max(found)


def test_node_certificates_alone(cluster: DevCluster) -> None:
    before, authority = marks(cluster), cluster.nodes[0].ca_file.read_bytes()
    with Caller(cluster.nodes[0]) as caller:
        cluster.must(*RENEW, "--new-node-certificates")
        same_list(cluster)
    assert caller.failures == []
    assert not set(before) & set(marks(cluster))
    assert cluster.nodes[0].ca_file.read_bytes() == authority
    certs = json.loads(cluster.nodes[0].config_file.read_bytes())["cluster"]["candidate_certs"]
    assert sorted(certs.values()) == sorted(marks(cluster))


def test_a_node_that_cannot_take_part_is_named(cluster: DevCluster) -> None:
    before = marks(cluster)
    cluster.must("daemon-util", "stop", "ganeti-noded", node=3)
    ran = cluster.on(1, *RENEW, "--new-node-certificates")
    assert ran.code == 1
    assert "every node must take part: node node3.example.com" in ran.err
    assert marks(cluster) == before
    cluster.must("daemon-util", "start", "ganeti-noded", node=3)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((), "say what to renew"),
        (("--new-ssh-keys",), "no ssh keys to renew"),
        (("--new-rapi-certificate", "--rapi-certificate", "x"), "exclude each other"),
        (("--spice-certificate", "x"), "belong together"),
        (("--rapi-certificate", "/nowhere"), "cannot read /nowhere"),
        (("--cluster-domain-secret", "/dev/null"), "/dev/null is empty"),
    ],
)
def test_misuse(cluster: DevCluster, args: tuple[str, ...], text: str) -> None:
    ran = cluster.on(1, *RENEW, *args)
    assert ran.code == 1
    assert text in ran.err
    assert not list(cluster.nodes[0].data_dir.glob("*.next"))
