"""Requests recorded on an upstream cluster, sent byte by byte to our master daemon.

It serves that cluster's configuration; no node answers, so only what needs none is compared.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ganeti_kernel.config import datafile

if TYPE_CHECKING:
    from tests.conftest import Master

RECORDED = Path(__file__).parents[1] / "data" / "upstream"

SAME = (
    "query_config_values",
    "query_tags",
    "query_filter",
    "query_groups",
    "query_networks",
    "query_nodes",
    "query_nodes_old",
    "queryfields_all",
    "queryfields_node",
    "change_prio",
    "cancel_job_finished",
)
"""Exactly upstream's reply (documentation texts of fields apart, which are ours)."""

REFUSED = {
    "bad_json": "Failed to parse request: Invalid JSON",
    "empty_obj": "Failed to parse request: key 'method' not found, object contains only []",
    "unknown_method": "Failed to parse request: Unable to parse LUXI request method",
    "wrong_args": "Failed to parse request: Query: ",
    "setdrain3": "Failed to parse request: ",
    "submit_bad_opcode": "Failed to parse request: SubmitJob: Unknown opcode OP_NOSUCH",
    "submit_bad_param": "Failed to parse request: SubmitJob: Can't parse value for 'duration'",
}
"""Upstream answers these with a text that begins like this."""


@pytest.fixture
def recorded(tmp_path: Path, masters: Callable[..., Master]) -> Master:
    view = datafile.load(RECORDED / "config" / "config.data.rich2.json")
    # the other nodes of the recorded cluster are not there to say who the master is
    return masters(tmp_path / "root", ("--no-voting", "--yes-do-it"), view=view)


def request(name: str) -> bytes:
    return (RECORDED / "luxi" / f"{name}.req.bin").read_bytes()


def reply(name: str) -> Any:
    return json.loads((RECORDED / "luxi" / f"{name}.rep.bin").read_bytes().rstrip(b"\x03"))


class Line:
    """A raw connection."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(path))

    def ask(self, data: bytes) -> Any:
        self.socket.sendall(data if data.endswith(b"\x03") else data + b"\x03")
        answer = b""
        while not answer.endswith(b"\x03"):
            part = self.socket.recv(65536)
            assert part, "the daemon closed the connection"
            answer += part
        return json.loads(answer[:-1])


def without_docs(value: Any) -> Any:
    """Field definitions without their documentation; lists in no order by their text."""
    if isinstance(value, dict):
        return {key: without_docs(item) for key, item in value.items() if key != "doc"}
    if isinstance(value, list):
        return [without_docs(item) for item in value]
    return value


def test_replies(recorded: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recorded.paths.socket_dir)  # sockets have short names only
    line = Line(Path(recorded.paths.master_socket.name))
    try:
        for name in SAME:
            assert without_docs(line.ask(request(name))) == without_docs(reply(name)), name
        for name, text in REFUSED.items():
            answer = line.ask(request(name))
            assert answer["success"] is False, name
            assert isinstance(reply(name)["result"], str)
            assert reply(name)["result"].startswith("Failed to parse request: ")
            assert answer["result"].startswith(text), name
        check_watcher(line)
        check_jobs(line)
        check_cluster_info(line)
    finally:
        line.socket.close()
    query_line = Line(Path(recorded.paths.query_socket.name))
    assert query_line.ask(request("query_tags")) == reply("query_tags")
    query_line.socket.close()


def check_watcher(line: Line) -> None:
    """Upstream tells the master alone and says that all is well; here the others are missing."""
    answer = line.ask(request("watcherpause"))
    assert reply("watcherpause") == {"success": True, "result": None}
    assert answer["success"] is False
    kind, (text,) = answer["result"]
    assert kind == "OpExecError"
    assert "the watcher is no longer paused, but could not tell node" in text


def check_jobs(line: Line) -> None:
    for number, name in enumerate(("submit_job_delay", "submit_minimal"), 1):
        assert line.ask(request(name)) == {"success": True, "result": number}
    assert line.ask(request("submit_many"))["result"] == [[True, 3], [True, 4]]
    for job_id in range(1, 5):
        info: Any = None
        while info != ["success"]:
            call = {"method": "WaitForJobChange", "args": [job_id, ["status"], info, 0, 60]}
            info, logs = line.ask(json.dumps(call).encode())["result"]
            assert logs == []
    assert line.ask(request("wait_job_change")) == reply("wait_job_change")
    assert line.ask(request("query_jobs_old")) == reply("query_jobs_old")
    assert without_docs(line.ask(request("query_jobs"))) == without_docs(reply("query_jobs"))
    assert line.ask(request("archive_job")) == reply("archive_job")
    # upstream never answers this one, recorded as a timeout
    assert line.ask(request("setdrain")) == {"success": True, "result": True}


def check_cluster_info(line: Line) -> None:
    """Same keys and kinds; the same values except for versions and live counters."""
    ours, theirs = (
        line.ask(request("query_cluster_info"))["result"],
        reply("query_cluster_info")["result"],
    )
    assert set(theirs) <= set(ours)
    own = {"software_version", "vcs_version", "mtime"}
    differing = {key for key in theirs if ours[key] != theirs[key] and key not in own}
    assert differing == set()
    for name in ("no_version", "bad_version"):
        assert set(line.ask(request(name))["result"]) == set(ours)
