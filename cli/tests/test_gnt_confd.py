"""gnt-confd against a real daemon on a recorded configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ganeti_cli.app import execute
from ganeti_cli.gnt_confd import PROGRAM

from ganeti_kernel.testing import confd_peer
from ganeti_kernel.testing.confd_peer import Peer, Root
from ganeti_kernel.testing.configurations import plain_cluster

CONFIG = Path(__file__).parents[2] / "tests/data/config/config.data.rich1.json"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    root = Root(tmp_path_factory.mktemp("confd"), CONFIG.read_bytes())
    with confd_peer.ours(root) as peer:
        (root.data / "ssconf_master_candidates_ips").write_text("127.0.0.1\n")
        yield peer


@pytest.fixture
def run(peer: Peer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the program on the daemon's node; returns exit code, output, errors."""
    monkeypatch.setenv("GANETI_ROOTDIR", str(peer.root.path))

    def run_it(*arguments: str, port: int = peer.port) -> tuple[int, str, str]:
        code = execute(PROGRAM, [*arguments, "--port", str(port)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_it


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["ping"], "3000000\n"),
        (["node-role", "node1.example.com"], "master\n"),
        (["node-role", "node2"], "candidate\n"),
        (["node-ip-by-instance-ip", "198.51.100.20"], "10.99.0.13\n"),
        (["node-ip-by-instance-ip", "203.0.113.5", "--link", "100"], "10.99.0.12\n"),
        (
            ["node-ip-by-instance-ip", "198.51.100.20", "1.2.3.4"],
            "198.51.100.20 10.99.0.13\n1.2.3.4 -\n",
        ),
        (["cluster-master"], "node1.example.com\n"),
        (["master"], "node1.example.com\n"),
        (["cluster-master", "--fields", "node-ip,name"], "10.99.0.11\nnode1.example.com\n"),
        (["instance-ips", "nosuch"], ""),
        (["node-drbd", "node1"], ""),
        (["node-instances", "node1"], "inst2.example.com primary\n"),
        (["instance-disks", "inst1"], ""),
        (["config-query", "/cluster/cluster_name"], "cluster.example.com\n"),
        (["query", "3"], "node1.example.com\n"),
        (["query", "3", '{"3": [1]}'], "10.99.0.10\n"),
        (["query", "node-role", "node3"], "1\n"),
    ],
)
def test_answers(run: Run, arguments: list[str], output: str) -> None:
    assert run(*arguments) == (0, output, "")


@pytest.mark.parametrize("command", ["node-ips", "candidate-ips"])
def test_lists_are_one_a_line(run: Run, command: str) -> None:
    code, output, _errors = run(command)
    assert code == 0
    assert sorted(output.split("\n")) == ["", "10.99.0.11", "10.99.0.12", "10.99.0.13"]


def test_objects_are_json(run: Run) -> None:
    code, output, _errors = run("data-collectors")
    assert code == 0
    assert json.loads(output)["lv"] == {"active": True, "interval": 5000000}


def test_the_whole_reply_as_json(run: Run) -> None:
    code, output, _errors = run("cluster-master", "--json")
    assert code == 0
    reply = json.loads(output)
    assert (reply["status"], reply["answer"], reply["serial"]) == (0, "node1.example.com", 24)
    assert (reply["peer"], reply["complete"], reply["consistent"]) == ("127.0.0.1", True, True)


def test_an_error_as_json(run: Run) -> None:
    code, output, _errors = run("config-query", "/nosuch", "--json")
    assert code == 1
    assert json.loads(output)["answer"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["node-role", "nosuch"], "Node name nosuch not found"),
        (["config-query", "/nosuch"], "cannot take this argument, or it leads nowhere"),
        (["query", "99"], "request type 99 is not installed here"),
        (["query", "2", '{"5": 1}'], "bad query object"),
        (["ping", "--peers", "node1"], "a peer must be given by its address"),
        (["ping", "--coverage", "3"], "there are 1"),
        (["query", "no-such-type"], "there is no request type 'no-such-type' installed"),
        (["query", "2", "{bad"], "neither a plain string nor JSON"),
        (["cluster-master", "--fields", "colour"], "fields are name, cluster-ip, node-ip"),
        (["frobnicate"], "there is no command 'frobnicate'"),
    ],
)
def test_what_fails_says_why(run: Run, arguments: list[str], message: str) -> None:
    code, output, errors = run(*arguments)
    assert (code, output) == (1, "")
    assert message in errors
    assert "Traceback" not in errors


def test_nobody_there(run: Run) -> None:
    code, _output, errors = run("ping", "--timeout", "0.3", port=confd_peer.free_port())
    assert code == 1
    assert "no answer to request type 0" in errors
    assert "is ganeti-confd running there" in errors


def test_a_trace_shows_each_datagram(run: Run) -> None:
    code, output, errors = run("cluster-master", "--trace")
    assert (code, output) == (0, "node1.example.com\n")
    sent, reply = errors.splitlines()
    assert "sent" in sent
    assert "127.0.0.1" in sent
    assert "type 3" in sent
    assert "serial 24" in reply


def test_a_trace_says_why_a_reply_was_ignored(
    run: Run, peer: Peer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Root(tmp_path, key=b"another key\n")
    monkeypatch.setenv("GANETI_ROOTDIR", str(other.path))
    code, _output, errors = run("ping", "--trace", "--peers", "127.0.0.1", "--timeout", "0.3")
    assert code == 1
    assert "sent" in errors
    assert "with the same key" in errors


def test_a_large_answer_comes_by_itself(run: Run, peer: Peer) -> None:
    before = peer.root.config.read_bytes()
    try:
        cluster = plain_cluster(json.loads(before), 300, serial=5000)
        peer.root.write(json.dumps(cluster).encode())
        peer.wait_for_serial(5000)
        code, output, errors = run("config-query", "/instances", "--trace")
    finally:
        peer.root.write(before)
        peer.wait_for_serial(112)
    assert code == 0
    assert len(json.loads(output)) == 300
    assert "by TCP" in errors


def test_outside_a_cluster(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANETI_ROOTDIR", str(tmp_path))
    code, _output, errors = run("ping")
    assert code == 1
    assert "run this on a node of the cluster" in errors
