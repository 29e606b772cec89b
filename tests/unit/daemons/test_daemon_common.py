"""The frame all daemons share: options, pid file, readiness, signals, errors in one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti_kernel.daemons.common import (
    Daemon,
    DaemonOptions,
    parse_options,
    run_daemon,
    take_pid_file,
)
from ganeti_kernel.errors import ConfigurationError
from ganeti_kernel.paths import Paths
from ganeti_kernel.testing.waiting import wait_until

PROGRAM = """
import sys
from ganeti_kernel.daemons.common import parse_options, run_daemon
from ganeti_kernel.errors import GenericError

async def serve(daemon):
    {body}
    daemon.on_reload(lambda: (daemon.paths.root / "reloaded").touch())
    daemon.ready("serving")
    await daemon.stop.wait()
    (daemon.paths.root / "stopped").touch()

options = parse_options("ganeti-mond", "Test.", port=1815)
sys.exit(run_daemon("ganeti-mond", options, serve))
"""


def start(root: Path, *options: str, body: str = "pass") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body), *options],
        env=os.environ | {"GANETI_ROOTDIR": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield sock


def test_foreground_life(tmp_path: Path, notified: socket.socket) -> None:
    process = start(tmp_path, "-f")
    try:
        assert notified.recv(100) == b"READY=1\nSTATUS=serving"
        pid_file = Paths(tmp_path).run_dir / "ganeti-mond.pid"
        assert pid_file.read_text() == f"{process.pid}\n"
        process.send_signal(signal.SIGHUP)
        assert notified.recv(100) == b"RELOADING=1"
        assert notified.recv(100) == b"READY=1"
        assert (tmp_path / "reloaded").exists()
        process.terminate()
        assert notified.recv(100) == b"STOPPING=1"
        _out, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert (tmp_path / "stopped").exists()
    assert not pid_file.exists()
    assert "ready: serving" in errors


def test_background_returns_when_ready(tmp_path: Path) -> None:
    process = start(tmp_path)
    out, errors = process.communicate(timeout=30)
    pid = int((Paths(tmp_path).run_dir / "ganeti-mond.pid").read_text())
    try:
        assert (process.returncode, out, errors) == (0, "", "")
        again = start(tmp_path)
        _out, errors = again.communicate(timeout=30)
        assert again.returncode == 1
        assert f"already running as process {pid}" in errors
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until((tmp_path / "stopped").exists, "the daemon stops")
    log = (Paths(tmp_path).log_dir / "monitoring-daemon.log").read_text()
    assert "ready: serving" in log


@pytest.mark.parametrize("options", [("-f",), ()])
def test_failure_is_one_line(tmp_path: Path, options: tuple[str, ...]) -> None:
    process = start(tmp_path, *options, body='raise GenericError("port 7 is taken")')
    _out, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert len(errors.splitlines()) == 1
    assert "port 7 is taken" in errors


def test_defect_keeps_traceback_out_of_the_terminal(tmp_path: Path) -> None:
    process = start(tmp_path, body="1 / 0")
    _out, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors == "ganeti-mond: internal error: ZeroDivisionError: division by zero\n"
    assert "Traceback" in (Paths(tmp_path).log_dir / "monitoring-daemon.log").read_text()


def test_options() -> None:
    options = parse_options("x", "", ["-d", "-p", "7", "-b", "127.0.0.1"], port=1)
    assert (options.debug, options.foreground, options.port) == (True, False, 7)
    assert (options.bind, options.user_checks) == ("127.0.0.1", True)


def test_wrong_port_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_options("x", "", ["-p", "70000"], port=1)
    assert caught.value.code == 2
    assert "'70000' is not a port" in capsys.readouterr().err


def test_relative_root_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def never(_daemon: Daemon) -> None:
        raise AssertionError

    monkeypatch.setenv("GANETI_ROOTDIR", "relative")
    assert run_daemon("x", DaemonOptions(foreground=True), never) == 1
    assert "must be an absolute path" in capsys.readouterr().err


def test_pid_file_of_the_living(tmp_path: Path) -> None:
    path = tmp_path / "run" / "x.pid"
    lock = take_pid_file(path)
    with pytest.raises(ConfigurationError, match=str(os.getpid())):
        take_pid_file(path)
    os.close(lock)
    os.close(take_pid_file(path))
