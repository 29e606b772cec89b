"""Upstream's own commands (Debian's gnt-*) against our master daemon."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Master

PROGRAMS = Path("/usr/sbin")

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        not Path("/usr/share/ganeti/3.0").is_dir(), reason="Debian's ganeti is not installed"
    ),
]


def run(master: Master, command: str, *args: str) -> tuple[int, str]:
    """Exit code and what it printed."""
    environment = {
        name: value for name, value in master.environment.items() if not name.startswith("PYTHON")
    }
    done = subprocess.run(
        [PROGRAMS / command, *args],
        env=environment | {"PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.defpath}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def test_life_of_a_job(plain_master: Master) -> None:
    assert run(plain_master, "gnt-debug", "delay", "0.01") == (0, "")
    assert run(plain_master, "gnt-debug", "delay", "--submit", "0.01") == (0, "JobID: 2\n")
    assert plain_master.wait(2)[0] == "success"
    code, text = run(plain_master, "gnt-job", "list", "--no-headers", "--separator=|")
    assert (code, text) == (0, "1|success|TEST_DELAY(0.01)\n2|success|TEST_DELAY(0.01)\n")
    code, text = run(plain_master, "gnt-job", "info", "1")
    assert code == 0
    assert "Opcode: OP_TEST_DELAY" in text
    assert run(plain_master, "gnt-job", "watch", "2")[0] == 0
    assert run(plain_master, "gnt-job", "archive", "1") == (0, "")
    assert run(plain_master, "gnt-job", "list", "--no-headers", "-o", "id") == (0, "2\n")
    assert "Job 1 not found in queue" in run(plain_master, "gnt-job", "cancel", "1")[1]


def test_a_job_that_has_ended_is_watched_to_its_end(plain_master: Master) -> None:
    """The log comes together with the last status; upstream asks once more after that."""
    dummy = {"OP_ID": "OP_TEST_DUMMY", "result": 1, "messages": ["one"], "fail": False}
    job = plain_master.submit(dummy | {"submit_jobs": None})
    assert plain_master.wait(job)[0] == "success"
    code, text = run(plain_master, "gnt-job", "watch", str(job))
    assert (code, "one" in text) == (0, True), text


def test_failure_reaches_the_user(plain_master: Master) -> None:
    code, text = run(plain_master, "gnt-debug", "delay", "-n", "nowhere.example.com", "0.01")
    assert code == 1
    assert "nowhere.example.com" in text


def test_queue_and_watcher_switches(plain_master: Master) -> None:
    assert run(plain_master, "gnt-cluster", "queue", "drain")[0] == 0
    code, text = run(plain_master, "gnt-debug", "delay", "0.01")
    assert code == 1
    assert "marked for drain" in text
    assert run(plain_master, "gnt-cluster", "queue", "undrain")[0] == 0
    assert run(plain_master, "gnt-cluster", "watcher", "pause", "1h")[0] == 0
    assert "is paused until" in run(plain_master, "gnt-cluster", "watcher", "info")[1]
    assert run(plain_master, "gnt-cluster", "watcher", "continue")[0] == 0
    assert "is not paused" in run(plain_master, "gnt-cluster", "watcher", "info")[1]


def test_filters_and_cluster_info(plain_master: Master) -> None:
    predicates = '[["opcode", ["=", "OP_ID", "OP_TEST_DELAY"]]]'
    code, uuid = run(
        plain_master, "gnt-filter", "add", "--action", "REJECT", "--predicates", predicates
    )
    assert code == 0
    assert re.fullmatch(r"[0-9a-f-]{36}\n", uuid)
    assert "REJECT" in run(plain_master, "gnt-filter", "list")[1]
    code, text = run(plain_master, "gnt-debug", "delay", "0.01")
    assert (code, "canceled" in text) == (1, True)
    assert run(plain_master, "gnt-filter", "delete", uuid.strip())[0] == 0
    assert run(plain_master, "gnt-debug", "delay", "0.01") == (0, "")
    code, text = run(plain_master, "gnt-cluster", "info")
    assert code == 0
    assert "Cluster name: cluster.example.com" in text
    assert run(plain_master, "gnt-cluster", "getmaster") == (0, "node1.example.com\n")
