from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.testing.waiting import wait_until

START = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Mond:
    """A ganeti-mond of its own root directory on a free port."""

    def __init__(self, root: Path, *options: str, python: str = sys.executable) -> None:
        self.root = root
        for part in ("etc/ganeti", "var/lib/ganeti", "var/run/ganeti", "var/log/ganeti"):
            (root / part).mkdir(parents=True, exist_ok=True)
        self.log = root / "var/log/ganeti/stderr"
        words = ["-f", "--no-user-checks", "-b", "127.0.0.1", "-p", "0", *options]
        environment = os.environ | {
            "GANETI_ROOTDIR": str(root),
            "GANETI_HOSTNAME": "node1.example.com",
        }
        with open(self.log, "wb") as stream:
            self.process = subprocess.Popen(
                [python, "-m", "ganeti_kernel.daemons.mond", *words],
                env=environment,
                stdout=stream,
                stderr=stream,
            )
        try:
            self.port = int(self.wait_for_log(r"serving reports on port (\d+)"))
            self.eventually(self._settled, "every collector has shown what it is")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _settled(self) -> bool:
        return all(
            item["rounds"] or item["state"] in ("inactive", "disabled")
            for item in self.collectors().values()
        )

    def wait_for_log(self, pattern: str, after: int = 0) -> str:
        def look() -> re.Match[str] | None:
            ended = self.process.poll() is not None
            match = re.search(pattern, self.log.read_text()[after:])
            assert match or not ended, f"mond ended:\n{self.log.read_text()}"
            return match

        match = wait_until(look, lambda: f"{pattern!r} in the log:\n{self.log.read_text()}", START)
        return match[1] if match.groups() else match[0]

    def request(self, method: str, target: str, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, target, headers=headers)
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, answer.reason, fields, answer.read())
        finally:
            connection.close()

    def get(self, target: str, **headers: str) -> Answer:
        return self.request("GET", target, **headers)

    def raw(self, data: bytes, *, shut: bool = True) -> bytes:
        """Send bytes, return all that comes until the other side closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as sock:
            sock.sendall(data)
            if shut:
                sock.shutdown(socket.SHUT_WR)
            received = b""
            while part := sock.recv(65536):
                received += part
            return received

    def collectors(self) -> dict[str, dict[str, Any]]:
        return {item["name"]: item for item in self.get("/healthz").json["collectors"]}

    def reload(self) -> None:
        """Have it look again, and wait until it did."""
        self.process.send_signal(signal.SIGHUP)

    def eventually(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, lambda: f"{what}\n{self.log.read_text()}", START)

    def family(self) -> list[int]:
        """Process ids of the daemon's children."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if fields[1] == str(self.process.pid):
                    found.append(int(entry.name))
        return found

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@pytest.fixture
def mond(ganeti_root: Path) -> Iterator[Mond]:
    """A daemon of this test."""
    daemon = Mond(ganeti_root)
    try:
        yield daemon
    finally:
        daemon.stop()


@pytest.fixture(scope="module")
def shared_mond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mond]:
    """A daemon for all tests of a module: they only read."""
    daemon = Mond(tmp_path_factory.mktemp("mond"))
    try:
        yield daemon
    finally:
        daemon.stop()


@pytest.fixture
def mond_class() -> type[Mond]:
    """For tests that start daemons themselves."""
    return Mond
