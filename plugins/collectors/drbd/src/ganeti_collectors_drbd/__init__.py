"""DRBD devices: DRBD 8 by /proc/drbd, DRBD 9 by `drbdsetup status --json`."""

from __future__ import annotations

__version__ = "0.1.0"

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ganeti_collectors_drbd import eight, nine
from ganeti_collectors_drbd.fields import FIELDS
from ganeti_collectors_drbd.judging import judge
from ganeti_kernel.errors import CommandError, ConfdClientError
from ganeti_kernel.plugins import process
from ganeti_kernel.specs import Description, PluginContext, hookimpl
from ganeti_kernel.specs.collector import KIND_STATUS, Collector, Input, merge_status
from ganeti_kernel.specs.reading import read_text

STATUS_FILE = "/proc/drbd"
DRBDSETUP = ("drbdsetup", "status", "--json", "--statistics", "--verbose")
DRBDSETUP_DEADLINE = 8.0
NODE_DRBD = 7


class Drbd(Collector):
    """Without confd the report comes all the same, with no instance named."""

    API_VERSION = 1
    CATEGORY = "storage"
    KIND = KIND_STATUS
    FIELDS = FIELDS
    INPUTS = (
        Input(name="drbd-status", short="s", help="recorded /proc/drbd (or JSON status) to read"),
        Input(name="drbd-pairing", short="p", help="recorded pairing of minors and instances"),
    )

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self._inputs: Mapping[str, str] = {}

    @hookimpl
    def describe(self) -> Description:
        return Description(name="drbd", version=__version__, summary="state of DRBD devices")

    @hookimpl
    def precondition(self) -> str | None:
        if Path(STATUS_FILE).exists():
            return None
        return f"the kernel module drbd is not loaded (there is no {STATUS_FILE})"

    @hookimpl
    def use_inputs(self, inputs: Mapping[str, str]) -> None:
        self._inputs = inputs

    @hookimpl
    def collect(self) -> Any:
        source = self._inputs.get("drbd-status", STATUS_FILE)
        versions, devices = self._devices(source, read_text(source))
        instances = self._pairing()
        for device in devices:
            if "localRole" in device:
                device["instance"] = instances.get(device["minor"])
        return {
            "status": merge_status(judge(device) for device in devices),
            "versionInfo": versions,
            "deviceInfos": devices,
        }

    def _devices(self, source: str, text: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
        if nine.is_json(text):
            return {}, nine.parse(text, source)
        versions, devices = eight.parse(text, source)
        if versions.get("version", "").startswith("9") and "drbd-status" not in self._inputs:
            finished = process.check(DRBDSETUP, timeout=DRBDSETUP_DEADLINE)
            return versions, nine.parse(finished.output, DRBDSETUP[0])
        return versions, devices

    def _pairing(self) -> dict[int, str]:
        """Minor -> instance; empty when confd does not tell."""
        if "drbd-pairing" in self._inputs:
            path = self._inputs["drbd-pairing"]
            try:
                return _by_minor(msgspec.json.decode(read_text(path)))
            except (ValueError, TypeError) as error:
                raise CommandError(f"{path} is not a pairing: {error}") from None
        cluster = self.context.cluster
        if cluster is None or not self.context.node_name:
            return {}
        try:
            return _by_minor(cluster.ask(NODE_DRBD, self.context.node_name))
        except (ConfdClientError, ValueError, TypeError):
            return {}


def _by_minor(rows: Any) -> dict[int, str]:
    return {int(minor): str(instance) for _node, minor, instance, _disk, _role, _peer in rows}
