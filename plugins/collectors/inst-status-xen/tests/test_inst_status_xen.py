from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ganeti_collectors_inst_status_xen import XenInstanceStatus
from ganeti_collectors_inst_status_xen.domains import Hung, parse_list, parse_uptime

from ganeti_kernel.errors import CommandError, ConfdClientError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.collector import CollectorContract

DATA = Path(__file__).parent / "data"
VERDICTS = json.loads((DATA / "upstream-verdicts.json").read_text())
NAME = "inst2.example.com"

DOMAIN = """\
(domain
    (domid {id})
    (on_crash restart)
    (vcpus 2)
    (name {name})
    (cpu_time {cpu})
    (image (linux (kernel ) (superpages 0)))
    (state {state})
)
"""
TABLE = """\
Name                                        ID   Mem VCPUs\tState\tTime(s)
Domain-0                                     0  1024     2     r-----   18400.1
"""
UPTIME = f"""\
Name                                ID Uptime
Domain-0                             0 10 days,  1:02:03
{NAME}                    7  0:10:20
"""


class Confd:
    def __init__(self, admin: str = "up") -> None:
        self.admin = admin

    def ask(self, number: int, query: Any) -> Any:
        assert (number, query) == (8, "node1.example.com")
        mine = {"name": NAME, "uuid": "df3241d3", "admin_state": self.admin, "mtime": 1795518071.7}
        return [[mine, {"uuid": "x", "forthcoming": True, "name": "later"}], [{"name": "other"}]]


class Xl:
    """A scripted xl. Every second list comes from another file."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.joinpath("uptime").write_text(UPTIME)
        script = place / "xl"
        script.write_text(
            f'#!/bin/sh\ncd {place}\ncase "$*" in\n'
            '"list --long") mv first now 2>/dev/null || mv second now; cat now;;\n'
            '"list") cat table;;\nuptime) cat uptime;;\nesac\n'
        )
        script.chmod(0o755)

    def set(self, state: str | None, *cpu: float) -> None:
        host = DOMAIN.format(id=0, name="Domain-0", cpu=184.4, state="r-----")
        for name, used in zip(("first", "second"), cpu, strict=True):
            guest = DOMAIN.format(id=7, name=NAME, cpu=used, state=state) if state else ""
            self.place.joinpath(name).write_text(host + guest)

    def set_table(self, state: str, cpu: float) -> None:
        for name in ("first", "second"):
            self.place.joinpath(name).write_text('[{"domid": 7, "config": {}}]')
        line = f"{NAME}                            7   128     2     {state}      {cpu}\n"
        self.place.joinpath("table").write_text(TABLE + line)


@pytest.fixture
def xl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Xl:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return Xl(tmp_path)


def collector(root: Path, admin: str = "up") -> XenInstanceStatus:
    return XenInstanceStatus(
        PluginContext(paths=Paths(root), node_name="node1.example.com", cluster=Confd(admin))
    )


class TestContract(CollectorContract):
    @pytest.fixture
    def plugin_class(self) -> type[XenInstanceStatus]:
        return XenInstanceStatus

    @pytest.fixture
    def context(self, ganeti_root: Path) -> PluginContext:
        return collector(ganeti_root).context

    @pytest.fixture
    def ready(self, xl: Xl) -> Callable[[Any], None]:
        return lambda _plugin: xl.set_table("-b----", 10.0)


@pytest.mark.parametrize(
    "verdict",
    VERDICTS,
    ids=lambda item: f"{item['admin']}:{item['state']}:{item['same_cpu_time']}",
)
def test_equals_what_upstream_reports(ganeti_root: Path, xl: Xl, verdict: dict[str, Any]) -> None:
    xl.set(verdict["state"], 10.0, 10.0 if verdict["same_cpu_time"] else 10.5)
    data = collector(ganeti_root, verdict["admin"]).collect()
    assert data["status"] == verdict["overall"]
    assert data["instances"] == [
        {
            "name": NAME,
            "uuid": "df3241d3",
            "adminState": verdict["admin"],
            "actualState": verdict["actualState"],
            "uptime": "0:10:20",
            "mtime": 1795518071.7,
            "state_reason": [],
            "status": verdict["status"],
        }
    ]


def test_reason_trail(ganeti_root: Path, xl: Xl) -> None:
    made = collector(ganeti_root)
    folder = made.context.paths.run_dir / "instance-reason"
    folder.mkdir(parents=True)
    trail = [["gnt:client:gnt-instance", "startup", 1795518071719655000]]
    (folder / NAME).write_text(json.dumps(trail))
    xl.set("r-----", 1.0, 2.0)
    assert made.collect()["instances"][0]["state_reason"] == trail
    (folder / NAME).write_text("{")
    xl.set("r-----", 1.0, 2.0)
    assert made.collect()["instances"][0]["state_reason"] == []


def test_coarse_times_need_patience(ganeti_root: Path, xl: Xl) -> None:
    made = collector(ganeti_root)
    states = []
    for now, cpu in ((0, 5.0), (30, 5.0), (59, 5.0), (60, 5.0), (65, 5.1), (100, 5.1)):
        xl.set_table("-b----", cpu)
        made.update(now)
        states.append(made.collect()["instances"][0]["actualState"])
    assert states == ["blocked", "blocked", "blocked", "hung", "blocked", "blocked"]


def test_xl_that_fails_is_a_bad_status(ganeti_root: Path, xl: Xl) -> None:
    data = collector(ganeti_root).collect()
    assert data["instances"] == []
    assert data["status"]["code"] == 4
    assert data["status"]["message"].startswith("Unable to receive the list of instances: ")


def test_without_confd_there_is_no_report(ganeti_root: Path, xl: Xl) -> None:
    made = XenInstanceStatus(PluginContext(paths=Paths(ganeti_root), node_name="node1"))
    with pytest.raises(ConfdClientError):
        made.collect()


@pytest.mark.parametrize("text", ["", "hello", TABLE + "web 1 2\n", "(domain\n    (domid 3)\n)"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="xl list printed"):
        parse_list(text)


def test_uptime_of_days() -> None:
    assert parse_uptime(UPTIME) == {"Domain-0": "10 days,  1:02:03", NAME: "0:10:20"}


def test_patience_survives_the_process() -> None:
    domains = parse_list(TABLE)
    first, second = Hung(), Hung()
    first.mark(0.0, domains, domains)
    second.restore(first.save())
    assert second.mark(61.0, domains, domains)["Domain-0"].state == "hung"
