from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ganeti_collectors_xen_cpu_avg_load import XenCpuAvgLoad, parse

from ganeti_kernel.errors import CommandError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.collector import CollectorContract

HEAD = "      NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  MAXMEM(k) MAXMEM(%) VCPUS\n"
TABLE = HEAD + "  Domain-0 -----r     184000    1.0    1048576   12.5   no limit       n/a     2\n"


class Xentop:
    """A scripted xentop: prints what is in a file."""

    def __init__(self, place: Path) -> None:
        self.output = place / "output"
        program = place / "xentop"
        program.write_text(f'#!/bin/sh\nexec cat "{self.output}"\n')
        program.chmod(0o755)
        self.set()

    def set(self, **seconds: int) -> None:
        lines = [
            f"  {name.replace('_', '.')} --b---  {value}  0.0  131072  1.5  131072  1.5  1\n"
            for name, value in seconds.items()
        ]
        self.output.write_text(TABLE + "".join(lines))


@pytest.fixture
def xentop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Xentop:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return Xentop(tmp_path)


@pytest.fixture
def collector(xentop: Xentop) -> XenCpuAvgLoad:
    return XenCpuAvgLoad(PluginContext(paths=Paths()))


class TestContract(CollectorContract):
    @pytest.fixture
    def plugin_class(self) -> type[XenCpuAvgLoad]:
        return XenCpuAvgLoad

    @pytest.fixture
    def ready(self, xentop: Xentop) -> Callable[[Any], None]:
        return lambda _plugin: xentop.set(one=10, two=20)


def test_average_of_a_domain(collector: XenCpuAvgLoad, xentop: Xentop) -> None:
    for step in range(21):
        xentop.set(web_example_com=step * 5, idle=7)
        collector.update(step * 10)
    assert collector.collect() == {"idle": 0.0, "web.example.com": 0.5}


def test_too_short_a_span_is_not_reported(collector: XenCpuAvgLoad, xentop: Xentop) -> None:
    for now in (0, 50, 99):
        xentop.set(web=now)
        collector.update(now)
    assert collector.collect() == {}


def test_a_domain_that_went_away_is_dropped(collector: XenCpuAvgLoad, xentop: Xentop) -> None:
    for now in (0, 60, 120):
        xentop.set(web=now)
        collector.update(now)
    assert collector.collect() == {"web": 1.0}
    xentop.set()
    collector.update(200)
    assert "web" in collector.collect()
    collector.update(221)
    assert collector.collect() == {}


def test_a_restarted_domain_begins_at_zero(collector: XenCpuAvgLoad, xentop: Xentop) -> None:
    for now, used in ((0, 1000), (50, 1050), (100, 25), (150, 75)):
        xentop.set(web=used)
        collector.update(now)
    assert collector.collect()["web"] == pytest.approx((50 + 25 + 50) / 150)


@pytest.mark.parametrize("text", ["", "Name ID\n", HEAD + " web --b--- many\n", HEAD + " web\n"])
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="xentop printed"):
        parse(text)


def test_inactive_without_xentop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    reason = XenCpuAvgLoad(PluginContext(paths=Paths())).precondition()
    assert reason is not None
    assert "xentop" in reason
