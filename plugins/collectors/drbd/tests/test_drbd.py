from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ganeti_collectors_drbd as module
import pytest
from ganeti_collectors_drbd import Drbd

from ganeti_kernel.errors import CommandError, ConfdClientError
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import PluginContext
from ganeti_kernel.testing.collector import CollectorContract

DATA = Path(__file__).parent / "data"
PAIRING = str(DATA / "instance-minor-pairing.txt")
RECORDINGS = sorted(path.stem for path in DATA.glob("proc_drbd*.txt"))


class TestContract(CollectorContract):
    @pytest.fixture
    def plugin_class(self) -> type[Drbd]:
        return Drbd

    @pytest.fixture
    def ready(self) -> Callable[[Any], None]:
        inputs = {
            "drbd-status": str(DATA / "proc_drbd83_sync_want.txt"),
            "drbd-pairing": str(DATA / "instance-minor-pairing.txt"),
        }
        return lambda plugin: plugin.use_inputs(inputs)


class Silent:
    def ask(self, number: int, query: Any) -> Any:
        raise ConfdClientError("nobody answers")


def collect(status: Path, **inputs: str) -> Any:
    made = Drbd(PluginContext(paths=Paths(), node_name="node1", cluster=Silent()))
    made.use_inputs({"drbd-status": str(status)} | inputs)
    return made.collect()


@pytest.mark.parametrize("name", RECORDINGS)
def test_equals_what_upstream_reports(name: str) -> None:
    report = json.loads((DATA / f"{name}.json").read_text())
    assert collect(DATA / f"{name}.txt", **{"drbd-pairing": PAIRING}) == report["data"]
    assert (report["category"], report["kind"]) == (Drbd.CATEGORY, Drbd.KIND)


def test_without_confd_no_instance_is_named() -> None:
    expected = json.loads((DATA / "proc_drbd84_nopairing.json").read_text())["data"]
    assert collect(DATA / "proc_drbd84.txt") == expected


@pytest.mark.parametrize(
    ("state", "code", "text"),
    [
        ("StandAlone", 4, "No network config available"),
        ("Disconnecting", 4, "The peer is being disconnected"),  # upstream cannot read this word
        ("TearDown", 4, "The peer is closing the connection"),
        ("Unconnected", 1, "Trying to establish a network connection"),
        ("WFReportParams", 1, "Trying to establish a network connection"),
        ("Timeout", 1, "Communication problems between the peers"),
        ("BrokenPipe", 1, "Communication problems between the peers"),
        ("NetworkFailure", 1, "Communication problems between the peers"),
        ("ProtocolError", 1, "Communication problems between the peers"),
        ("VerifyS", 0, ""),
        ("Ahead", 0, ""),
    ],
)
def test_verdicts(tmp_path: Path, state: str, code: int, text: str) -> None:
    status = tmp_path / "drbd"
    status.write_text(
        f"version: 8.4.2 (api:1/proto:86-101)\n 3: cs:{state} ro:Primary/Unknown "
        "ds:UpToDate/DUnknown C r-----\n    ns:0 nr:0 dw:0 dr:0 al:0 bm:0 lo:0 pe:0 ua:0 ap:0\n"
    )
    message = f"\n3: {text}" if text else ""
    assert collect(status)["status"] == {"code": code, "message": message}


def test_drbd_nine() -> None:
    data = collect(DATA / "drbdsetup9.json")
    assert [
        (item["minor"], item["connectionState"], item.get("peer"), item["remoteState"])
        for item in data["deviceInfos"]
    ] == [
        (1000, "Connected", "node2", "UpToDate"),
        (1000, "WFConnection", "node3", "DUnknown"),
        (1001, "SyncSource", "node2", "Inconsistent"),
        (1001, "WFConnection", "node3", "DUnknown"),
        (1002, "StandAlone", None, "DUnknown"),
    ]
    assert data["deviceInfos"][2]["syncStatus"] == {"percentage": 41.5}
    assert data["deviceInfos"][2]["perfIndicators"]["outOfSync"] == 613416
    assert data["status"]["code"] == 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello\n",
        "[1]",
        "[{}]",
        "version: 8.4.2\n 1: cs:Connected "
        "ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n    ns:many",
    ],
)
def test_what_is_not_a_status_is_refused(tmp_path: Path, text: str) -> None:
    status = tmp_path / "drbd"
    status.write_text(text)
    with pytest.raises(CommandError, match="drbd"):
        collect(status)


def test_a_bad_pairing_is_named(tmp_path: Path) -> None:
    pairing = tmp_path / "pairing"
    pairing.write_text('[["a", "b"]]')
    with pytest.raises(CommandError, match="pairing is not a pairing"):
        collect(DATA / "proc_drbd84.txt", **{"drbd-pairing": str(pairing)})


def test_a_node_with_drbd_nine_asks_drbdsetup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = tmp_path / "proc"
    status.write_text("version: 9.1.22 (api:2/proto:86-121)\nTransports (api:20): tcp (9.1.22)\n")
    program = tmp_path / "drbdsetup"
    program.write_text(f"#!/bin/sh\nexec cat {DATA / 'drbdsetup9.json'}\n")
    program.chmod(0o755)
    monkeypatch.setattr(module, "STATUS_FILE", str(status))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    made = Drbd(PluginContext(paths=Paths()))
    assert made.precondition() is None
    data = made.collect()
    assert data["versionInfo"] == {"version": "9.1.22", "api": "2", "proto": "86-121"}
    assert len(data["deviceInfos"]) == 5


def test_inactive_without_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STATUS_FILE", "/nonexistent/drbd")
    assert "not loaded" in str(Drbd(PluginContext(paths=Paths())).precondition())
