from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ganeti_cli.app import execute
from ganeti_cli.gnt_mon import cluster_nodes, parse_target, program
from ganeti_cli.mon_view import NodeRow, cells, summarise, unreachable, worst_first

from ganeti_kernel.errors import GenericError, ParameterError


def report(name: str, data: Any) -> dict[str, Any]:
    return {"name": name, "version": "B", "format_version": 1, "timestamp": 1, "data": data}


REPORTS = [
    report("cpu-avg-load", {"cpu_number": 8, "cpus": [0.5] * 8, "cpu_total": 4.0}),
    report(
        "node-resources",
        {
            "memory": {"total": 8 << 20, "available": 6 << 20},
            "filesystems": [
                {"mountpoint": "/", "type": "ext4", "size": 100, "available": 60},
                {"mountpoint": "/srv", "type": "xfs", "size": 100, "available": 5},
                {"mountpoint": "/run", "type": "tmpfs", "size": 100, "available": 0},
            ],
        },
    ),
    report(
        "inst-status",
        {
            "instances": [{"actualState": "running"}, {"actualState": "shutdown"}],
            "status": {"code": 4, "message": "\ndb: The instance is not running as it should be"},
        },
    ),
    report("drbd", {"status": {"code": 1, "message": "\n4: Trying to establish"}}),
    report("lv", []),
]


def test_a_node_in_one_row() -> None:
    row = summarise("node1", REPORTS)
    assert (row.code, row.word) == (4, "bad")
    assert cells(row) == ["node1", "bad", "4.0/8", "2.0G/8.0G", "95% /srv", "1/2"]
    assert row.problems == [
        "inst-status: db: The instance is not running as it should be",
        "drbd: 4: Trying to establish",
    ]


@pytest.mark.parametrize(
    "reports", [[], [report("cpu-avg-load", {"error": "too early"})], [report("x", None)], [{}]]
)
def test_what_is_not_told_is_a_dash(reports: list[dict[str, Any]]) -> None:
    assert cells(summarise("n", reports)) == ["n", "ok", "-", "-", "-", "-"]


def test_worst_first() -> None:
    rows = [NodeRow("b"), NodeRow("a"), NodeRow("c", 2), unreachable("d", "gone"), NodeRow("e", 4)]
    assert [row.node for row in worst_first(rows)] == ["d", "e", "c", "a", "b"]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("node1", ("node1", "node1", 1815)),
        ("node1=10.0.0.1", ("node1", "10.0.0.1", 1815)),
        ("node1=10.0.0.1:9", ("node1", "10.0.0.1", 9)),
        ("node1=fe80::1", ("node1", "fe80::1", 1815)),
        ("node1=[fe80::1]:9", ("node1", "fe80::1", 9)),
    ],
)
def test_targets(text: str, target: tuple[str, str, int]) -> None:
    assert parse_target(text, 1815) == target


@pytest.mark.parametrize("text", ["", "=1.2.3.4", "a=b:c", "a=b:0", "a=b:70000"])
def test_bad_targets(text: str) -> None:
    with pytest.raises(ParameterError):
        parse_target(text, 1815)


def test_nodes_come_from_the_nodes_own_files(
    ganeti_root: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANETI_ROOTDIR", str(ganeti_root))
    with pytest.raises(GenericError, match="--node"):
        cluster_nodes(1815)
    data = ganeti_root / "var/lib/ganeti"
    data.mkdir(parents=True)
    (data / "ssconf_node_primary_ips").write_text("node1 10.0.0.1\nnode2 10.0.0.2\n")
    assert cluster_nodes(9) == [("node1", "10.0.0.1", 9), ("node2", "10.0.0.2", 9)]


class Handler(BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(200 if self.body else 500)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_args: Any) -> None:
        return


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Iterator[str]:
    """A node whose daemon answers with the given bytes."""
    handler = type("Scripted", (Handler,), {"body": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"node1=127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("node", [json.dumps(REPORTS).encode()], indirect=True)
def test_table_and_json(node: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(program, ["-n", node, "-n", "gone=127.0.0.1:1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines if line.split()[:1] in (["gone"], ["node1"])]
    assert names == ["gone", "node1"]
    assert "node1: inst-status: db: The instance is not running as it should be" in lines
    assert execute(program, ["-n", node, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["status"], row["running"], row["memory_total"]) == ("bad", 1, 8192)


@pytest.mark.parametrize("node", [b"", b"{", b"[1]", b"7"], indirect=True)
def test_nonsense_is_told_not_raised(node: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(program, ["-n", node, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["status"] == "no answer"
    assert "127.0.0.1" in row["problems"][0]


def test_bad_interval(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(program, ["--interval", "0"]) == 1
    assert "more than 0 seconds" in capsys.readouterr().err
