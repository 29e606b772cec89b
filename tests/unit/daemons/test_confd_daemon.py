"""The real daemon process: sockets, reloads, secrets, metrics, several processes, bad starts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.config import datafile
from ganeti_kernel.config.bootstrap import store_view
from ganeti_kernel.config.changes import Draft
from ganeti_kernel.config.writer import ConfigWriter
from ganeti_kernel.paths import Paths
from ganeti_kernel.store.opening import open_store
from ganeti_kernel.testing import confd_peer
from ganeti_kernel.testing.confd_peer import KEY, Peer, Root, pack, request, unpack
from ganeti_kernel.testing.configurations import plain_cluster
from ganeti_kernel.testing.waiting import wait_until

TEMPLATE = json.loads(
    (Path(__file__).parents[2] / "data/config/config.data.rich1.json").read_text()
)


def text(serial: int, **more: Any) -> bytes:
    return json.dumps(TEMPLATE | {"serial_no": serial} | more).encode()


@pytest.fixture
def root(ganeti_root: Path) -> Root:
    return Root(ganeti_root, text(1))


def metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        body: bytes = reply.read()
    return body.decode()


def by_tcp(peer: Peer, data: bytes) -> bytes:
    with socket.create_connection((peer.address, peer.port), timeout=20) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        out = bytearray()
        while part := sock.recv(65536):
            out += part
    return bytes(out)


def test_a_directory_that_upstream_wrote_is_served_as_it_is(root: Root) -> None:
    before = sorted(path.name for path in root.data.iterdir())
    with confd_peer.ours(root) as peer:
        assert peer.ask(0) == (0, 3000000, 0)
        assert peer.ask(1, "node1.example.com") == (0, 0, 24)
    assert peer.process.returncode == 0
    assert sorted(path.name for path in root.data.iterdir()) == before
    assert not (root.path / "var/run/ganeti/ganeti-confd.pid").exists()


def test_a_change_is_served_and_a_broken_file_is_not(root: Root) -> None:
    port = confd_peer.free_port()
    with confd_peer.ours(root, "--metrics", f"127.0.0.1:{port}") as peer:
        root.write(text(2))
        peer.wait_for_serial(2)
        root.write(text(3)[:4000])
        wait_until(
            lambda: "ganeti_confd_stale_configuration 1.0" in metrics(port), "broken file told"
        )
        assert peer.ask(10, "/serial_no") == (0, 2, 24)
        log = peer.log.read_text()
        assert "is cut off after 4000 bytes" in log
        assert "the last good configuration" in log
        root.write(text(4))
        peer.wait_for_serial(4)
        assert "ganeti_confd_stale_configuration 0.0" in metrics(port)
        assert "ganeti_confd_serial 4.0" in metrics(port)


def test_without_a_configuration_it_says_so_until_there_is_one(root: Root) -> None:
    root.config.unlink()
    with confd_peer.ours(root) as peer:
        reply = peer.ask(3)
        assert reply is not None
        assert (reply.status, reply.serial) == (1, 0)
        assert "not loaded yet" in reply.answer
        root.write(text(1))
        peer.wait_for_serial(1)


def test_a_large_answer_comes_by_tcp(root: Root) -> None:
    root.write(json.dumps(plain_cluster(TEMPLATE, 500)).encode())
    with confd_peer.ours(root) as peer:
        reply = peer.ask(10, "/instances")
        assert reply is not None
        assert reply.status == 1
        assert reply.answer["port"] == peer.port
        whole = by_tcp(peer, request(KEY, 10, "/instances", "salt"))
        assert len(whole) == reply.answer["size"] + len("salt") - 36
        salt, content = unpack(KEY, whole)
        assert salt == "salt"
        assert len(content.answer) == 500


def test_by_tcp_too_only_who_holds_the_key_is_answered(root: Root) -> None:
    with confd_peer.ours(root) as peer:
        good = request(KEY, 0, None, "s")
        assert unpack(KEY, by_tcp(peer, good))[1].answer == 3000000
        assert by_tcp(peer, pack(b"other", "{}")) == b""
        assert by_tcp(peer, good[:-1]) == b""
        assert by_tcp(peer, b"") == b""
        assert by_tcp(peer, b"x" * 61_441) == b""
        assert peer.ask(0) is not None


def test_a_tcp_client_that_sends_nothing_disturbs_nobody(root: Root) -> None:
    with confd_peer.ours(root) as peer:
        idle = [socket.create_connection((peer.address, peer.port)) for _ in range(40)]
        try:
            assert peer.ask(0) is not None
        finally:
            for sock in idle:
                sock.close()
        wait_until(lambda: by_tcp(peer, request(KEY, 0, None, "s")), "TCP answers again")


@pytest.mark.parametrize(
    ("pointer", "policy", "shown"),
    [
        ("/instances/{}/osparams_private", "hide", False),
        ("/instances", "hide", False),
        ("/instances/{}/osparams_private", "show", True),
        ("/instances/{}/osparams_private", "hide-all", False),
    ],
)
def test_secrets(root: Root, pointer: str, policy: str, shown: bool) -> None:
    uuid = next(key for key, inst in TEMPLATE["instances"].items() if inst["osparams_private"])
    with confd_peer.ours(root, "--secrets", policy) as peer:
        reply = peer.ask(10, pointer.format(uuid))
        assert reply is not None
        assert reply.status == 0
        assert ("stable" in json.dumps(reply.answer)) is shown


def test_secrets_in_lists_of_whole_instances(root: Root) -> None:
    for policy, shown in (("hide", True), ("hide-all", False)):
        with confd_peer.ours(root, "--secrets", policy) as peer:
            reply = peer.ask(8, "node1.example.com")
            assert reply is not None
            assert ("stable" in json.dumps(reply.answer)) is shown


def test_metrics_count_what_happens(root: Root) -> None:
    port = confd_peer.free_port()
    with confd_peer.ours(root, "--metrics", f"127.0.0.1:{port}") as peer:
        for _ in range(3):
            peer.ask(3)
        peer.ask(99)
        for noise in (b"noise", b"plj0{}", pack(b"other", "{}"), pack(KEY, "{}", salt="1")):
            peer.send(noise, timeout=0.05)
        page = metrics(port)
    assert 'ganeti_confd_answers_total{status="ok",type="3"} 3.0' in page
    assert 'ganeti_confd_answers_total{status="not_implemented",type="other"} 1.0' in page
    for reason in ("magic", "malformed", "signature", "stale"):
        assert f'ganeti_confd_ignored_total{{reason="{reason}"}} 1.0' in page
    assert 'ganeti_confd_answer_seconds_bucket{le="+Inf"}' in page
    assert "ganeti_confd_reloads_total 1.0" in page


def test_no_endpoint_unless_asked_for(root: Root) -> None:
    with confd_peer.ours(root) as peer:
        found = subprocess.run(
            ["ss", "-ltnp"], capture_output=True, text=True, check=True, timeout=20
        ).stdout
        lines = [line for line in found.splitlines() if f"pid={peer.process.pid}," in line]
    assert len(lines) == 1
    assert f":{peer.port}" in lines[0]


def test_several_processes_share_a_port(root: Root) -> None:
    port = confd_peer.free_port()
    with confd_peer.ours(root, "--workers", "3", "--metrics", f"127.0.0.1:{port}") as peer:
        wait_until(lambda: "ganeti_confd_reloads_total 3.0" in metrics(port), "all have loaded")
        for _ in range(60):  # a new socket each time: the kernel spreads senders
            assert peer.ask(3) is not None
        assert 'ganeti_confd_answers_total{status="ok",type="3"} 60.0' in metrics(port)
        children = peer.pids()[1:]
        assert len(children) == 2
        root.write(text(2))
        wait_until(lambda: "ganeti_confd_reloads_total 6.0" in metrics(port), "all have reloaded")
        os.kill(children[0], signal.SIGKILL)
        wait_until(lambda: len(set(peer.pids()[1:]) - {children[0]}) == 2, "it is started again")
        wait_until(lambda: "ganeti_confd_reloads_total 7.0" in metrics(port), "and serves")
        for _ in range(30):
            assert peer.ask(10, "/serial_no") == (0, 2, 24)
        children = peer.pids()[1:]
    wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "workers end too"
    )


def test_a_worker_does_not_outlive_the_daemon(root: Root) -> None:
    with confd_peer.ours(root, "--workers", "2") as peer:
        (child,) = wait_until(lambda: peer.pids()[1:], "the worker runs")
        peer.process.kill()
        peer.process.wait(10)
        wait_until(lambda: not Path(f"/proc/{child}").exists(), "the worker ends")


def test_a_new_key_is_taken_on_reload(root: Root) -> None:
    with confd_peer.ours(root) as peer:
        (root.data / "hmac.key").write_bytes(b"a new key\n")
        assert peer.ask(0) is not None
        peer.process.send_signal(signal.SIGHUP)
        root.key = b"a new key\n"
        wait_until(lambda: peer.ask(0, timeout=0.2), "the new key holds")


def test_a_key_that_vanished_leaves_the_old_one(root: Root) -> None:
    with confd_peer.ours(root) as peer:
        (root.data / "hmac.key").unlink()
        peer.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the old key stays in use" in peer.log.read_text(), "told in the log")
        assert peer.ask(0) is not None


@pytest.mark.root
def test_both_families(root: Root, ganeti_netns: None) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10)
    with confd_peer.ours(root, address="::1", bind="::") as peer:
        assert peer.ask(0) is not None
        peer.address = "127.0.0.1"
        assert peer.ask(0) is not None
        assert unpack(KEY, by_tcp(peer, request(KEY, 0, None, "s")))[1].status == 0


def failing(root: Root, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ganeti_kernel.daemons.confd", "-f", "--no-user-checks", *options],
        env=root.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def test_bad_starts_are_one_clear_line(root: Root) -> None:
    port = confd_peer.free_port()
    with confd_peer.ours(root, port=port):
        other = Root(root.path / "other", text(1))
        code, error = failing(other, "-b", "127.0.0.1", "-p", str(port))
        assert code == 1
        assert f"cannot serve UDP 127.0.0.1 port {port}: Address already in use" in error
        assert "Traceback" not in error
    for options, message in (
        (["-b", "192.0.2.77", "-p", "0"], "cannot serve UDP 192.0.2.77"),
        (["-b", "127.0.0.1", "-p", "0", "--metrics", "nonsense"], "is not ADDRESS:PORT"),
    ):
        code, error = failing(root, *options)
        assert code == 1, error
        assert message in error
        assert "Traceback" not in error
    (root.data / "hmac.key").unlink()
    code, error = failing(root, "-b", "127.0.0.1", "-p", "0")
    assert code == 1
    assert "cannot read the cluster's key" in error
    assert "Traceback" not in error


def test_options_that_cannot_be_read(root: Root) -> None:
    for options in (["--workers", "0"], ["--secrets", "maybe"], ["-p", "99999"]):
        code, error = failing(root, *options)
        assert code == 2, error


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_store_is_followed_instead_of_the_file(root: Root, workers: str) -> None:
    paths = Paths(root.path)
    with contextlib.closing(open_store(paths, create=True)) as store:
        store_view(store, datafile.parse(text(7)))
        with confd_peer.ours(root, "--store", "--workers", workers) as peer:
            peer.wait_for_serial(7)
            writer = ConfigWriter(store)
            draft = Draft(writer.view)
            draft.replace(writer.view.cluster, mac_prefix="aa:bb:cc")
            writer.commit(draft.changes())
            # each worker looks on its own: one may answer from the old store while another does not
            new = (0, "aa:bb:cc", 25)
            wait_until(
                lambda: all(peer.ask(10, "/cluster/mac_prefix") == new for _ in range(12)),
                "every worker to serve the change",
            )


def test_a_store_that_is_none(root: Root) -> None:
    Paths(root.path).store_file.write_bytes(b"no store" * 1000)
    with confd_peer.ours(root, "--store") as peer:
        reply = peer.ask(10, "/serial_no")
        assert reply is not None
        assert reply.status == 1
        assert "store.sqlite" in str(reply.answer)
