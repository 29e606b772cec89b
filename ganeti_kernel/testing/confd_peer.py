"""Running confd daemons, ours and Debian's, each on a directory of its own.

Requests are made with the standard library only, so that what is tested does not test itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

UPSTREAM: Final = "/usr/sbin/ganeti-confd"
KEY: Final = b"0123456789abcdef0123456789abcdef01234567\n"
START: Final = 20.0
"""Seconds a daemon has to answer its first request."""


class Reply(NamedTuple):
    status: int
    answer: Any
    serial: int


def pack(
    key: bytes, message: str, *, salt: str | None = None, signature: str | None = None
) -> bytes:
    """A datagram; salt None: now; signature None: the right one."""
    salt = str(int(time.time())) if salt is None else salt
    mac = hmac.new(key, (salt + message).encode(), hashlib.sha1).hexdigest()
    shown = mac if signature is None else signature
    return b"plj0" + json.dumps({"msg": message, "salt": salt, "hmac": shown}).encode()


def request(key: bytes, number: int, query: Any = None, rsalt: str = "", **more: Any) -> bytes:
    """The datagram of a question; `more` changes members of its inner object."""
    inner = {"protocol": 1, "type": number, "query": query, "rsalt": rsalt} | more
    return pack(key, json.dumps(inner))


def unpack(key: bytes, datagram: bytes) -> tuple[str, Reply]:
    """The salt and content of a reply; asserts that it is signed."""
    assert datagram[:4] == b"plj0"
    envelope = json.loads(datagram[4:])
    signed = (envelope["salt"] + envelope["msg"]).encode()
    assert envelope["hmac"] == hmac.new(key, signed, hashlib.sha1).hexdigest()
    inner = json.loads(envelope["msg"])
    assert inner["protocol"] == 1
    return envelope["salt"], Reply(inner["status"], inner["answer"], inner["serial"])


class Root:
    """A node's root directory with a key and a configuration."""

    def __init__(self, path: Path, config: bytes | None = None, key: bytes = KEY) -> None:
        self.path = path
        self.data = path / "var/lib/ganeti"
        for part in ("lib/ganeti", "run/ganeti", "log/ganeti", "lock"):
            (path / "var" / part).mkdir(parents=True, exist_ok=True)
        (self.data / "hmac.key").write_bytes(key)
        self.key = key
        if config is not None:
            self.write(config)

    @property
    def config(self) -> Path:
        return self.data / "config.data"

    def write(self, config: bytes) -> None:
        """Replace the configuration as upstream does: by rename."""
        new = self.data / "config.data.new"
        new.write_bytes(config)
        new.rename(self.config)

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "GANETI_ROOTDIR": str(self.path),
            "GANETI_HOSTNAME": "node1.example.com",
            "LC_ALL": "C.UTF-8",
        }


class Peer:
    """A running daemon."""

    def __init__(
        self, process: subprocess.Popen[bytes], root: Root, address: str, port: int, log: Path
    ) -> None:
        self.process = process
        self.root = root
        self.address = address
        self.port = port
        self.log = log

    def socket(self, timeout: float) -> socket.socket:
        """A socket connected to the daemon."""
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.settimeout(timeout)
        sock.connect((self.address, self.port))
        return sock

    def send(self, datagram: bytes, timeout: float = 5.0) -> bytes | None:
        """Send a datagram and return what comes back, None when nothing does in time."""
        with self.socket(timeout) as sock:
            sock.send(datagram)
            try:
                return sock.recv(65536)
            except (TimeoutError, ConnectionRefusedError):
                return None

    def ask(self, number: int, query: Any = None, timeout: float = 5.0) -> Reply | None:
        """Ask one question; None: the daemon stays silent."""
        salt = str(uuid.uuid4())
        answer = self.send(request(self.root.key, number, query, salt), timeout)
        if answer is None:
            return None
        echo, reply = unpack(self.root.key, answer)
        assert echo == salt
        return reply

    def pids(self) -> list[int]:
        """The daemon's process and its children."""
        first = self.process.pid
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *(int(child) for child in children)]

    def cpu(self) -> float:
        """Seconds of CPU that the daemon and its children have used."""
        total = 0.0
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                # nanoseconds on a CPU, as the scheduler counts them
                with contextlib.suppress(FileNotFoundError):
                    total += int((task / "schedstat").read_text().split()[0]) / 1e9
        return total

    def wait_for_serial(self, serial: int, timeout: float = START) -> None:
        """Wait until the daemon serves the configuration with this serial number."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            reply = self.ask(10, "/serial_no", timeout=0.5)
            if reply is not None and reply.answer == serial:
                return
            time.sleep(0.02)
        raise AssertionError(f"serial {serial} is not served: {self.log.read_text()[-2000:]}")


@contextlib.contextmanager
def running(
    argv: Sequence[str],
    root: Root,
    *,
    address: str = "127.0.0.1",
    port: int | None = None,
    bind: str = "",
) -> Iterator[Peer]:
    """A daemon on a free port of `address`, ended with the block. `bind`: its `-b`, if another."""
    port = port or free_port(address)
    log = root.path / f"confd-{port}.log"
    command = [*argv, "-f", "--no-user-checks", "-p", str(port), "-b", bind or address]
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            command, env=root.environment(), stdout=stream, stderr=stream, stdin=subprocess.DEVNULL
        )
    peer = Peer(process, root, address, port, log)
    try:
        _wait_until_answering(peer)
        yield peer
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ours(root: Root, *options: str, **more: Any) -> contextlib.AbstractContextManager[Peer]:
    return running([sys.executable, "-m", "ganeti_kernel.daemons.confd", *options], root, **more)


def upstream(root: Root, **more: Any) -> contextlib.AbstractContextManager[Peer]:
    return running([UPSTREAM], root, **more)


def has_upstream() -> bool:
    return shutil.which(UPSTREAM) is not None


def free_port(address: str = "127.0.0.1") -> int:
    """A port that is free for UDP and TCP."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _attempt in range(50):
        with (
            socket.socket(family, socket.SOCK_DGRAM) as datagrams,
            socket.socket(family, socket.SOCK_STREAM) as stream,
        ):
            datagrams.bind((address, 0))
            port: int = datagrams.getsockname()[1]
            with contextlib.suppress(OSError):
                stream.bind((address, port))
                return port
    raise OSError("no free port")


def _wait_until_answering(peer: Peer) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end:
        if peer.process.poll() is not None:
            break
        if peer.ask(0, timeout=0.2) is not None:
            return
        time.sleep(0.02)
    raise AssertionError(f"the daemon does not answer: {peer.log.read_text()[-2000:]}")
