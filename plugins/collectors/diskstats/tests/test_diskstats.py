from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ganeti_collectors_diskstats import KEYS, Diskstats, parse

from ganeti_kernel.errors import CommandError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.collector import CollectorContract

DATA = Path(__file__).parent / "data"


class TestContract(CollectorContract):
    @pytest.fixture
    def plugin_class(self) -> type[Diskstats]:
        return Diskstats

    @pytest.fixture
    def ready(self) -> Callable[[Any], None]:
        return lambda plugin: plugin.use_inputs({"file": str(DATA / "diskstats20.txt")})


def collect(recording: str) -> Any:
    collector = Diskstats(PluginContext(paths=Paths()))
    collector.use_inputs({"file": str(DATA / recording)})
    return collector.collect()


@pytest.mark.parametrize("name", ["diskstats14", "proc_diskstats"])
def test_equals_what_upstream_reports(name: str) -> None:
    report = json.loads((DATA / f"{name}.json").read_text())
    assert collect(f"{name}.txt") == report["data"]
    assert (report["category"], report["kind"]) == (Diskstats.CATEGORY, Diskstats.KIND)
    assert ("B", report["format_version"]) == (Diskstats.VERSION, Diskstats.FORMAT_VERSION)


def test_more_columns_than_upstream_takes_change_nothing() -> None:
    assert collect("diskstats18.txt") == json.loads((DATA / "diskstats14.json").read_text())["data"]
    twenty = collect("diskstats20.txt")
    assert [disk["name"] for disk in twenty][-2:] == ["vda", "zram0"]
    assert twenty[-2]["wIOmillis"] == 627457
    assert all(list(disk) == list(KEYS) for disk in twenty)


def test_reads_this_machine() -> None:
    assert all(disk["name"] for disk in Diskstats(PluginContext(paths=Paths())).collect())


@pytest.mark.parametrize("text", ["7 0 loop0 1 2", "7 x loop0 0 0 0 0 0 0 0 0 0 0 0"])
def test_a_bad_line_is_named(text: str) -> None:
    with pytest.raises(CommandError, match="loop0"):
        parse(text)


def test_a_missing_recording_is_named() -> None:
    with pytest.raises(CommandError, match=r"cannot read .*none: No such file"):
        collect("none")
