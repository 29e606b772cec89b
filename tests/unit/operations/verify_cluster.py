"""A recorded cluster for tests of `gnt-cluster verify`, and a verification that runs on it.

Recorded of three real nodes: `config.data` and each node's answer. Faults are put into the JSON
texts, so that a verification reads them as it would read them from a node.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ganeti_kernel.config import datafile
from ganeti_kernel.config.ssconf import is_candidate, ssconf_values
from ganeti_kernel.errors import RemoteError
from ganeti_kernel.node.health import ssconf_sum
from ganeti_kernel.objects import ConfigView, Node
from ganeti_kernel.operations.verify import gather
from ganeti_kernel.operations.verify.files import SECRETS
from ganeti_kernel.operations.verify.steps import VerifyConfig, VerifyGroup
from ganeti_kernel.rpc.calls import CALLS
from ganeti_kernel.rpc.client import Result

DATA = Path(__file__).parents[2] / "data" / "verify"
Json = dict[str, Any]

ARGS = {
    "error_codes": True,
    "ignore_errors": [],
    "verbose": False,
    "debug_simulate_errors": False,
    "skip_checks": [],
    "busy_instances": [],
    "busy_nodes": [],
}


class Told(NamedTuple):
    """A line of a verification in its form for programs."""

    severity: str
    code: str
    item: str
    text: str

    def names(self, thing: str) -> bool:
        return thing == self.item or thing in self.text


def parse(lines: Iterable[str]) -> list[Told]:
    """The findings among a verification's lines."""
    out = []
    for line in lines:
        if line.startswith("  - ") and line.count(":") >= 4 and "NOTICE" not in line:
            severity, code, _kind, item, text = line.removeprefix("  - ").split(":", 4)
            out.append(Told(severity, code, item, text))
    return out


class Recorded:
    """The cluster as JSON: `config`, and by node name `reports`, `running`; by UUID `disks`."""

    def __init__(self) -> None:
        self.config: Json = json.loads((DATA / "config.data.json").read_text())
        recorded: Json = json.loads((DATA / "reports.json").read_text())
        self.reports: Json = recorded["reports"]
        self.asked: tuple[float, float] = tuple(recorded["asked"])
        self.master_files: dict[str, str | None] = recorded["master_files"]
        names = {uuid: node["name"] for uuid, node in self.config["nodes"].items()}
        self.running: dict[str, list[str]] = {
            names[uuid]: list(found) for uuid, found in recorded["running"].items()
        }
        self.disks: dict[str, Json] = {
            uuid: {"exists": True, "size": disk["size"] << 20}
            for uuid, disk in self.config["disks"].items()
        }
        self.volumes: dict[str, list[Json]] = {}
        self.silent: set[str] = set()
        self.sealed = False
        _add_network(self.config)

    def by_name(self, table: str, name: str) -> Json:
        found: Json = next(
            value for value in self.config[table].values() if value.get("name") == name
        )
        return found

    def node(self, number: int) -> Json:
        return self.by_name("nodes", f"node{number}.example.com")

    def instance(self, letter: str) -> Json:
        return self.by_name("instances", f"{letter}.example.com")

    def disk(self, letter: str) -> Json:
        found: Json = self.config["disks"][self.instance(letter)["disks"][0]]
        return found

    def report(self, number: int) -> Json:
        found: Json = self.reports[f"node{number}.example.com"]
        return found

    def view(self) -> ConfigView:
        return datafile.parse(json.dumps(self.config).encode())

    def distribute(self) -> None:
        """Give the nodes the copies that the master would have sent them, unless `sealed`."""
        if self.sealed:
            return
        view = self.view()
        sums = {key: ssconf_sum(value) for key, value in ssconf_values(view).items()}
        for node in view.nodes.values():
            report = self.reports.get(node.name)
            if report is not None:
                report["ssconf"] = dict(sums)
                own = is_candidate(view, node.uuid)
                report["config_serial"] = view.serial_no if own else None
                for path in SECRETS:
                    report["files"][path] = self.master_files[path] if own else None


