"""gnt-job, gnt-filter and gnt-debug where jobs wait: who is told what, and what is asked first."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ganeti_kernel.errors import GenericError
from tests.conftest import NODE

if TYPE_CHECKING:
    from tests.conftest import Master

PROGRAMS = Path(sys.executable).parent
SLEEP: dict[str, Any] = {"OP_ID": "OP_TEST_DELAY", "duration": 600}


def run(master: Master, command: str) -> tuple[int, str]:
    """Exit code and output, both streams; nobody is there to be asked."""
    program, *args = command.split()
    done = subprocess.run(
        [PROGRAMS / program, *args],
        env=master.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def waiting_for(master: Master, job_id: int) -> Any:
    (found,) = master.job(job_id, ["waiting_for"])
    return found


@pytest.fixture
def busy(plain_master: Master) -> Master:
    """Job 1 holds the node's lock; jobs 2 and 3 wait for it."""
    sleep = {**SLEEP, "on_nodes": [NODE], "no_locks": False}
    plain_master.wait_status(plain_master.submit(sleep), "running")
    for _ in range(2):
        job_id = plain_master.submit(sleep)
        plain_master.wait_until(partial(waiting_for, plain_master, job_id), "the job to wait")
    return plain_master


def test_jobs_say_for_which_lock_they_wait(busy: Master) -> None:
    assert waiting_for(busy, 2) == [f"lock node/{NODE}, held by job 1"]
    assert waiting_for(busy, 3) == [f"lock node/{NODE}, held by job 1, wanted before by job 2"]
    assert waiting_for(busy, 1) == []
    code, text = run(busy, "gnt-job list --no-headers --separator=| -o id,waiting_for")
    assert code == 0
    assert f"2|lock node/{NODE}, held by job 1\n" in text
    assert "Waiting for: lock node/" in run(busy, "gnt-job info 2")[1]
    code, text = run(busy, "gnt-debug locks --no-headers --separator=| -o mode,owner,pending,waits")
    mode, owner, pending, waits = text.strip().split("|")
    assert (mode, owner) == ("exclusive", "job 1")
    assert pending == "exclusive:job 2 exclusive:job 3"
    first, second = waits.split("; ")
    assert first.startswith("job 2 (exclusive) since 20")
    assert first.endswith(" behind job 1")
    assert second.endswith(" behind job 1, 2")


def test_choosing_jobs_by_status(busy: Master) -> None:
    for command in ("cancel", "change-priority --priority high"):
        for wrong in ("", " --pending 2"):
            code, text = run(busy, f"gnt-job {command}{wrong}")
            assert code == 1
            assert "Either a status filter or job ID(s) must be specified and never both" in text
        code, text = run(busy, f"gnt-job {command} --queued --force")
        assert code == 1
        assert "No jobs with the requested status have been found" in text
        code, text = run(busy, f"gnt-job {command} --waiting")
        assert code == 13
        assert " 2 waiting TEST_DELAY(600.0)\n" in text
        assert "--force answers yes" in text
    assert run(busy, "gnt-job change-priority --priority high --pending -f")[0] == 0
    assert busy.job(3, ["priority"]) == [-10]
    assert run(busy, "gnt-job cancel --pending -f") == (
        0,
        "Job 2 will be canceled\nJob 3 will be canceled\n",
    )
    busy.wait_status(3, "canceled")
    assert waiting_for(busy, 3) == []


def test_archived_jobs_are_listed_when_asked_for(plain_master: Master) -> None:
    for _ in range(3):
        plain_master.wait(plain_master.submit({**SLEEP, "duration": 0}))
    assert run(plain_master, "gnt-job archive 1 2") == (0, "")
    listing = "gnt-job list --no-headers --separator=|"
    rows = [f"{number}|success|TEST_DELAY(0.0)" for number in (1, 2, 3)]
    assert run(plain_master, listing)[1] == f"{rows[2]}\n"
    assert run(plain_master, f"{listing} -o id,archived")[1] == "3|N\n"
    assert (
        run(plain_master, f"{listing} --archived")[1] == f"{rows[0]}|Y\n{rows[1]}|Y\n{rows[2]}|N\n"
    )
    assert run(plain_master, f"{listing} 2 99")[1] == f"{rows[1]}\n99|-|-\n"
    assert run(plain_master, f"{listing} --archived --error")[1] == ""
    code, text = run(plain_master, "gnt-job info 1")
    assert code == 0
    assert "Opcode: OP_TEST_DELAY" in text


def test_a_paused_job_says_so(plain_master: Master) -> None:
    code, uuid = run(plain_master, "gnt-filter add --action PAUSE --reason window")
    assert code == 0
    job_id = plain_master.submit(SLEEP)
    expected = [f"job filter {uuid.strip()}, which pauses it (window)"]
    plain_master.wait_until(lambda: waiting_for(plain_master, job_id) == expected, "a reason")
    dependent = plain_master.submit({**SLEEP, "depends": [[job_id, []]]})
    assert waiting_for(plain_master, dependent) == [f"the end of job {job_id}, on which it depends"]
    assert run(plain_master, f"gnt-job cancel {job_id}") == (0, f"Job {job_id} canceled\n")


def test_rate_limit_of_a_reason(plain_master: Master) -> None:
    limited = {**SLEEP, "reason": [["gnt:user", "rate-limit:1:copies", 1]]}
    first, second = plain_master.submit(limited), plain_master.submit(limited)
    plain_master.wait_status(first, "running")
    assert plain_master.job(second) == ["queued"]
    assert waiting_for(plain_master, second) == ["the rate limit 1:copies, of which 1 jobs run"]
    run(plain_master, f"gnt-job cancel --kill --yes-do-it {first}")
    plain_master.wait_status(second, "running")


def test_secrets_are_in_no_form_of_a_read(plain_master: Master) -> None:
    create = {
        "OP_ID": "OP_INSTANCE_CREATE", "instance_name": "i.example.com", "mode": "create",
        "disks": [], "nics": [], "disk_template": "diskless", "os_type": "noop",
        "osparams_private": {"key": "s3cret"}, "osparams_secret": {"pin": "s3cret"},
    }  # fmt: skip
    job_id = plain_master.submit(create)
    plain_master.wait(job_id)
    with plain_master.client() as client:
        answers = [
            client.query_jobs([job_id], ["ops", "opresult", "oplog", "summary"]),
            client.query("job", ["ops", "opresult", "oplog"], ["=", "id", job_id]),
            client.wait_for_job_change(job_id, ["ops", "opresult"], None, None),
        ]
        assert all("<redacted>" in str(answer) for answer in answers)
        assert "s3cret" not in str(answers)
        with pytest.raises(GenericError, match="osparams_secret"):
            client.submit_job([{"OP_ID": "OP_INSTANCE_MULTI_ALLOC", "instances": [create]}])
    assert "s3cret" not in run(plain_master, f"gnt-job info {job_id}")[1]
    assert b'"pin"' not in plain_master.paths.store_file.read_bytes()
