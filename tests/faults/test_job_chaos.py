"""Many jobs at once while everything that runs them is killed at random."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ganeti_kernel.errors import GenericError

if TYPE_CHECKING:
    from tests.conftest import Master

MAKE: dict[str, Any] = {"OP_ID": "OP_TEST_DUMMY"}
REMOVE: dict[str, Any] = {**MAKE, "submit_jobs": "remove"}
FINAL = {"success", "error", "canceled"}


def jobs(count: int) -> list[list[dict[str, Any]]]:
    """Jobs that want the same locks, jobs that want none, jobs that change the same object."""
    kinds: list[list[dict[str, Any]]] = [
        [MAKE, REMOVE],
        [{"OP_ID": "OP_TEST_DELAY", "duration": 0.05, "on_nodes": ["a"], "repeat": 5}],
        [{"OP_ID": "OP_TEST_DELAY", "duration": 0.05, "on_nodes": []}],
    ]
    out = []
    for number in range(count):
        out.append(kinds[number % 3])
        out.append([{"OP_ID": "OP_TAGS_SET", "kind": "cluster", "tags": [f"tag{number}"]}])
    return out


def victim(master: Master, rng: random.Random) -> int | None:
    """A process to kill: the master daemon, the warm parent or any job's."""
    assert master.process is not None
    others = [pid for pid in master.processes() if pid != master.process.pid]
    pool = [master.process.pid, *others, *others]
    return rng.choice(pool) if pool else None


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_job_ends_and_nothing_is_left(
    master: Master, seed: int, record_property: Any
) -> None:
    rng = random.Random(seed)
    with master.client() as client:
        answers = client.submit_many_jobs(jobs(24))
    ids = [job_id for _ok, job_id in answers]
    kills = 0
    for _ in range(12):
        time.sleep(rng.uniform(0.02, 0.3))
        pid = victim(master, rng)
        if pid is not None and Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)
            kills += 1
        assert master.process is not None
        if pid == master.process.pid:
            master.process.wait()
        master.ensure()
    outcomes = Counter(master.wait(job_id)[0] for job_id in ids)
    record_property("figure", f"{kills} kills: {dict(outcomes)}")
    assert set(outcomes) <= FINAL
    assert outcomes["success"] > len(ids) // 2
    with master.client() as client:
        rows = client.query_jobs(ids, ["status", "ops", "opstatus", "opresult"])
        tags = client.query_tags("cluster")
    for row in rows:
        assert row is not None
        status, ops, statuses, results = row
        for op_status, result in zip(statuses, results, strict=True):
            assert op_status != "error" or result[1][0], "an error without a reason"
        if status == "success" and ops[0]["OP_ID"] == "OP_TAGS_SET":
            assert set(ops[0]["tags"]) <= set(tags), "a change was lost"
    master.wait_until(lambda: locks(master) == [], "all locks to be free")
    assert master.leftovers() == []
    folder = master.paths.run_dir / "livelocks"
    master.wait_until(lambda: not list(folder.iterdir()), "all livelocks to go")


def locks(master: Master) -> list[Any] | None:
    try:
        with master.client() as client:
            return list(client.query("lock", ["name", "owner", "pending"])["data"])
    except GenericError:
        return None