def _add_network(config: Json) -> None:
    """A network with two addresses in use: the recorded cluster had none."""
    (group,) = config["nodegroups"].values()
    uuid = "11111111-1111-4111-8111-111111111111"
    group["networks"] = {uuid: {"mode": "bridged", "link": "br0", "vlan": ""}}
    stamp = {"ctime": 1.0, "mtime": 1.0, "serial_no": 1}
    config["networks"] = {
        uuid: {
            "uuid": uuid,
            "name": "net1",
            "network": "192.0.2.0/29",
            "gateway": "192.0.2.1",
            "reservations": "00110000",
            "ext_reservations": "11000001",
            "tags": [],
            **stamp,
        }
    }
    for number, letter in enumerate("ac", start=2):
        inst = next(item for item in config["instances"].values() if item["name"][0] == letter)
        inst["nics"] = [
            {
                "uuid": f"2222222{number}-1111-4111-8111-111111111111",
                "mac": f"aa:00:00:00:00:0{number}",
                "ip": f"192.0.2.{number}",
                "network": uuid,
                "nicparams": {},
            }
        ]


class Context:
    """The parts of a JobContext that a verification uses; answers come from the recording."""

    def __init__(self, cluster: Recorded) -> None:
        self._cluster = cluster
        self.view = cluster.view()
        self.nodes = self
        self.lines: list[str] = []

    def refresh(self) -> None:
        pass

    def log(self, message: str) -> None:
        self.lines.append(message)

    def call_many(self, nodes: Sequence[Node], name: str, /, **args: Any) -> dict[str, Result]:
        return self.call_each([(node, args) for node in nodes], name)

    def call_each(
        self, questions: Sequence[tuple[Node, Mapping[str, Any]]], name: str, /, **_more: Any
    ) -> dict[str, Result]:
        return {node.uuid: self._answer(node, name, args) for node, args in questions}

    def _answer(self, node: Node, name: str, args: Mapping[str, Any]) -> Result:
        if node.name in self._cluster.silent:
            return Result(ok=False, error=RemoteError("cannot connect"))
        return Result(
            ok=True, value=msgspec.convert(self._value(node, name, args), CALLS[name].result)
        )

    def _value(self, node: Node, name: str, args: Mapping[str, Any]) -> Any:
        cluster = self._cluster
        if name == "disks_verify":
            return [cluster.disks[disk.uuid] for disk in args["disks"]]
        if name == "instances_list":
            found = [{"name": item} for item in cluster.running.get(node.name, [])]
            return dict.fromkeys(args["hypervisors"], found)
        if name == "volumes_list":
            return cluster.volumes.get(node.name, [])
        report = cluster.reports[node.name]
        if name == "node_files":
            secrets = {path: report["files"][path] for path in SECRETS}
            return {key: report[key] for key in ("ssconf", "config_serial")} | {"files": secrets}
        return report


def verify_config(cluster: Recorded, **args: Any) -> list[str]:
    """The lines of the configuration's verification."""
    context = Context(cluster)
    VerifyConfig().do(context, ARGS | args)  # type: ignore[arg-type] # a part of a context
    return context.lines


def verify_group(cluster: Recorded, monkeypatch: Any, **args: Any) -> list[str]:
    """The lines of the verification of the recorded cluster's one group."""
    context = Context(cluster)
    moments = iter([*cluster.asked] * 10)
    monkeypatch.setattr("ganeti_kernel.operations.verify.gather.time.time", lambda: next(moments))
    monkeypatch.setattr(gather, "SETTLE_PAUSE", 0.0)
    files = copy.deepcopy(cluster.master_files)
    monkeypatch.setattr(gather, "master_files", lambda: files)
    (group,) = cluster.config["nodegroups"]
    VerifyGroup().do(context, ARGS | {"group": group} | args)  # type: ignore[arg-type]
    return context.lines
