"""Where upstream says nothing, ours says what and why: every row of `docs/differences.md`."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti_kernel.testing.devcluster import BIN, DevCluster, Ran
from ganeti_kernel.testing.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
ONE = "one.example.com"
PAUSE = '[["opcode", ["=", "OP_ID", "OP_TEST_DELAY"]]]'

# command, exit code, what the question names, the option that answers it
QUESTIONS = [
    (f"gnt-instance remove {ONE}", 1, ONE, "--force"),
    (f"gnt-instance failover {ONE}", 1, ONE, "--force"),
    (f"gnt-instance migrate {ONE}", 1, ONE, "--force"),
    ("gnt-instance shutdown --all", 1, "Continue?", "--force-multiple"),
    ("gnt-instance reboot --all", 1, "Continue?", "--force-multiple"),
    ("gnt-instance startup --all", 1, "Continue?", "--force-multiple"),
    ("gnt-cluster rename other.example.com", 1, "other.example.com", "--force"),
    ("gnt-cluster deactivate-master-ip", 1, "address down", "--yes"),
    ("gnt-node powercycle node2", 2, "node2", "--yes"),
    ("gnt-job cancel --pending", 13, "job", "--force"),
    ("gnt-job change-priority --priority high --pending", 13, "priority", "--force"),
]

# command, exit code, what standard error or output says
UNKNOWN = [
    ("gnt-node info nosuch", 1, "Node name nosuch not found"),
    ("gnt-network info nosuch", 1, "Network name nosuch not found"),
    ("gnt-group info nosuch", 1, "Node group name nosuch not found"),
    ("gnt-filter info nosuch", 1, "Job filter 'nosuch' not known"),
    ("gnt-filter list nosuch", 0, "No filter matches nosuch"),
    ("gnt-cluster search-tags nosuch", 1, "no tag matches 'nosuch'"),
    ("gnt-os info nosuch", 1, "OS 'nosuch' is on no node"),
    ("gnt-instance console nosuch", 1, "Instance name nosuch not found"),
    ("gnt-node list-drbd nosuch", 1, "nosuch not found"),
    ("gnt-job archive 999", 1, "Job 999 was not archived: it is unknown"),
    ("gnt-job wait 999", 1, "Job 999 not found"),
    ("gnt-instance startup --tags nosuch", 0, "No instance is among those"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[DevCluster]:
    with DevCluster(2) as cluster:
        add = ("gnt-instance", "add", "-t", "diskless", "-o", "x", "--no-install", "--no-nics")
        cluster.must(*add, "-B", "memory=16M", "-n", "node1", ONE)
        with cluster.nodes[0].hosts_file.open("a") as hosts:
            hosts.write("127.254.254.254 other.example.com\n")
        yield cluster


def alone(cluster: DevCluster, command: str, node: int = 1) -> Ran:
    """Run a command without a terminal."""
    head = ("exec", "--root", str(cluster.root), f"node{node}", "--")
    return cluster.run("gnt-devcluster", *head, *shlex.split(command), start_new_session=True)


@pytest.fixture
def paused(cluster: DevCluster) -> Iterator[int]:
    """A job that a filter keeps in the queue; its number is returned."""
    uuid = cluster.must("gnt-filter", "add", "--action", "PAUSE", "--predicates", PAUSE).strip()
    try:
        yield int(cluster.must("gnt-debug", "delay", "--submit", "--print-jobid", "0"))
    finally:
        cluster.must("gnt-filter", "delete", uuid)


@pytest.mark.parametrize(("command", "code", "names", "option"), QUESTIONS)
def test_a_question_that_nobody_can_answer(
    cluster: DevCluster, paused: int, command: str, code: int, names: str, option: str
) -> None:
    ran = alone(cluster, command)
    assert ran.code == code, ran.out + ran.err
    assert names.lower() in ran.err.lower() + ran.out.lower()
    hint = f"There is no terminal to ask at, so nothing was done; {option} answers yes."
    assert ran.err.splitlines()[-1] == hint
    listed = cluster.must("gnt-instance", "list", "--no-headers", "-o", "name,status")
    assert listed.split() == [ONE, "running"]
    assert (
        cluster.must("gnt-job", "list", "--no-headers", "-o", "status", str(paused)) == "queued\n"
    )


def test_a_no_is_answered(cluster: DevCluster) -> None:
    assert shutil.which("script"), "util-linux is not installed"
    program = Path(shutil.which("script") or "")
    asked = (BIN / "gnt-devcluster", "exec", "--root", cluster.root, "node1", "--")
    command = shlex.join(map(str, (*asked, "gnt-instance", "remove", ONE)))
    ran = cluster.run(str(program), "-qec", command, "/dev/null", input="n\n")
    assert ran.code == 1
    assert f"This will remove the volumes of the instance {ONE}" in ran.out
    assert "Nothing was done." in ran.out
    assert ONE in cluster.must("gnt-instance", "list", "--no-headers", "-o", "name")


@pytest.mark.parametrize(("command", "code", "text"), UNKNOWN)
def test_what_is_not_there_is_named(
    cluster: DevCluster, command: str, code: int, text: str
) -> None:
    ran = alone(cluster, command)
    assert (ran.code, text in ran.err + ran.out) == (code, True), ran.out + ran.err


def test_a_queue_that_is_as_it_should_be(cluster: DevCluster) -> None:
    undrain = alone(cluster, "gnt-cluster queue undrain")
    assert (undrain.code, undrain.err) == (0, "The queue was not drained; nothing changed.\n")
    assert alone(cluster, "gnt-cluster queue drain") == (0, "", "")
    drain = alone(cluster, "gnt-cluster queue drain")
    assert (drain.code, drain.err) == (0, "The queue was drained already; nothing changed.\n")
    assert alone(cluster, "gnt-cluster queue undrain") == (0, "", "")


def test_a_job_behind_a_filter_says_so(cluster: DevCluster) -> None:
    uuid = cluster.must("gnt-filter", "add", "--action", "PAUSE", "--predicates", PAUSE).strip()
    try:
        ran = alone(cluster, "timeout -s INT 8 gnt-debug delay 0")
    finally:
        cluster.must("gnt-filter", "delete", uuid)
    told = re.search(r"^Job \d+ is queued; it waits for (.+)$", ran.err, re.MULTILINE)
    assert told is not None, ran.err
    assert uuid in told[1]
    assert "goes on in the background" in ran.err


def test_where_nothing_answers(cluster: DevCluster, tmp_path: Path) -> None:
    ran = alone(cluster, "gnt-node list", node=2)
    assert (ran.code, "run the command on node1.example.com" in ran.err) == (1, True), ran.err
    head = ("env", f"GANETI_ROOTDIR={tmp_path}")
    ran = alone(cluster, shlex.join([*head, "gnt-cluster", "info"]))
    assert (ran.code, "not part of a cluster" in ran.err) == (1, True), ran.err
    cluster.must("daemon-util", "stop", "ganeti-masterd")
    try:
        ran = alone(cluster, "gnt-cluster master-ping")
    finally:
        cluster.must("daemon-util", "start", "ganeti-masterd")
    assert (ran.code, "does ganeti-masterd run?" in ran.err) == (1, True), ran.err
    wait_until(lambda: alone(cluster, "gnt-cluster master-ping").code == 0, "it to answer")


def test_the_page_has_every_case() -> None:
    text = PAGE.read_text()
    for command, code, *_rest in QUESTIONS:
        assert f"| `{command}` | {code} |" in text
    rows = re.findall(r"^\| `(gnt-[^`]+)` \| \d, ", text, re.MULTILINE)
    assert rows == [command for command, *_rest in UNKNOWN]
