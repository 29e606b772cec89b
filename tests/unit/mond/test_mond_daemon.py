"""The daemon as a whole, with the collectors that are installed."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.mond.conftest import Mond

ALWAYS = {"cpu-avg-load", "diskstats", "node-resources"}


def drop(mond: Mond, name: str, text: str) -> Path:
    folder = mond.root / "var/lib/ganeti/collectors"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.with_suffix(".new").write_text(text)
    return path.with_suffix(".new").rename(path)


def test_starts_without_key_or_ssconf(shared_mond: Mond) -> None:
    assert "run with their defaults: cannot read the cluster's key" in shared_mond.log.read_text()
    names = {item["name"] for item in shared_mond.get("/1/report/all").json}
    assert names >= ALWAYS


def test_inactive_collectors_say_why_and_are_not_in_all(shared_mond: Mond) -> None:
    states = shared_mond.collectors()
    inactive = {name: item for name, item in states.items() if item["state"] == "inactive"}
    assert "inst-status" in inactive
    assert "belongs to no cluster" in inactive["inst-status"]["reason"]
    reported = {item["name"] for item in shared_mond.get("/1/report/all").json}
    assert not reported & set(inactive)
    answer = shared_mond.get("/1/report/instance/inst-status")
    assert answer.status == 404
    assert answer.text.startswith("Unable to produce a report for the requested resource\n")
    assert "belongs to no cluster" in answer.text
    verbose = {item["name"]: item for item in shared_mond.get("/1/list/collectors?verbose=1").json}
    assert verbose["inst-status"]["state"] == "inactive"


def test_served_from_memory_until_fresh_is_asked(shared_mond: Mond) -> None:
    target = "/1/report/default/cpu-avg-load"
    first = shared_mond.get(target).json["timestamp"]
    assert shared_mond.get(target).json["timestamp"] == first
    before = time.time_ns()
    fresh = shared_mond.get(f"{target}?fresh=1").json["timestamp"]
    assert first < before - 1000 <= fresh
    assert shared_mond.get(target).json["timestamp"] == fresh
    assert shared_mond.get(f"{target}?fresh=0").json["timestamp"] == fresh


def test_metrics_please_promtool(shared_mond: Mond) -> None:
    answer = shared_mond.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'ganeti_collector_success{collector="diskstats",category="storage"} 1' in answer.text
    assert 'ganeti_collector_active{collector="inst-status",category="default"} 0' in (
        answer.text.replace('category="instance"', 'category="default"')
    )
    assert "ganeti_node_resources_memory_total_bytes " in answer.text
    assert "ganeti_diskstats_reads_total{" in answer.text
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (package prometheus) is not installed")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=answer.body, capture_output=True, timeout=30
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_dropped_files_come_and_go(mond: Mond) -> None:
    drop(mond, "ups.json", '{"charge": 87, "status": {"code": 0, "message": ""}}')
    drop(mond, "raid.prom", '# HELP raid_ok is it\n# TYPE raid_ok gauge\nraid_ok{a="md0"} 1\n')
    mond.reload()
    mond.eventually(
        lambda: {"ups", "raid"} <= {item["name"] for item in mond.get("/1/report/all").json},
        "the dropped files are reports",
    )
    report = mond.get("/1/report/default/ups").json
    assert (report["data"]["charge"], report["kind"]) == (87, 1)
    mond.eventually(lambda: 'raid_ok{a="md0"} 1' in mond.get("/metrics").text, "its metric")
    assert "ganeti_ups_charge 87" in mond.get("/metrics").text
    drop(mond, "ups.json", '{"charge": 86}')
    assert mond.get("/1/report/default/ups?fresh=1").json["data"] == {"charge": 86}
    (mond.root / "var/lib/ganeti/collectors/ups.json").unlink()
    mond.reload()
    mond.eventually(lambda: mond.get("/1/report/default/ups").status == 404, "it went away")
    assert "ups" not in mond.collectors()


def test_samples_survive_a_reload(mond: Mond) -> None:
    target = "/1/report/default/cpu-avg-load?fresh=1"
    mond.eventually(lambda: "cpu_total" in mond.get(target).json["data"], "a first average")
    before = mond.collectors()["cpu-avg-load"]["restarts"]
    mond.reload()
    mond.eventually(
        lambda: mond.collectors()["cpu-avg-load"]["restarts"] > before, "a process of its own anew"
    )
    assert "cpu_total" in mond.get(target).json["data"]


def test_a_killed_collector_comes_back(mond: Mond) -> None:
    victims = mond.family()
    assert victims
    for pid in victims:
        subprocess.run(["kill", "-9", str(pid)], check=True)
    mond.eventually(
        lambda: all(item["failures"] for item in mond.collectors().values() if item["rounds"]),
        "all were noticed",
    )
    mond.eventually(
        lambda: all(item["ok"] for item in mond.collectors().values()), "all work again"
    )


def test_memory_and_descriptors_stay_flat(mond: Mond) -> None:
    """Over many requests and rounds, once it is warm; the benchmark does ten times as many."""

    place = Path(f"/proc/{mond.process.pid}")

    def files() -> int:
        return len(list((place / "fd").iterdir()))

    def work(bursts: int) -> int:
        for _burst in range(bursts):
            burst = b"GET /1/list/collectors HTTP/1.1\r\nHost: x\r\n\r\n" * 500
            last = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            assert mond.raw(burst + last, shut=False).count(b"HTTP/1.1 200 OK") == 501
            mond.get("/1/report/default/cpu-avg-load?fresh=1")
        return int((place / "statm").read_text().split()[1]) * 4096

    before, files_before = work(10), files()
    assert work(40) - before < 4 << 20
    mond.eventually(lambda: files() <= files_before + 1, "as many descriptors as before")


def test_stops_cleanly(ganeti_root: Path, mond: Mond) -> None:
    children = mond.family()
    pid_file = mond.root / "var/run/ganeti/ganeti-mond.pid"
    assert pid_file.read_text().strip() == str(mond.process.pid)
    assert mond.stop() == 0
    assert not pid_file.exists()
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_collectors_end_with_a_killed_daemon(mond: Mond) -> None:
    children = mond.family()
    mond.process.kill()
    mond.process.wait(30)
    end = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
