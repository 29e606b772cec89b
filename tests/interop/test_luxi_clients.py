"""Debian's own programs drive our master daemon: each row of the table is run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import ganeti_kernel.operations  # noqa: F401 # registers what there is
from ganeti_kernel.jobs.operation import OPERATIONS
from ganeti_kernel.testing.devcluster import DevCluster
from tests.interop import luxi_clients
from tests.interop.luxi_clients import TABLE, Row

UPSTREAM = {"burnin": Path("/usr/lib/ganeti/tools/burnin"), "hbal": Path("/usr/bin/hbal")}
TIME = re.compile(r"\w{3} \w{3} +\d+ [\d:]{8} \d{4}")
NODE = "node1.example.com"

peer = pytest.mark.skipif(
    not Path("/usr/share/ganeti/3.0").is_dir(), reason="Debian's ganeti is not installed"
)


class Answer(NamedTuple):
    """How a program ended and what it printed, without times."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return f"{self.out}\n{self.err}".strip()

    def sorted(self) -> Answer:
        return self._replace(out="\n".join(sorted(self.out.splitlines())))

    def is_like(self, ours: Answer) -> bool:
        """Ours may say more on standard error where upstream's is silent."""
        return self[:2] == ours[:2] and self.err in ("", ours.err)


class Programs:
    """Runs Debian's programs and ours as on the first node of a cluster."""

    def __init__(self, cluster: DevCluster) -> None:
        # upstream's programs want a root directory that is named like the node
        self.root = cluster.root / NODE
        self.root.symlink_to(cluster.nodes[0].root)
        batch = cluster.root / "batch.json"
        batch.write_text(json.dumps([wish(f"batch{number}") for number in (1, 2)]))
        self.names = {"filter": "", "job": "", "batch": str(batch)}

    def run(self, program: Path, *args: str) -> Answer:
        done = subprocess.run(
            [program, *args],
            env={
                "GANETI_ROOTDIR": str(self.root),
                "GANETI_HOSTNAME": NODE,
                "PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.defpath}",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        out, err = (TIME.sub("TIME", text).strip() for text in (done.stdout, done.stderr))
        return Answer(done.returncode, out, err)

    def upstream(self, row: Row) -> Answer:
        name, *args = self._words(row)
        return self.run(UPSTREAM.get(name, Path("/usr/sbin") / name), *args)

    def ours(self, row: Row) -> Answer:
        name, *args = self._words(row)
        return self.run(Path(sys.executable).parent / name, *args)

    def _words(self, row: Row) -> list[str]:
        return [self._filled(word) for word in row.words]

    def _filled(self, word: str) -> str:
        for name, value in self.names.items():
            word = word.replace(f"{{{name}}}", value)
        return word

    def learn(self, row: Row, text: str) -> None:
        """Take up names that later rows use."""
        if row.command.startswith("gnt-filter add"):
            self.names["filter"] = text
        if found := re.match(r"(\d+): ", text):
            self.names["job"] = found[1]


def wish(name: str) -> dict[str, Any]:
    """An instance as `batch-create` reads it."""
    return {
        "instance_name": name,
        "mode": "create",
        "disk_template": "file",
        "disks": [{"size": 8}],
        "nics": [{}],
        "os_type": "noop",
        "name_check": False,
        "ip_check": False,
        "beparams": {"maxmem": 64, "minmem": 64},
    }


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    with DevCluster(2) as cluster:
        cluster.write_os("noop")
        yield Programs(cluster)


@peer
@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", TABLE)
def test_results_are_as_the_table_says(programs: Programs, name: str) -> None:
    wrong = [text for row in TABLE[name] if (text := check(programs, row))]
    assert wrong == []


def check(programs: Programs, row: Row) -> str | None:
    """Run a row; returns what is not as it should be."""
    if row.result == "outside":
        return None
    answer = programs.upstream(row)
    code, text = answer.code, answer.text
    programs.learn(row, text)
    told = f"{row.command}: exit code {code}\n{text}"
    if row.opcode:
        return None if answered(row, code, text) else told
    if row.result == "same":
        ours = programs.ours(row)
        likes = (answer.sorted(), ours.sorted()) if row.unordered else (answer, ours)
        return (
            None
            if likes[0].is_like(likes[1])
            else f"{told}\nours: exit code {ours.code}\n{ours.text}"
        )
    good = code == (0 if row.result == "done" else 1) and "Traceback" not in text
    return None if good and re.search(row.text, text) else told


def answered(row: Row, code: int, text: str) -> bool:
    """What is there is done, or refused with a text; what is not is refused by name."""
    if row.opcode not in OPERATIONS:
        return code == 1 and f"{row.opcode} is not supported" in text
    return f"{row.opcode} is not supported" not in text and (code == 0 or bool(text))


def test_the_page_is_made_from_the_table() -> None:
    assert luxi_clients.PAGE.read_text() == luxi_clients.render()


@peer
@pytest.mark.peer
def test_every_command_of_upstream_is_in_the_table() -> None:
    known = {" ".join(row.words[:2]) for rows in TABLE.values() for row in rows}
    missing = []
    for program in sorted(Path("/usr/sbin").glob("gnt-*")):
        done = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
        commands = re.findall(r"^ ([a-z][a-z-]+) +- ", done.stdout, re.MULTILINE)
        assert commands, program
        missing += [name for item in commands if (name := f"{program.name} {item}") not in known]
    assert missing == []
