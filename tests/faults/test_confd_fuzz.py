"""Floods of broken datagrams: the daemon answers none, grows not, and serves on.

`GANETI_FUZZ_DATAGRAMS` sets how many; a long run takes a million.
"""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti_kernel.testing import confd_peer
from ganeti_kernel.testing.confd_peer import KEY, Peer, Root, pack, request, unpack

COUNT = int(os.environ.get("GANETI_FUZZ_DATAGRAMS", "60000"))
BURST = 100

CONFIG = Path(__file__).parents[1] / "data/config/config.data.rich1.json"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

QUESTIONS = [
    (0, None),
    (1, "node1.example.com"),
    (2, {"1": "198.51.100.20"}),
    (2, {"2": ["198.51.100.20", "192.0.2.4"]}),
    (3, {"3": [0, 1, 2]}),
    (6, "br0"),
    (8, "node1"),
    (10, "/cluster/hvparams"),
]
NASTY = [
    "[" * 20_000,
    '{"a":' * 5_000,
    "1" * 50_000,
    '"\\ud800"',
    "NaN",
    "1e999",
    "-0",
    "\u0000",
    "null",
    "true",
    '{"protocol":1,"type":1e400,"rsalt":"x"}',
    '{"protocol":1,"type":-99999999999999999999,"rsalt":"x"}',
    '{"protocol":1,"type":10,"rsalt":"x","query":"' + "/a" * 20_000 + '"}',
    '{"protocol":1,"type":2,"rsalt":"x","query":{"2":[' + '"1",' * 9_000 + '"1"]}}',
]


def unsigned(rng: random.Random) -> bytes:
    """A datagram without a right signature: noise, or a good one damaged, or another key's."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randbytes(rng.randrange(0, 400))
    if kind == 1:
        return b"plj0" + rng.randbytes(rng.randrange(0, 400))
    if kind == 2:
        return pack(b"another key\n", rng.choice(NASTY))
    if kind == 3:
        return b"plj0" + rng.choice(NASTY).encode("utf-8", "surrogatepass")
    number, query = rng.choice(QUESTIONS)
    good = bytearray(request(KEY, number, query, "salt"))
    if kind == 4:
        # not the last brace: without it upstream's envelope is the only thing that breaks
        return bytes(good[: rng.randrange(len(good) - 1)])
    # inside `msg`, so that whatever still is JSON is no longer what was signed
    start, end = good.index(b'\\"protocol'), good.index(b'", "salt"')
    for _ in range(rng.randrange(1, 4)):
        index = rng.randrange(start, end)
        good[index] = good[index] ^ (1 << rng.randrange(8))
    return bytes(good) if bytes(good) != request(KEY, number, query, "salt") else b""


def signed(rng: random.Random) -> bytes:
    """A datagram with a right signature and odd content."""
    if rng.randrange(3) == 0:
        return pack(KEY, rng.choice(NASTY))
    number, query = rng.choice(QUESTIONS)
    inner = bytearray(
        json.dumps({"protocol": 1, "type": number, "query": query, "rsalt": "salt"}).encode()
    )
    for _ in range(rng.randrange(0, 4)):
        inner[rng.randrange(len(inner))] = rng.randrange(32, 127)
    return pack(KEY, inner.decode())


def memory(peer: Peer) -> int:
    """Resident kilobytes."""
    status = Path(f"/proc/{peer.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def bursts(count: int) -> Iterator[int]:
    while count > 0:
        yield min(BURST, count)
        count -= BURST


@pytest.fixture
def metrics_port() -> int:
    return confd_peer.free_port()


@pytest.fixture
def peer(ganeti_root: Path, metrics_port: int) -> Iterator[Peer]:
    root = Root(ganeti_root, CONFIG.read_bytes())
    with confd_peer.ours(root, "--metrics", f"127.0.0.1:{metrics_port}") as peer:
        yield peer


def ignored(port: int) -> int:
    """How many datagrams the daemon has received and left unanswered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    counts = [line.split() for line in lines if line.startswith("ganeti_confd_ignored_total")]
    assert len(counts) == 4
    return sum(int(float(count)) for _name, count in counts)


def drain(sock: socket.socket) -> list[bytes]:
    out = []
    try:
        while True:
            out.append(sock.recv(65536, socket.MSG_DONTWAIT))
    except BlockingIOError:
        return out


def settle(peer: Peer, sock: socket.socket) -> list[bytes]:
    """Wait until the daemon has worked its queue off: a good question is answered last.

    Returns what came on `sock` meanwhile. Datagrams of one daemon's socket are answered in order.
    """
    last = request(KEY, 0, None, "the last one")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        reply = peer.send(last, timeout=2.0)  # may be lost when the queue is full
        if reply is not None:
            return drain(sock)
    raise AssertionError("the daemon does not answer any more")


def test_no_unsigned_datagram_is_answered(peer: Peer, metrics_port: int) -> None:
    rng = random.Random(1)
    ready = [unsigned(rng) for _ in range(5000)]
    answers: list[bytes] = []
    with peer.socket(1) as sock:
        sock.setblocking(True)
        for _ in range(3):
            for datagram in ready[:500]:
                sock.send(datagram)
            answers += settle(peer, sock)
        before = memory(peer)
        for number, size in enumerate(bursts(COUNT)):
            if number % 20 == 0:  # fresh ones, so that a long run is not a short one repeated
                ready[number % 4500 : number % 4500 + 500] = [unsigned(rng) for _ in range(500)]
            for datagram in rng.choices(ready, k=size):
                sock.send(datagram)
            answers += settle(peer, sock)
    assert answers == []
    # the network may drop some of a burst, but hardly any on this path
    assert ignored(metrics_port) > 0.9 * COUNT
    assert peer.process.poll() is None
    assert memory(peer) - before < 16_000
    assert peer.ask(3) == (0, "node1.example.com", 24)


def test_signed_nonsense_is_answered_or_ignored_but_never_fatal(peer: Peer) -> None:
    rng = random.Random(2)
    with peer.socket(1) as sock:
        sock.setblocking(True)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        answered = 0
        before = 0
        for number, size in enumerate(bursts(COUNT // 4)):
            for _ in range(size):
                sock.send(signed(rng))
            for reply in settle(peer, sock):
                unpack(KEY, reply)
                answered += 1
            if number == 20:
                before = memory(peer)
    assert answered > COUNT // 20
    assert peer.process.poll() is None
    # kept answers may take 32 MB, never more
    assert memory(peer) - before < 96_000
    assert peer.ask(3) == (0, "node1.example.com", 24)


def test_tcp_connections_that_break_off(peer: Peer) -> None:
    rng = random.Random(3)
    linger = struct.pack("ii", 1, 0)
    for _ in range(200):
        with socket.create_connection((peer.address, peer.port), timeout=5) as sock:
            sock.sendall(unsigned(rng)[:50_000])
            # reset instead of a proper end
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert peer.ask(3) == (0, "node1.example.com", 24)
    assert "Traceback" not in peer.log.read_text()
