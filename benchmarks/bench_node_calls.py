"""Our node daemon beside Debian's ganeti-noded, in one run on one machine.

    python benchmarks/bench_node_calls.py [--calls N] [--check]

Each daemon answers the call `version`, over a connection of its own each time and, where it can,
over one that is kept. What counts is the daemon's CPU time with its children's, in turns, medians
of ROUNDS. With `--check` the exit code is 1 when ours needs more than MARK of the peer's.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ganeti_kernel.node.setup import Setup, set_up_node
from ganeti_kernel.paths import Paths
from ganeti_kernel.rpc import certificates, trust

NODE = "node1.example.com"
PEER = Path("/usr/sbin/ganeti-noded")
ROUNDS = 5
MARK = 0.6
TICKS = os.sysconf("SC_CLK_TCK")


class Daemon:
    """A node daemon under a root of its own; `body` is what its call `version` takes."""

    def __init__(
        self, root: Path, argv: list[str], port: int, context: ssl.SSLContext, body: str
    ) -> None:
        env = {**os.environ, "GANETI_ROOTDIR": str(root), "GANETI_HOSTNAME": NODE}
        self.process = subprocess.Popen(
            [*argv, "-f", "-b", "127.0.0.1", "-p", str(port)],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.port, self.context, self.body = port, context, body

    def wait(self) -> Daemon:
        for _ in range(200):
            with contextlib.suppress(OSError):
                self.calls(1, kept=False)
                return self
            time.sleep(0.1)
        raise SystemExit(f"no answer on port {self.port}")

    def calls(self, number: int, *, kept: bool) -> None:
        connection = self._connect()
        for _ in range(number):
            connection.request("POST", "/version", self.body)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200 or b"3" not in text:
                raise SystemExit(f"port {self.port} answered {answer.status} {text!r}")
            if not kept:
                connection.close()
                connection = self._connect()
        connection.close()

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=30)

    def cpu(self) -> float:
        """Seconds of the daemon and of the children it has waited for."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / TICKS

    def cost(self, number: int, *, kept: bool) -> float:
        """CPU milliseconds of one call."""
        before = self.cpu()
        self.calls(number, kept=kept)
        time.sleep(0.2)  # a child that has just ended is counted when it was waited for
        return (self.cpu() - before) / number * 1000

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()


def ours(place: Path, port: int) -> Daemon:
    paths = Paths(place / "ours")
    authority = certificates.create_authority("c.example.com")
    own = certificates.issue_certificate(authority, NODE)
    set_up_node(
        paths,
        Setup(
            cluster_name="c.example.com",
            node_name=NODE,
            ca=authority.certificate.decode(),
            certificate=own.pem.decode(),
            master_fingerprint=certificates.fingerprint(own.certificate),
        ),
    )
    context = trust.client_context(paths)
    context.check_hostname = False
    argv = [sys.executable, "-m", "ganeti_kernel.daemons.noded"]
    return Daemon(paths.root, argv, port, context, "{}")


def peer(place: Path, port: int) -> Daemon:
    """Upstream wants its root directory called like the host, and takes its own certificate."""
    root = place / NODE
    data = root / "var/lib/ganeti"
    data.mkdir(parents=True)
    for folder in ("var/log/ganeti", "var/run/ganeti"):
        (root / folder).mkdir(parents=True)
    own = certificates.create_authority("ganeti.example.com")
    for name in ("server.pem", "client.pem"):
        (data / name).write_bytes(own.pem)
        (data / name).chmod(0o600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(str(data / "client.pem"))
    return Daemon(root, [str(PEER)], port, context, "[]")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--calls", type=int, default=50, help="calls in a round")
    parser.add_argument("--check", action="store_true", help="fail when a mark is missed")
    options = parser.parse_args()
    if not PEER.exists():
        print(f"{PEER} is not installed: nothing to compare with")
        return 0
    place = Path(tempfile.mkdtemp(prefix="bench-node-calls-"))
    daemons: list[Daemon] = []
    try:
        daemons = [ours(place, 18811), peer(place, 18812)]
        mine, theirs = (daemon.wait() for daemon in daemons)
        fresh: list[float] = []
        kept: list[float] = []
        other: list[float] = []
        for _ in range(ROUNDS):
            fresh.append(mine.cost(options.calls, kept=False))
            other.append(theirs.cost(options.calls, kept=False))
            kept.append(mine.cost(options.calls * 4, kept=True))
    finally:
        for daemon in daemons:
            daemon.close()
        shutil.rmtree(place)
    base = statistics.median(other)
    ratio = statistics.median(fresh) / base
    print(f"peer, a connection for each call   {base:8.2f} ms CPU a call")
    print(f"ours, a connection for each call   {statistics.median(fresh):8.2f} ms  {ratio:.2f}")
    reuse = statistics.median(kept)
    print(f"ours, one connection               {reuse:8.2f} ms  {reuse / base:.2f}")
    return int(options.check and ratio > MARK)


if __name__ == "__main__":
    sys.exit(main())
