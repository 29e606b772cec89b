from __future__ import annotations

import os

import ganeti_collectors_cpu_avg_load as module
import pytest
from ganeti_collectors_cpu_avg_load import CpuAvgLoad, parse

from ganeti_kernel.errors import CommandError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.collector import CollectorContract

TICKS = os.sysconf("SC_CLK_TCK")
STAT = """\
cpu  {0} 1 2 1000 4 5 6 7 8 9
cpu0 {1} 0 0 500 0 0 0 0 0 0
cpu1 {2} 0 0 500 0 0 0 0 0 0
intr 1 2 3
ctxt 4
"""


class TestContract(CollectorContract):
    @pytest.fixture
    def plugin_class(self) -> type[CpuAvgLoad]:
        return CpuAvgLoad


class Node:
    """A node whose CPUs can be made busy."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.busy = [0.0, 0.0]
        self.now = 1000.0
        monkeypatch.setattr(module, "read_text", lambda _path: self.stat())
        self.collector = CpuAvgLoad(PluginContext(paths=Paths()))

    def stat(self) -> str:
        ticks = [int(seconds * TICKS) for seconds in self.busy]
        return STAT.format(sum(ticks), *ticks)

    def run(self, seconds: float, *busy: float) -> None:
        self.now += seconds
        self.busy = [old + new for old, new in zip(self.busy, busy, strict=True)]
        self.collector.update(self.now)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(monkeypatch)


def test_average_is_busy_cpus(node: Node) -> None:
    node.run(0, 0, 0)
    node.run(10, 10, 5)
    assert node.collector.collect() == {"cpu_number": 2, "cpus": [1.0, 0.5], "cpu_total": 1.5}


def test_one_sample_is_too_few(node: Node) -> None:
    assert "error" in node.collector.collect()
    node.run(0, 0, 0)
    assert "error" in node.collector.collect()


def test_window_forgets(node: Node) -> None:
    node.run(0, 0, 0)
    node.run(5, 5, 5)
    for _ in range(130):
        node.run(5, 0, 2.5)
    assert node.collector.collect()["cpus"] == [0.0, 0.5]


def test_counter_that_begins_again(node: Node) -> None:
    node.run(0, 1000, 1000)
    node.run(10, 10, 10)
    node.busy = [0.0, 0.0]
    node.run(10, 10, 10)
    assert node.collector.collect()["cpus"] == pytest.approx([1.0, 1.0])


def test_counter_that_is_corrected_does_not_jump(node: Node) -> None:
    node.run(0, 1000, 1000)
    node.run(10, 5, -0.5)
    assert node.collector.collect()["cpus"] == pytest.approx([0.5, 0.0])


def test_clock_set_back(node: Node) -> None:
    node.run(0, 0, 0)
    node.run(10, 10, 10)
    node.run(-600, 5, 5)
    assert "error" in node.collector.collect()
    node.run(10, 5, 5)
    assert node.collector.collect()["cpus"] == pytest.approx([0.5, 0.5])


def test_parse() -> None:
    assert parse(STAT.format(100, 40, 60)) == {"cpu": 142, "cpu0": 40, "cpu1": 60}


@pytest.mark.parametrize("text", ["", "intr 1\n", "cpu a b c d\n", "cpu 1 2\n"])
def test_what_is_no_statistics_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="/proc/stat"):
        parse(text)
