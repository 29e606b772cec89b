"""Which collectors run, and how often, is the cluster's to say: asked of a real confd."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ganeti_kernel.confd.client import ConfdClient
from ganeti_kernel.daemons import lookup
from ganeti_kernel.daemons.lookup import ConfdLookup
from ganeti_kernel.errors import ConfdClientError
from ganeti_kernel.mond.board import ACTIVE, DISABLED
from ganeti_kernel.mond.service import Options, Service
from ganeti_kernel.paths import Paths
from ganeti_kernel.specs import Description, PluginContext, hookimpl
from ganeti_kernel.specs.collector import Collector

if TYPE_CHECKING:
    from tests.unit.mond.conftest import Mond

CONFIG = Path(__file__).parents[2] / "data/config/config.data.rich1.json"


OURS = [sys.executable, "-m", "ganeti_kernel.daemons.confd"]
UPSTREAM = ["/usr/sbin/ganeti-confd"]


class Confd:
    """A confd, serving a recorded configuration with some collectors set otherwise."""

    def __init__(self, root: Path, program: list[str]) -> None:
        self.root = root
        self.address = f"127.{random.randint(64, 127)}.{random.randint(0, 255)}.1"
        self.data = root / "var/lib/ganeti"
        for part in (self.data, root / "var/run/ganeti", root / "var/log/ganeti"):
            part.mkdir(parents=True)
        (self.data / "hmac.key").write_text("a key of this test\n")
        (self.data / "ssconf_master_candidates_ips").write_text(f"{self.address}\n")
        (self.data / "ssconf_hypervisor_list").write_text("fake\n")
        (self.data / "ssconf_cluster_name").write_text("cluster.example.com\n")
        config: dict[str, Any] = json.loads(CONFIG.read_text())
        collectors = config["cluster"]["data_collectors"]
        collectors["diskstats"]["active"] = False
        collectors["cpu-avg-load"]["interval"] = 1_500_000
        (self.data / "config.data").write_text(json.dumps(config))
        words = ["-f", "--no-user-checks", "-b", self.address]
        self.process = subprocess.Popen(
            [*program, *words],
            env=os.environ | {"GANETI_ROOTDIR": str(root), "GANETI_HOSTNAME": "node1.example.com"},
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                ConfdLookup(Paths(self.root)).ask(0, None)
            except ConfdClientError:
                continue
            return
        raise AssertionError("confd does not answer")


@pytest.fixture(
    params=[
        pytest.param(OURS, id="our confd"),
        pytest.param(
            UPSTREAM,
            id="upstream's confd",
            marks=[
                pytest.mark.peer,
                pytest.mark.skipif(
                    not Path(UPSTREAM[0]).exists(), reason="Debian's ganeti is not installed"
                ),
            ],
        ),
    ]
)
def confd(ganeti_root: Path, request: pytest.FixtureRequest) -> Iterator[Confd]:
    made = Confd(ganeti_root, request.param)
    try:
        made.wait()
        yield made
    finally:
        made.process.send_signal(signal.SIGTERM)
        made.process.wait(20)


@pytest.fixture
def mond(confd: Confd, mond_class: type[Mond]) -> Iterator[Mond]:
    made = mond_class(confd.root)
    try:
        yield made
    finally:
        made.stop()


def test_the_clusters_settings_hold(mond: Mond) -> None:
    states = mond.collectors()
    assert states["diskstats"]["state"] == "disabled"
    assert mond.get("/1/report/storage/diskstats").status == 404
    assert "diskstats" not in {item["name"] for item in mond.get("/1/report/all").json}
    assert states["cpu-avg-load"]["interval"] == 1.5
    assert states["inst-status-xen"]["state"] == "disabled"  # no Xen among the hypervisors
    assert states["node-resources"]["state"] == "active"  # nothing is said of it


def test_instances_come_from_confd(mond: Mond) -> None:
    data = mond.get("/1/report/instance/inst-status?fresh=1").json["data"]
    assert [item["name"] for item in data["instances"]] == ["inst2.example.com"]
    assert data["instances"][0]["adminState"] == "up"
    assert data["status"]["code"] == 4


# -- changes while it runs, without waiting for the next question ------------------------------


class Steady(Collector):
    INTERVAL = 0.5

    @hookimpl
    def describe(self) -> Description:
        return Description(name="steady", version="1", summary="for a test")

    @hookimpl
    def collect(self) -> Any:
        return 1


class Catalogue:
    def installed(self) -> Sequence[str]:
        return ["steady"]

    def offered(self) -> Sequence[str]:
        return ["steady"]

    def load(self, name: str) -> Collector:
        return Steady(PluginContext(paths=Paths()))

    def rescan(self) -> None:
        return


def test_switched_off_and_on_while_it_runs() -> None:
    answers: list[Any] = [None]

    async def source() -> Any:
        return answers[-1]

    async def until(service: Service, state: str, interval: float) -> None:
        async with asyncio.timeout(20):
            while True:
                (standing,) = service.board
                if (standing.state, standing.interval) == (state, interval):
                    return
                await asyncio.sleep(0.02)

    async def main() -> None:
        options = Options(node_name="node1", address="127.0.0.1")
        service = Service(Catalogue(), options, source)
        await service.start()
        try:
            await until(service, ACTIVE, 0.5)
            answers.append({"steady": {"active": False, "interval": 5_000_000}})
            await service._ask_settings()
            await until(service, DISABLED, 5.0)
            assert service.board.all_reports() == b"[]"
            answers.append({"steady": {"active": True, "interval": 2_000_000}})
            await service._ask_settings()
            await until(service, ACTIVE, 2.0)
            answers.append(None)  # confd is gone: what was said last holds
            await service._ask_settings()
            await until(service, ACTIVE, 2.0)
        finally:
            await service.stop()

    asyncio.run(main())


# -- the look-up that collectors use -----------------------------------------------------------


def test_a_silent_confd_is_not_waited_for_twice(
    ganeti_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = Paths(ganeti_root)
    paths.data_dir.mkdir(parents=True)
    paths.hmac_key.write_text("key")
    monkeypatch.setattr(lookup, "DEADLINE", 0.3)
    asked = ConfdLookup(paths, address="127.0.0.1", port=9)
    with pytest.raises(ConfdClientError) as first:
        asked.ask(8, "node1")

    def asked_again(*_args: Any, **_options: Any) -> Any:
        raise AssertionError("confd is asked again")

    monkeypatch.setattr(ConfdClient, "of_node", asked_again)
    with pytest.raises(ConfdClientError) as second:
        asked.ask(8, "node1")
    assert str(second.value) == str(first.value)


def test_without_a_key_the_reason_is_told(ganeti_root: Path) -> None:
    with pytest.raises(ConfdClientError, match="key"):
        ConfdLookup(Paths(ganeti_root)).ask(8, "node1")


def test_an_error_answer_is_an_error(confd: Confd) -> None:
    with pytest.raises(ConfdClientError, match="request 8"):
        ConfdLookup(Paths(confd.root)).ask(8, "nosuch.example.com")
