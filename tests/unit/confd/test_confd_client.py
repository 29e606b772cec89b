"""Our clients, synchronous and asyncio, against daemons that answer, lie, lose and stay silent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.confd.aclient import AsyncConfdClient
from ganeti_kernel.confd.client import ConfdClient
from ganeti_kernel.confd.exchange import Result
from ganeti_kernel.errors import ConfdClientError
from ganeti_kernel.paths import Paths
from ganeti_kernel.testing.confd_peer import KEY, free_port, pack

Answering = Callable[[dict[str, Any], int], bytes | list[bytes] | None]
Ask = Callable[..., Result]


def answer(request: dict[str, Any], value: Any, *, serial: int = 1, status: int = 0) -> bytes:
    inner = {"protocol": 1, "status": status, "answer": value, "serial": serial}
    return pack(KEY, json.dumps(inner), salt=request["rsalt"])


class FakeDaemon:
    """Answers as a function tells; `count` requests have come."""

    def __init__(self, address: str, port: int, answering: Answering) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.count = 0
        self._answering = answering
        self._sock = socket.socket(family, socket.SOCK_DGRAM)
        self._sock.bind((address, port))
        self._sock.settimeout(0.05)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._sock.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                datagram, sender = self._sock.recvfrom(65536)
            except TimeoutError:
                continue
            self.count += 1
            request = json.loads(json.loads(datagram[4:])["msg"])
            replies = self._answering(request, self.count) or []
            for reply in replies if isinstance(replies, list) else [replies]:
                self._sock.sendto(reply, sender)


@pytest.fixture
def port() -> int:
    return free_port("127.0.0.1")


@pytest.fixture
def daemons(port: int) -> Iterator[Callable[..., list[FakeDaemon]]]:
    """Starts fake daemons on 127.0.0.1, 127.0.0.2, …"""
    started: list[FakeDaemon] = []

    def start(*answerings: Answering) -> list[FakeDaemon]:
        for index, answering in enumerate(answerings, 1):
            started.append(FakeDaemon(f"127.0.0.{index}", port, answering))
        return started

    yield start
    for daemon in started:
        daemon.stop()


@pytest.fixture(params=["synchronous", "asyncio"])
def ask(request: pytest.FixtureRequest, port: int) -> Ask:
    """Asks through either client."""

    def question(peers: int | list[str], *args: Any, **more: Any) -> Result:
        addresses = (
            [f"127.0.0.{index}" for index in range(1, peers + 1)]
            if isinstance(peers, int)
            else peers
        )
        if request.param == "synchronous":
            return ConfdClient(KEY, addresses, port).ask(*args, **more)
        return asyncio.run(AsyncConfdClient(KEY, addresses, port).question(*args, **more))

    return question


def test_one_daemon(daemons: Any, ask: Ask) -> None:
    daemons(lambda request, _n: answer(request, request["query"]))
    result = ask(1, 1, "node1")
    assert (result.answer, result.peer, result.complete) == ("node1", "127.0.0.1", True)


def test_the_highest_serial_of_a_quorum(daemons: Any, ask: Ask) -> None:
    daemons(
        lambda request, _n: answer(request, "old", serial=1),
        lambda request, _n: answer(request, "new", serial=2),
    )
    result = ask(2, 3)
    assert (result.answer, result.serial, result.consistent) == ("new", 2, True)


def test_disagreement_is_told(daemons: Any, ask: Ask) -> None:
    daemons(lambda request, _n: answer(request, "a"), lambda request, _n: answer(request, "b"))
    assert not ask(2, 3).consistent


def test_one_silent_daemon_of_three_costs_no_time(daemons: Any, ask: Ask) -> None:
    started = daemons(
        lambda request, _n: answer(request, "x"),
        lambda _request, _n: None,
        lambda request, _n: answer(request, "x"),
    )
    result = ask(3, 3, timeout=30)
    assert (result.answered, result.asked, result.complete) == (2, 3, True)
    assert started[1].count <= 2


def test_what_is_lost_is_asked_again(daemons: Any, ask: Ask) -> None:
    (daemon,) = daemons(lambda request, n: answer(request, "x") if n == 3 else None)
    assert ask(1, 0).answer == "x"
    assert daemon.count == 3


def test_too_few_answers_are_an_incomplete_result(daemons: Any, ask: Ask) -> None:
    daemons(lambda request, _n: answer(request, "x"), lambda _request, _n: None)
    result = ask(2, 0, timeout=0.3)
    assert (result.answer, result.answered, result.complete) == ("x", 1, False)


def test_nobody_answers(ask: Ask) -> None:
    with pytest.raises(ConfdClientError, match="no answer to request type 0"):
        ask(1, 0, timeout=0.2)


def test_lies_are_ignored(daemons: Any, ask: Ask) -> None:
    def lies(request: dict[str, Any], _n: int) -> list[bytes]:
        inner = json.dumps({"protocol": 1, "status": 0, "answer": "lie", "serial": 99})
        return [
            b"plj0 nonsense",
            pack(b"wrong key", inner, salt=request["rsalt"]),
            pack(KEY, inner, salt="another salt"),
            answer(request, "truth"),
        ]

    daemons(lies)
    result = ask(1, 0)
    assert result.answer == "truth"
    assert [event.what for event in result.trace].count("ignored") == 3


def test_an_error_is_a_result(daemons: Any, ask: Ask) -> None:
    daemons(lambda request, _n: answer(request, 2, status=1, serial=0))
    result = ask(1, 10, "/nowhere")
    assert (result.ok, result.status, result.answer) == (False, 1, 2)


@contextlib.contextmanager
def by_tcp(port: int, reply: Callable[[dict[str, Any]], bytes]) -> Iterator[None]:
    """Answers one TCP request."""
    with socket.create_server(("127.0.0.1", port)) as server:

        def serve() -> None:
            connection, _peer = server.accept()
            with connection:
                data = bytearray()
                while part := connection.recv(65536):
                    data += part
                connection.sendall(reply(json.loads(json.loads(data[4:])["msg"])))

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def too_large(request: dict[str, Any], _n: int) -> bytes:
    return answer(request, {"code": 1, "text": "…", "transport": "tcp"}, status=1, serial=0)


def test_a_large_answer_is_fetched_by_tcp(daemons: Any, ask: Ask, port: int) -> None:
    daemons(too_large)
    with by_tcp(port, lambda request: answer(request, "x" * 300_000, serial=5)):
        result = ask(1, 10, "/instances")
    assert (len(result.answer), result.serial, result.status) == (300_000, 5, 0)
    assert "by TCP" in {event.what for event in result.trace}


def test_a_lie_by_tcp_leaves_the_error(daemons: Any, ask: Ask, port: int) -> None:
    daemons(too_large)
    with by_tcp(port, lambda _request: b"plj0 nonsense"):
        result = ask(1, 10, "/instances")
    assert not result.ok
    assert any("TCP" in event.detail for event in result.trace)


def test_tcp_refused_leaves_the_error(daemons: Any, ask: Ask) -> None:
    daemons(too_large)
    result = ask(1, 10, "/instances")
    assert result.answer["transport"] == "tcp"


def test_ipv6(ask: Ask, port: int) -> None:
    daemon = FakeDaemon("::1", port, lambda request, _n: answer(request, "six"))
    try:
        assert ask(["::1"], 0).answer == "six"
    finally:
        daemon.stop()


def test_many_questions_at_once(daemons: Any, port: int) -> None:
    daemons(lambda request, _n: answer(request, request["query"]))
    client = AsyncConfdClient(KEY, ["127.0.0.1"], port)

    async def many() -> list[Any]:
        results = await asyncio.gather(*(client.question(1, f"node{i}") for i in range(50)))
        return [result.answer for result in results]

    assert asyncio.run(many()) == [f"node{index}" for index in range(50)]


def test_a_nodes_own_files(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.data_dir.mkdir(parents=True)
    with pytest.raises(ConfdClientError, match="run this on a node of the cluster"):
        ConfdClient.of_node(paths)
    paths.hmac_key.write_bytes(KEY)
    with pytest.raises(ConfdClientError, match="--peers"):
        ConfdClient.of_node(paths)
    paths.ssconf("master_candidates_ips").write_text("192.0.2.1\n192.0.2.2\n")
    assert ConfdClient.of_node(paths).peers == ["192.0.2.1", "192.0.2.2"]
    assert ConfdClient.of_node(paths, ["192.0.2.9"]).peers == ["192.0.2.9"]
    paths.ssconf("master_candidates_ips").write_text("")
    with pytest.raises(ConfdClientError, match="the list of peers is empty"):
        ConfdClient.of_node(paths)
