"""OS scripts as they really run: log, deadline, secrets, what is left over."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.errors import OpExecError
from ganeti_kernel.node import guest_os, os_scripts
from ganeti_kernel.node.instances import with_disks
from ganeti_kernel.node.os_scripts import ScriptJob, end_leftovers, run_script, scrub
from ganeti_kernel.objects.guest import Guest
from ganeti_kernel.paths import Paths


def make_job(tmp_path: Path, body: str, **fields: Any) -> ScriptJob:
    script = tmp_path / "os" / "create"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    options: dict[str, Any] = {
        "script": script,
        "kind": "add",
        "os_name": "probe+v",
        "instance": "inst1.example.com",
        "env": {"PATH": os.environ["PATH"]},
        "timeout": 30.0,
    }
    return ScriptJob(**(options | fields))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "root")


def is_gone(pid: int) -> bool:
    """Within some patience; a zombie that nobody reaps counts as gone."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_what_a_script_says_is_in_its_log(paths: Paths, tmp_path: Path) -> None:
    log = run_script(paths, make_job(tmp_path, "echo out; echo err >&2; pwd; umask; env"))
    assert log.parent == paths.log_dir / "os"
    assert log.name.startswith("add-probe+v-inst1.example.com-")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    lines = log.read_text().splitlines()
    assert lines[:4] == ["out", "err", str(tmp_path / "os"), "0077"]
    names = {line.partition("=")[0] for line in lines[4:]}
    assert names <= {"PATH", "PWD", "SHLVL", "_", "OLDPWD"}


def test_a_failure_shows_the_last_lines(paths: Paths, tmp_path: Path) -> None:
    with pytest.raises(OpExecError) as caught:
        run_script(paths, make_job(tmp_path, "seq 1 100; exit 3"))
    text = str(caught.value)
    assert text.startswith(
        "script create of OS probe+v for inst1.example.com failed with exit code 3; last lines of "
    )
    assert text.splitlines()[1:] == [str(number) for number in range(81, 101)]


def test_a_script_that_never_ends(paths: Paths, tmp_path: Path) -> None:
    job = make_job(tmp_path, "echo $$; trap '' TERM; sleep 600 & wait", timeout=0.5)
    with pytest.raises(OpExecError, match=r"did not end within 0\.5 seconds and was stopped"):
        run_script(paths, job)
    [log] = (paths.log_dir / "os").iterdir()
    assert is_gone(int(log.read_text().split()[0]))


def test_a_script_that_prints_for_ever(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os_scripts, "MAX_LOG_BYTES", 1 << 20)
    with pytest.raises(OpExecError, match="printed more than 1 MiB and was stopped"):
        run_script(paths, make_job(tmp_path, "yes"))


def test_secrets_are_neither_in_the_log_nor_in_the_error(paths: Paths, tmp_path: Path) -> None:
    job = make_job(
        tmp_path,
        'echo "password is $OSP_ROOTPW."; printf %s "$OSP_ROOTPW"; exit 1',
        env={"PATH": "/bin:/usr/bin", "OSP_ROOTPW": "s3kr!t"},
        secrets=["s3kr!t"],
    )
    with pytest.raises(OpExecError) as caught:
        run_script(paths, job)
    [log] = (paths.log_dir / "os").iterdir()
    assert log.read_text() == "password is <hidden>.\n<hidden>"
    assert "s3kr!t" not in str(caught.value)
    assert "s3kr!t" not in repr(caught.value)


def test_scrub_leaves_the_rest_alone() -> None:
    assert scrub(b"a b", [b"", b"b"]) == b"a <hidden>"


def test_a_script_that_cannot_be_run(paths: Paths, tmp_path: Path) -> None:
    job = make_job(tmp_path, "")
    job.script.write_text("no interpreter line")
    with pytest.raises(OpExecError, match=r"cannot run .*/create: Exec format error"):
        run_script(paths, job)


def test_a_daemon_that_a_script_leaves_behind_is_not_waited_for(
    paths: Paths, tmp_path: Path
) -> None:
    log = run_script(paths, make_job(tmp_path, "sleep 600 & echo $!; exit 0"))
    assert is_gone(int(log.read_text()))
    pid = tmp_path / "pid"
    run_script(paths, make_job(tmp_path, f"setsid sleep 600 & echo $! > {pid}; sleep 0.3"))
    try:
        run_script(paths, make_job(tmp_path, "exit 0"))  # it does not hold the next one up
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


