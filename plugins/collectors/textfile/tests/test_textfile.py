from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ganeti_collectors_textfile import Textfile, TextfileSource, directory

from ganeti_kernel.errors import CommandError, PluginError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.specs.collector import KIND_PERFORMANCE, KIND_STATUS

PROM = """\
# HELP raid_degraded whether an array lacks a disk
# TYPE raid_degraded gauge
raid_degraded{array="md0"} 1
raid_degraded{array="md1"} 0
"""


class Drop:
    def __init__(self, root: Path) -> None:
        context = PluginContext(paths=Paths(root), node_name="node1")
        self.source = TextfileSource(context)
        self.folder = directory(context.paths)
        self.folder.mkdir(parents=True)

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def collect(self, name: str) -> tuple[Textfile, Any]:
        collector = self.source.load(name)
        assert isinstance(collector, Textfile)
        return collector, collector.collect()


@pytest.fixture
def drop(ganeti_root: Path) -> Drop:
    return Drop(ganeti_root)


def test_plain_data(drop: Drop) -> None:
    drop.file("ups.json", '{"charge": 87}')
    collector, data = drop.collect("ups")
    assert data == {"charge": 87}
    assert (collector.CATEGORY, collector.KIND) == (None, KIND_PERFORMANCE)
    assert collector.describe().name == "ups"


def test_whole_report(drop: Drop) -> None:
    text = (
        '{"category": "storage", "version": "3", "data": {"status": {"code": 4, "message": "x"}}}'
    )
    drop.file("raid.json", text)
    collector, data = drop.collect("raid")
    assert data["status"]["code"] == 4
    assert (collector.CATEGORY, collector.KIND) == ("storage", KIND_STATUS)
    assert collector.VERSION == "3"


def test_prometheus_text(drop: Drop) -> None:
    drop.file("raid.prom", PROM)
    collector, data = drop.collect("raid")
    assert data["metrics"][0] == {"name": "raid_degraded", "labels": {"array": "md0"}, "value": 1.0}
    assert collector.metrics(data) == PROM


def test_a_replaced_file_is_read_anew(drop: Drop) -> None:
    drop.file("ups.json", "1")
    collector, _data = drop.collect("ups")
    drop.file("new", "2").rename(drop.folder / "ups.json")
    assert collector.collect() == 2


def test_an_old_file_is_told(drop: Drop) -> None:
    path = drop.file("ups.json", '{"valid_for": 60, "data": 1}')
    assert drop.collect("ups")[1] == 1
    then = time.time() - 300
    os.utime(path, (then, then))
    with pytest.raises(CommandError, match="300 seconds old"):
        drop.collect("ups")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "{", "not a report in JSON"),
        ("a.json", '{"data": 1, "category": "car"}', "no category 'car'"),
        ("a.json", '{"data": 1, "kind": 7}', "kind is 0 or 1"),
        ("a.json", '{"data": 1, "colour": 7}', "colour"),
        ("a.prom", "raid_degraded{ 1", "not Prometheus text"),
    ],
)
def test_what_is_no_report_is_told(drop: Drop, name: str, text: str, said: str) -> None:
    drop.file(name, text)
    with pytest.raises(CommandError, match=said):
        drop.collect("a")


def test_other_files_are_left_alone(drop: Drop) -> None:
    for name in (".hidden.json", "README", "Bad Name.json", "a.json.tmp", "x.json"):
        drop.file(name, "1")
    assert drop.source.names() == ["x"]
    assert drop.source.location("x") == str(drop.folder / "x.json")


def test_two_files_of_one_name_are_told(drop: Drop) -> None:
    drop.file("a.json", "1")
    drop.file("a.prom", PROM)
    with pytest.raises(PluginError, match="both report a"):
        drop.source.load("a")


def test_no_directory_no_reports(ganeti_root: Path) -> None:
    assert TextfileSource(PluginContext(paths=Paths(ganeti_root))).names() == []
