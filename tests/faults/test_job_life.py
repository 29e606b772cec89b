"""Jobs under a real master daemon: order, locks, cancelling, dependencies, archive, restart."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ganeti_kernel.errors import JobQueueDrainError, LuxiError, OpPrereqError, StoreError
from ganeti_kernel.jobs.livelock import is_alive, livelock_path
from ganeti_kernel.luxi.client import Client
from ganeti_kernel.testing.waiting import wait_until

if TYPE_CHECKING:
    from tests.conftest import Master

FAULTY = ("--operations=faulty_operations", "--node-calls=faulty_operations:NoNodes")


def hold(*names: str, seconds: float = 60, rounds: int = 1, **fields: Any) -> dict[str, Any]:
    """An opcode that holds instance locks until `go` appears or its time is over."""
    return {
        "OP_ID": "OP_TEST_DELAY",
        "duration": seconds,
        "on_nodes": list(names),
        "repeat": rounds,
        **fields,
    }


def quick(*names: str, **fields: Any) -> dict[str, Any]:
    return hold(*names, seconds=0, **fields)


def release(master: Master) -> None:
    (master.paths.root / "go").touch()


def test_locks_order_jobs_and_let_strangers_pass(master: Master) -> None:
    first = master.submit(hold("a"))
    master.wait_status(first, "running")
    second = master.submit(quick("a"))
    master.wait_status(second, "waiting")
    assert master.wait(master.submit(quick("b")))[0] == "success"
    assert master.job(second) == ["waiting"]
    with master.client() as client:
        rows = client.query("lock", ["name", "mode", "owner", "pending"])["data"]
    cells = [[value for _status, value in row] for row in rows]
    assert [
        "instance/a",
        "exclusive",
        [f"job {first}"],
        [["exclusive", [f"job {second}"]]],
    ] in cells
    release(master)
    assert master.wait(first)[0] == master.wait(second)[0] == "success"


def test_cancel_queued_waiting_running(master: Master) -> None:
    running = master.submit(hold("a", rounds=3000))
    master.wait_status(running, "running")
    waiting = master.submit(quick("a"))
    master.wait_status(waiting, "waiting")
    depending = master.submit(quick("b", depends=[[running, []]]))
    with master.client() as client:
        assert client.cancel_job(depending) == (True, f"Job {depending} canceled")
        assert client.cancel_job(waiting)[0]
        assert client.cancel_job(running)[0]
        assert client.cancel_job(9999) == (False, "Job 9999 not found in queue")
    for job_id in (depending, waiting, running):
        status, result, _log = master.wait(job_id)
        assert (job_id, status) == (job_id, "canceled")
        assert result == ["JobCanceled", ["Job canceled by request"]]
    with master.client() as client:
        ok, message = client.cancel_job(running)
    assert (ok, message) == (False, f"Job {running} has ended already with status canceled")
    assert master.wait(master.submit(quick("a")))[0] == "success"
    assert master.leftovers() == []


def test_cancel_by_killing(master: Master) -> None:
    job_id = master.submit(hold("a"))
    master.wait_status(job_id, "running")
    with master.client() as client:
        assert client.cancel_job(job_id, kill=True)[0]
    status, result, _log = master.wait(job_id)
    assert status == "canceled"
    assert "Job canceled by request" in result[1][0]


def test_death_of_a_waiting_job_is_noticed_at_once(master: Master) -> None:
    """It does not take the lock it waits for to become free."""
    holder = master.submit(hold("a"))
    master.wait_status(holder, "running")
    waiting = master.submit(quick("a"))
    master.wait_status(waiting, "waiting")
    with master.client() as client:
        assert client.cancel_job(waiting, kill=True)[0]
    assert master.wait(waiting)[0] == "canceled"
    assert master.job(holder) == ["running"]
    release(master)
    assert master.wait(holder)[0] == "success"


def test_urgent_job_goes_first(master: Master) -> None:
    first = master.submit(hold("a"))
    master.wait_status(first, "running")
    normal, low, late = (master.submit(quick("a", priority=p)) for p in (0, 10, 10))
    for job_id in (normal, low, late):
        master.wait_status(job_id, "waiting")
    with master.client() as client:
        ok, message = client.call("ChangeJobPriority", [late, -10])
        assert (ok, message) == (True, f"Job {late} has priority -10 now")
        with pytest.raises(OpPrereqError, match="priority 5 is not one of"):
            client.call("ChangeJobPriority", [late, 5])
    assert master.job(late, ["priority"]) == [-10]
    release(master)
    ends = {}
    for job_id in (normal, low, late):
        assert master.wait(job_id)[0] == "success"
        ends[job_id] = master.job(job_id, ["opexec"])[0][0]
    assert ends[late] < ends[normal] < ends[low]


def test_dependencies(master: Master) -> None:
    good, bad = quick("a"), {"OP_ID": "OP_TEST_DUMMY", "fail": True}
    with master.client() as client:
        answers = client.submit_many_jobs(
            [
                [good],
                [quick("b", depends=[[-1, ["success"]]])],
                [bad],
                [quick("c", depends=[[-1, ["success"]]])],
                [quick("d", depends=[[-2, []]])],
                [quick("e", depends=[[-9, []]])],
            ]
        )
        with pytest.raises(LuxiError, match=r"SubmitManyJobs: job 2: .*'duration'.*none was sub"):
            client.submit_many_jobs([[good], [{"OP_ID": "OP_TEST_DELAY", "duration": "x"}]])
        assert len(client.query_jobs(None, ["id"])) == len(answers) - 1
    ids = [value for ok, value in answers if ok]
    assert [ok for ok, _value in answers] == [True] * 5 + [False]
    assert "dependency -9 is before the first job" in answers[5][1]
    statuses = [master.wait(job_id)[0] for job_id in ids]
    assert statuses == ["success", "success", "error", "error", "success"]
    assert f"Job {ids[2]}, on which this job depends" in master.wait(ids[3])[1][1][0]


def test_several_opcodes_end_with_the_first_failure(master: Master) -> None:
    job_id = master.submit(
        quick("a"), {"OP_ID": "OP_TEST_DUMMY", "fail": True}, quick("b"), quick("c")
    )
    assert master.wait(job_id)[0] == "error"
    row = master.job(job_id, ["opstatus", "opresult"])
    assert row[0] == ["success", "error", "error", "error"]
    assert row[1][1] == ["OpExecError", ["step break: it was asked to break"]]
    assert row[1][2] == row[1][3] == ["OpExecError", ["Preceding opcode failed"]]
    assert not list((master.paths.root / "effects").iterdir()), "the steps before were undone"


def test_dry_run_changes_nothing(master: Master) -> None:
    job_id = master.submit({"OP_ID": "OP_TEST_DUMMY", "dry_run": True})
    assert master.wait(job_id)[:2] == ("success", None)
    assert not (master.paths.root / "effects").exists()


def test_conflicting_changes_of_the_configuration_all_succeed(master: Master) -> None:
    tags = [f"tag{number}" for number in range(12)]
    with master.client() as client:
        ids = client.submit_many_jobs(
            [[{"OP_ID": "OP_TAGS_SET", "kind": "cluster", "tags": [tag]}] for tag in tags]
        )
    assert {master.wait(job_id)[0] for _ok, job_id in ids} == {"success"}
    with master.client() as client:
        assert client.query_tags("cluster") == sorted(tags)
    text = master.paths.ssconf("cluster_tags").read_text()
    assert sorted(text.split()) == sorted(tags), "written before the jobs ended"


def test_drain_archive_and_limits(master: Master) -> None:
    with master.client() as client:
        client.call("SetDrainFlag", [True])
        with pytest.raises(JobQueueDrainError, match="drained"):
            client.submit_job([quick("a")])
        job_id = int(client.call("SubmitJobToDrainedQueue", [[quick("a")]]))
        assert client.query_config_values(["drain_flag"]) == [True]
        client.call("SetDrainFlag", [False])
        assert master.wait(job_id)[0] == "success"
        assert client.call("ArchiveJob", [job_id]) is True
        assert client.call("ArchiveJob", [job_id]) is False
        assert client.query_jobs([job_id, 999], ["id", "archived"]) == [[job_id, True], None]
        assert client.query_jobs(None, ["id"]) == []
        with pytest.raises(LuxiError, match="Unknown parameter 'colour'"):
            client.submit_job([quick("a", colour="red")])
        with pytest.raises(OpPrereqError, match="at least one opcode"):
            client.submit_job([])
        with pytest.raises(OpPrereqError, match="unknown job field colour"):
            client.query_jobs(None, ["colour"])
        ids = [client.submit_job([quick("a")]) for _ in range(3)]
        for number in ids:
            master.wait(number)
        assert client.call("AutoArchiveJobs", [-1, 10]) == [3, 0]


def test_restart_of_the_master_loses_nothing(master: Master) -> None:
    """Running, waiting and queued jobs live through kill -9 of the master; locks are kept."""
    running = master.submit(hold("a"))
    master.wait_status(running, "running")
    waiting = master.submit(quick("a"))
    master.wait_status(waiting, "waiting")
    queued = master.submit(quick("b", depends=[[waiting, ["success"]]]))
    master.kill()
    assert is_alive(livelock_path(master.paths, running))
    master.start()
    assert master.job(running) == ["running"]
    newcomer = master.submit(quick("a"))
    master.wait_status(newcomer, "waiting")
    assert master.job(waiting) == ["waiting"]
    release(master)
    for job_id in (running, waiting, queued, newcomer):
        assert master.wait(job_id)[0] == "success"
    assert master.leftovers() == []


def test_orderly_stop_leaves_jobs_running(master: Master) -> None:
    running = master.submit(hold("a"))
    master.wait_status(running, "running")
    assert master.process is not None
    master.process.terminate()
    assert master.process.wait(60) == 0
    assert is_alive(livelock_path(master.paths, running))
    master.start()
    release(master)
    assert master.wait(running)[0] == "success"


def test_death_between_master_and_master(master: Master) -> None:
    """Job and master die together; the next master finds the job dead and undoes its work."""
    running = master.submit(hold("a"))
    master.wait_status(running, "running")
    master.kill()
    for victim in master.processes():
        os.kill(victim, signal.SIGKILL)
    master.start()
    status, result, _log = master.wait(running)
    assert status == "error"
    assert "its process died (while no master daemon ran)" in result[1][0]
    assert master.wait(master.submit(quick("a")))[0] == "success"


def test_more_jobs_than_slots(master: Master) -> None:
    """Only max_running_jobs have a process; the rest wait their turn in order."""
    with master.client() as client:
        answers = client.submit_many_jobs([[hold(f"lock{n}")] for n in range(25)])
        deadline = time.monotonic() + 60
        while True:
            rows = client.query_jobs(None, ["status"])
            running = sum(1 for row in rows if row == ["running"])
            if running == 20 or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        time.sleep(0.2)
        statuses = [row[0] for row in client.query_jobs(None, ["status"]) if row]
    assert statuses == ["running"] * 20 + ["queued"] * 5
    release(master)
    assert {master.wait(job_id)[0] for _ok, job_id in answers} == {"success"}


def submit_until_refused(client: Client) -> None:
    """SQLite's log has some room left on a full disk."""
    for _ in range(200):
        client.submit_job([quick("b", comment="x" * 4096)])


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_full_disk(tmp_path: Path, masters: Callable[..., Master]) -> None:
    """Submission is refused in one line; a running job waits for room and goes on."""
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8M,mode=700", "none", root], check=True, timeout=60
    )
    try:
        master = masters(root, FAULTY)
        job_id = master.submit(hold("a"))
        master.wait_status(job_id, "running")
        filler = root / "filler"
        with filler.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(65536))
                file.flush()
        with master.client() as client:
            with pytest.raises(StoreError, match=r"cannot write store .*disk is full"):
                submit_until_refused(client)
            known = client.query_jobs(None, ["id"])
        with (root / "go").open("wb"):
            pass
        time.sleep(0.5)
        assert master.job(job_id) == ["running"]
        filler.unlink()
        assert master.wait(job_id)[0] == "success"
        for row in known:
            assert row is not None
            assert master.wait(row[0])[0] == "success"
        master.stop()
    finally:
        subprocess.run(["umount", "-l", root], check=True, timeout=60)


@pytest.mark.timeout(50)
def test_a_job_that_has_ended_is_not_waited_for(master: Master) -> None:
    """Upstream's clients ask again after the last log entry came together with the end."""
    job_id = master.submit(quick("a"))
    assert master.wait(job_id)[0] == "success"
    with master.client() as client:
        for _ in range(2):  # in the queue, then in the archive
            answer = client.wait_for_job_change(job_id, ["status"], ["success"], 1000, 85)
            assert answer is not None
            assert answer[0] == ["success"]
            client.call("ArchiveJob", [job_id])


def test_a_process_whose_job_has_ended_does_not_wait_for_a_master_daemon(master: Master) -> None:
    """The master daemon removes the livelock of a job that has ended; its reply may be lost."""
    job_id = master.submit(hold("a"))
    master.wait_status(job_id, "running")
    master.kill()
    wait_until(lambda: len(master.processes()) == 1, "nothing but the job's process to be left")
    livelock = livelock_path(master.paths, job_id)
    assert is_alive(livelock)
    livelock.unlink()
    release(master)
    wait_until(lambda: not master.processes(), "the job's process to end")