def test_data_of_an_export_and_an_import(paths: Paths, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as sink:
        job = make_job(
            tmp_path, 'echo 42 > /proc/self/fd/$EXP_SIZE_FD; echo note >&2; printf "data"'
        )
        log = run_script(paths, job, stdout=sink, size_fd=writer)
        os.close(writer)
        with open(reader) as size:
            assert size.read() == "42\n"
        sink.seek(0)
        assert sink.read() == b"data"
        assert log.read_text() == "note\n"
        sink.seek(0)
        log = run_script(paths, make_job(tmp_path, "cat"), stdin=sink)
    assert "data" in log.read_text()


RUN = """
import sys
from pathlib import Path
from ganeti_kernel.node.instances import with_disks
from ganeti_kernel.node.os_scripts import ScriptJob, run_script
from ganeti_kernel.paths import Paths
run_script(Paths(Path(sys.argv[1])), ScriptJob(script=Path(sys.argv[2]), kind="add",
    os_name="probe", instance="inst1.example.com", env={"PATH": "/bin:/usr/bin"}, timeout=60))
"""


def start_and_kill(paths: Paths, job: ScriptJob, pid_file: Path) -> int:
    """A daemon that was killed while its script ran: returns the script's process id."""
    daemon = subprocess.Popen([sys.executable, "-c", RUN, str(paths.root), str(job.script)])
    for _ in range(400):
        if pid_file.exists() and pid_file.read_text():
            break
        time.sleep(0.05)
    daemon.kill()
    daemon.wait()
    return int(pid_file.read_text())


def test_what_a_killed_daemon_left_over_is_ended_first(paths: Paths, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    job = make_job(tmp_path, f"echo $$ > {pid_file}; exec sleep 600")
    left = start_and_kill(paths, job, pid_file)
    os.kill(left, 0)  # it lives on
    run_script(paths, make_job(tmp_path, "exit 0"))
    assert is_gone(left)


def test_leftovers_can_be_ended_without_starting_anything(paths: Paths, tmp_path: Path) -> None:
    end_leftovers(paths, "inst1.example.com")
    pid_file = tmp_path / "pid"
    job = make_job(tmp_path, f"trap '' TERM; echo $$ > {pid_file}; sleep 600 & wait; wait")
    left = start_and_kill(paths, job, pid_file)
    end_leftovers(paths, "inst1.example.com")
    assert is_gone(left)


def test_a_running_script_of_this_daemon_is_ended_too(paths: Paths, tmp_path: Path) -> None:
    failures: list[str] = []
    pid_file = tmp_path / "pid"
    job = make_job(tmp_path, f"echo $$ > {pid_file}; exec sleep 600")

    def work() -> None:
        try:
            run_script(paths, job)
        except OpExecError as error:
            failures.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    while not (pid_file.exists() and pid_file.read_text()):
        time.sleep(0.02)
    end_leftovers(paths, "inst1.example.com")
    thread.join(20)
    assert "was ended by signal 15" in failures[0]


# -- the calls -------------------------------------------------------------------------------------


@pytest.fixture
def definition(node: Any) -> Path:
    path: Path = node.paths.os_search_path[0] / "probe"
    path.mkdir(parents=True)
    (path / "ganeti_api_version").write_text("20\n")
    (path / "parameters.list").write_text("rootpw the password\nrelease what\n")
    for name in ("create", "import", "export", "rename"):
        (path / name).write_text("#!/bin/sh\nenv | sort\n")
        (path / name).chmod(0o755)
    (path / "verify").write_text(
        '#!/bin/sh\n[ "$1" = parameters ] || exit 9\n[ "$OSP_RELEASE" != bad ] || '
        "{ echo release bad is not known; exit 1; }\n"
    )
    (path / "verify").chmod(0o755)
    return path


def test_os_create_and_rename(node: Any, guest: Guest, definition: Path) -> None:
    node.template.volumes.add("d0")
    params = {"rootpw": "s3kr!t", "release": "r2"}
    guest_os.os_create(node.context, guest, params, reinstall=True, private=["rootpw"])
    guest_os.os_rename(node.context, guest, "old.example.com", {})
    logs = sorted((node.paths.log_dir / "os").iterdir())
    assert [log.name.rsplit("-", 3)[0] for log in logs] == ["add-probe-inst1", "rename-probe-inst1"]
    created = logs[0].read_text()
    assert "DISK_0_PATH=/dev/d0" in created
    assert "INSTANCE_REINSTALL=1" in created
    assert "OSP_ROOTPW=<hidden>" in created
    assert "OSP_RELEASE=r2" in created
    assert "OLD_INSTANCE_NAME=old.example.com" in logs[1].read_text()


def test_export_and_import_of_one_disk(node: Any, guest: Guest, definition: Path) -> None:
    node.template.volumes.add("d0")
    (definition / "export").write_text("#!/bin/sh\necho $EXPORT_DEVICE $EXPORT_INDEX\n")
    (definition / "import").write_text("#!/bin/sh\necho $IMPORT_DISK_PATH; cat\n")
    disk = with_disks(node.context, guest).disks[0]
    with tempfile.TemporaryFile() as data:
        guest_os.export_disk(node.context, guest, disk, {}, data)
        data.seek(0)
        assert data.read() == b"/dev/d0 0\n"
        data.seek(0)
        guest_os.import_disk(node.context, guest, disk, {}, data)
    logs = {log.name.rsplit("-", 3)[0]: log for log in (node.paths.log_dir / "os").iterdir()}
    assert set(logs) == {"export-probe-inst1-disk0", "import-probe-inst1-disk0"}
    assert logs["import-probe-inst1-disk0"].read_text() == "/dev/d0\n/dev/d0 0\n"


def test_os_create_refuses_before_it_touches_a_disk(
    node: Any, guest: Guest, definition: Path
) -> None:
    with pytest.raises(OpExecError, match="not supported by the OS probe: zzz"):
        guest_os.os_create(node.context, guest, {"zzz": 1})
    (definition / "create").rename(definition / "create_untrusted")
    with pytest.raises(OpExecError, match="OS probe has no script 'create' that may run"):
        guest_os.os_create(node.context, guest, {})
    (definition / "create_untrusted").unlink()
    with pytest.raises(OpExecError, match=r"A create script .* must exist"):
        guest_os.os_create(node.context, guest, {})
    assert node.template.log == []


@pytest.mark.parametrize(
    ("name", "params", "problem"),
    [
        ("probe", {"release": "r2"}, None),
        ("probe", {"release": "bad"}, "release bad is not known"),
        ("probe", {"zzz": "1"}, "parameters are not supported by the OS probe: zzz"),
        ("probe+v", {}, "OS 'probe' does not support variants ('v' passed)"),
        ("nosuchos", {}, "Directory for OS nosuchos not found in search path"),
    ],
)
def test_os_check(
    node: Any, definition: Path, name: str, params: dict[str, str], problem: str | None
) -> None:
    found = guest_os.os_check(node.context, name, params)
    assert (problem is None) == (found == [])
    assert problem is None or problem in found[0]


def test_a_verify_script_that_tells_a_secret(node: Any, definition: Path) -> None:
    (definition / "verify").write_text('#!/bin/sh\necho "bad: $OSP_RELEASE"; exit 1\n')
    [problem] = guest_os.os_check(node.context, "probe", {"release": "hunter2"}, ["release"])
    assert "hunter2" not in problem
    assert "bad: " in problem


def test_one_secret_may_begin_another() -> None:
    assert b"rest" not in scrub(b"say pass and passrest", [b"pass", b"passrest"])


def test_a_verify_script_that_hangs(
    node: Any, definition: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_os, "VERIFY_SECONDS", 0.2)
    (definition / "verify").write_text("#!/bin/sh\nsleep 600\n")
    [problem] = guest_os.os_check(node.context, "probe", {})
    assert "did not end within 0.2 seconds" in problem


def test_os_diagnose(node: Any, definition: Path) -> None:
    [row] = guest_os.os_diagnose(node.context)
    assert (row.name, row.valid, row.path) == ("probe", True, str(definition))
