"""`gnt-debug test-jobqueue` against a real master daemon, and jobs that stand still for nobody."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ganeti_kernel.errors import OpExecError
from ganeti_kernel.operations import test_queue as stops
from ganeti_kernel.paths import ROOT_VARIABLE, Paths
from ganeti_kernel.testing.waiting import wait_until

if TYPE_CHECKING:
    from tests.conftest import Master

HEADINGS = [
    "Testing job submission",
    "Job submission tests were successful",
    "Testing job dependencies",
    "Job dependency tests were successful",
    "Testing job success",
    "Testing multiple successful opcodes",
    "Testing job failure",
    "Testing partial job failure",
    "Job queue test successful",
]


def run(master: Master) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).parent / "gnt-debug"),
        "test-jobqueue",
        "--priority",
        "high",
    ]
    return subprocess.run(
        command, env=master.environment, capture_output=True, text=True, timeout=100, check=False
    )


def test_the_queue_passes_and_nothing_is_left(plain_master: Master) -> None:
    done = run(plain_master)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if line in HEADINGS] == HEADINGS
    assert not list(plain_master.paths.socket_dir.glob("test-*"))
    with plain_master.client() as client:
        rows = client.query_jobs(None, ["ops", "priority"])
    assert rows
    assert {op["priority"] for row in rows if row for op in row[0]} == {-10}


def test_a_job_waits_as_waiting_and_as_running_for_its_client(plain_master: Master) -> None:
    master = plain_master
    op = {"OP_ID": "OP_TEST_JQUEUE", "notify_waitlock": True, "notify_exec": True}
    job_id = master.submit(op)
    for where, status in (("expandnames", "waiting"), ("exec", "running")):
        path, found, _ = wait_until(partial(told, master, job_id, where), where)
        assert (found, master.job(job_id)) == (where, [status])
        assert Path(path).stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(path)
    assert master.wait(job_id)[:2] == ("success", True)


def told(master: Master, job_id: int, where: str) -> Any:
    (logs,) = master.job(job_id, ["oplog"])
    entries = [entry[3] for entry in logs[0] if entry[2] == "jqueue-test"]
    return next((entry for entry in entries if entry[1] == where), None)


class Context:
    """The parts of a JobContext that standing still uses."""

    job_id = 7

    def __init__(self, answer: Any = None) -> None:
        self.told: list[Any] = []
        self._answer = answer

    def tell(self, kind: str, message: Any) -> None:
        self.told.append((kind, json.loads(json.dumps(message))))
        if self._answer is not None:
            self._answer.connect(message[0])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    folder = Paths(tmp_path).socket_dir
    folder.mkdir(parents=True)
    return folder


def stand_still(context: Context) -> None:
    stops.stand_still(context, "exec", connect=0.05, confirm=0.05)  # type: ignore[arg-type] # a part


def test_nobody_comes(root: Path) -> None:
    context = Context()
    with pytest.raises(OpExecError, match=r"at exec: no client connected to .*/test-7 within 0.05"):
        stand_still(context)
    assert context.told == [("jqueue-test", [f"{root}/test-7", "exec", None])]
    assert not list(root.iterdir())


def test_somebody_comes_and_stays(root: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX) as line,
        pytest.raises(OpExecError, match="did not close within"),
    ):
        stand_still(Context(line))
    assert not list(root.iterdir())


def test_no_place_for_the_socket(root: Path) -> None:
    root.rmdir()
    with pytest.raises(OpExecError, match=r"at exec: socket .*/test-7: "):
        stand_still(Context())
