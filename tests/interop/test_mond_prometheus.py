"""A real Prometheus scrapes mond; the rules and the dashboard that ship ask for metrics it has."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ganeti_kernel.mond.exposition import PER_COLLECTOR, PER_DAEMON
from ganeti_kernel.mond.metrics import metric_name, steps
from ganeti_kernel.paths import Paths
from ganeti_kernel.plugins.registry import Registry
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.confd_peer import free_port
from ganeti_kernel.testing.waiting import wait_until

MONITORING = Path(__file__).parents[2] / "docs/monitoring"
RULES = MONITORING / "alerts.yml"
DASHBOARD = MONITORING / "grafana-dashboard.json"

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="Debian's package prometheus is not installed",
)


@pytest.fixture
def mond(ganeti_root: Path) -> Iterator[int]:
    port = free_port()
    words = ["-f", "--no-user-checks", "-b", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(
        [sys.executable, "-m", "ganeti_kernel.daemons.mond", *words],
        env=os.environ | {"GANETI_ROOTDIR": str(ganeti_root), "GANETI_HOSTNAME": "node1"},
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@pytest.fixture
def prometheus(mond: int, tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus that scrapes every second."""
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{RULES}']\n"
        "scrape_configs:\n"
        f"  - {{job_name: ganeti, static_configs: [{{targets: ['127.0.0.1:{mond}']}}]}}\n"
    )
    with subprocess.Popen(
        [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def ask(address: str, expression: str) -> list[dict[str, Any]]:
    query = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"{address}/api/v1/query?{query}", timeout=10) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return result
    except OSError:  # it has not started yet
        return []


def eventually(address: str, expression: str) -> list[dict[str, Any]]:
    return wait_until(lambda: ask(address, expression), f"Prometheus finds {expression}")


@needs_prometheus
@pytest.mark.timeout(120)
def test_prometheus_scrapes_without_an_exporter(prometheus: str) -> None:
    eventually(prometheus, 'up{job="ganeti"} == 1')
    eventually(prometheus, "ganeti_node_resources_memory_total_bytes > 0")
    eventually(prometheus, "count(ganeti_diskstats_reads_total) > 0")
    active = eventually(prometheus, "ganeti_collector_active == 1 and ganeti_collector_success")
    assert {"diskstats", "node-resources"} <= {item["metric"]["collector"] for item in active}
    eventually(prometheus, "ganeti_cpu_avg_load_cpus_busy >= 0")
    assert ask(prometheus, 'ALERTS{alertname="GanetiMondDown"}') == []


@needs_prometheus
def test_rules_are_valid() -> None:
    checked = subprocess.run(
        ["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, timeout=30
    )
    assert checked.returncode == 0, checked.stderr
    config = MONITORING / "prometheus.yml"
    checked = subprocess.run(
        ["promtool", "check", "config", str(config)], capture_output=True, text=True, timeout=30
    )
    assert checked.returncode == 0, checked.stderr


def known_metrics(root: Path) -> set[str]:
    """Every metric that the installed collectors and the daemon can have."""
    known = {row[0] for row in PER_COLLECTOR} | {row[0] for row in PER_DAEMON}
    registry = Registry(PluginContext(paths=Paths(root)))
    for name in registry.names("collector"):
        for field in registry.get("collector", name).FIELDS:
            words = tuple(word for word, _label in steps(field.path) if word[0] not in "[{")
            known.add(metric_name(name, words, field))
    return known


@pytest.mark.parametrize("path", [RULES, DASHBOARD], ids=lambda path: path.name)
def test_rules_and_dashboard_ask_for_metrics_that_exist(ganeti_root: Path, path: Path) -> None:
    asked = set(re.findall(r"\bganeti_[a-z0-9_]+", path.read_text()))
    assert asked
    assert asked - known_metrics(ganeti_root) == set()


def test_dashboard_is_whole() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(target["expr"] for panel in panels for target in panel["targets"])
