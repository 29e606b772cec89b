"""Debian's real Python client and its test tool against our daemons."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.testing import confd_peer
from ganeti_kernel.testing.confd_peer import Peer, Root

MODULES = Path("/usr/share/ganeti/default")
TOOL = Path("/usr/lib/ganeti/tools/confd-client")
DATA = Path(__file__).parents[1] / "data"
KEY = (DATA / "confd/hmac.key").read_bytes()

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not MODULES.exists(), reason="Debian's ganeti package is missing"),
]

QUESTIONS: dict[str, tuple[int, Any, Any]] = {
    "ping": (0, None, 3000000),
    "role of the master": (1, "node1.example.com", 0),
    "role of a candidate": (1, "node3.example.com", 1),
    "node of an instance": (2, {"1": "198.51.100.20"}, "10.99.0.13"),
    "node on another link": (2, {"1": "203.0.113.5", "0": "100"}, "10.99.0.12"),
    "nodes of instances": (2, {"2": ["198.51.100.20"]}, [[0, "10.99.0.13", 24]]),
    "master": (3, None, "node1.example.com"),
    "master's fields": (3, {"3": [2, 0]}, ["10.99.0.11", "node1.example.com"]),
    "nodes": (4, None, {"10.99.0.11", "10.99.0.12", "10.99.0.13"}),
    "candidates": (5, None, {"10.99.0.11", "10.99.0.12", "10.99.0.13"}),
    "addresses on a link": (6, "100", {"203.0.113.5", "203.0.113.6"}),
    "minors": (7, "node1.example.com", []),
    "disks of an instance": (9, "inst1.example.com", []),
    "look-up": (10, "/cluster/cluster_name", "cluster.example.com"),
}


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path, (DATA / "config/config.data.rich1.json").read_bytes(), KEY)


@contextlib.contextmanager
def three(root: Root, tmp_path: Path) -> Iterator[list[Peer]]:
    """Three daemons on one port of three loopback addresses."""
    port = confd_peer.free_port("127.0.0.1")
    with contextlib.ExitStack() as stack:
        peers = []
        for index in range(1, 4):
            own = Root(tmp_path / f"node{index}", root.config.read_bytes(), KEY)
            daemon = confd_peer.ours(own, address=f"127.0.0.{index}", port=port)
            peers.append(stack.enter_context(daemon))
        yield peers


def debian(
    peers: list[str],
    port: int,
    *,
    coverage: int = 0,
    timeout: float = 10.0,
    tries: int = 1,
    questions: list[tuple[int, Any]] | None = None,
) -> list[dict[str, Any]]:
    """What Debian's client says to each question."""
    wanted = questions or [(number, query) for number, query, _answer in QUESTIONS.values()]
    order = {
        "key": KEY.decode(),
        "peers": peers,
        "port": port,
        "coverage": coverage,
        "timeout": timeout,
        "tries": tries,
        "questions": wanted,
    }
    done = subprocess.run(
        [
            "/usr/bin/python3",
            "-W",
            "ignore",
            str(Path(__file__).with_name("debian_confd_client.py")),
        ],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env=os.environ | {"PYTHONPATH": str(MODULES)},
    )
    assert done.returncode == 0, done.stderr
    out: list[dict[str, Any]] = json.loads(done.stdout)
    return out


def check_answers(results: list[dict[str, Any]]) -> None:
    for (name, (_number, _query, wanted)), got in zip(QUESTIONS.items(), results, strict=True):
        assert got["status"] == 0, (name, got)
        answer = set(got["answer"]) if isinstance(wanted, set) else got["answer"]
        assert answer == wanted, name


def test_right_answers_to_every_question_it_can_ask(root: Root) -> None:
    with confd_peer.ours(root) as peer:
        results = debian([peer.address], peer.port)
    check_answers(results)
    assert {(item["timed_out"], item["sent"], item["received"]) for item in results} == {
        (False, 1, 1)
    }


def test_collectors_of_the_monitoring_daemon(root: Root) -> None:
    with confd_peer.ours(root) as peer:
        (result,) = debian([peer.address], peer.port, questions=[(11, None)])
    assert result["answer"]["diskstats"] == {"active": True, "interval": 5000000}
    assert result["answer"]["inst-status-xen"]["active"] is False


def test_over_ipv6(root: Root) -> None:
    with confd_peer.ours(root, address="::1") as peer:
        check_answers(debian(["::1"], peer.port))


def test_one_daemon_on_both_families(root: Root) -> None:
    with confd_peer.ours(root, address="::1", bind="127.0.0.1,::1") as peer:
        check_answers(debian(["::1"], peer.port))
        check_answers(debian(["127.0.0.1"], peer.port))


@pytest.mark.slow
def test_with_one_of_three_stopped(root: Root, tmp_path: Path) -> None:
    with three(root, tmp_path) as peers:
        addresses = [peer.address for peer in peers]
        peers[1].process.terminate()
        peers[1].process.wait(10)
        results = debian(addresses, peers[0].port, coverage=-1)
    check_answers(results)
    # two of three replies are enough for the client: it never waits for the dead one
    assert {(item["timed_out"], item["sent"]) for item in results} == {(False, 3)}
    assert all(item["consistent"] for item in results)


class LossyRelay:
    """Passes datagrams between clients and daemons and loses some, in both directions."""

    def __init__(self, routes: dict[tuple[str, int], tuple[str, int]], loss: float) -> None:
        self.lost = self.passed = 0
        self._rng = random.Random(20)
        self._loss = loss
        self._sockets = []
        for front, back in routes.items():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(front)
            sock.settimeout(0.1)
            self._sockets.append((sock, back))
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._relay, args=pair, daemon=True) for pair in self._sockets
        ]

    def __enter__(self) -> LossyRelay:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for sock, _back in self._sockets:
            sock.close()

    def _lose(self) -> bool:
        lost = self._rng.random() < self._loss
        self.lost += lost
        self.passed += not lost
        return lost

    def _relay(self, sock: socket.socket, back: tuple[str, int]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as behind:
            behind.settimeout(1)
            while not self._stop.is_set():
                try:
                    request, client = sock.recvfrom(65536)
                    if self._lose():
                        continue
                    behind.sendto(request, back)
                    reply = behind.recv(65536)
                except TimeoutError:
                    continue
                if not self._lose():
                    sock.sendto(reply, client)


@pytest.mark.slow
def test_with_three_of_ten_datagrams_lost(root: Root, tmp_path: Path) -> None:
    with three(root, tmp_path) as peers:
        front = confd_peer.free_port("127.0.1.1")
        routes = {
            (f"127.0.1.{index}", front): (peer.address, peer.port)
            for index, peer in enumerate(peers, 1)
        }
        with LossyRelay(routes, loss=0.3) as relay:
            addresses = [address for address, _port in routes]
            results = debian(addresses, front, coverage=-1, timeout=1.0, tries=12)
    check_answers(results)
    assert relay.lost > 10


@pytest.mark.skipif(not TOOL.exists(), reason="Debian's confd-client tool is missing")
def test_the_test_tool_that_upstream_ships(root: Root, tmp_path: Path) -> None:
    # it knows the standard port only, and sends field numbers as strings, to which upstream's
    # own daemon never answers
    address = "127.0.77.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 1814))
        except OSError:
            pytest.skip("port 1814 is in use on this machine")
    key = tmp_path / "key"
    key.write_bytes(KEY)
    with confd_peer.ours(root, address=address, port=1814):
        done = subprocess.run(
            [str(TOOL), "--hmac", KEY.decode(), "-a", address, "-r", "20"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "node1.example.com" in done.stdout
