"""Logical volumes of this node, one object a segment, with the instance each belongs to."""

from __future__ import annotations

__version__ = "0.1.0"

from collections.abc import Mapping
from pathlib import Path
from shutil import which
from typing import Any

import msgspec

from ganeti_collectors_lv.owners import owners_by_volume, parse_recorded_owners
from ganeti_collectors_lv.parsing import FIELDS, OPTIONS, SEPARATOR, parse
from ganeti_kernel.errors import CommandError, ConfdClientError
from ganeti_kernel.plugins import process
from ganeti_kernel.specs import Description, PluginContext, hookimpl
from ganeti_kernel.specs.collector import CONFD_INPUTS, Collector, Input
from ganeti_kernel.specs.reading import read_text

LVS = (
    *("lvs", "--noheadings", "--units", "B", "--separator", SEPARATOR),
    *("-o", ",".join(OPTIONS)),
)
LVS_DEADLINE = 8.0
MAX_OUTPUT = 16 << 20

NODE_INSTANCES = 8
INSTANCE_DISKS = 9

Owners = Mapping[tuple[str, str], str]


class LogicalVolumes(Collector):
    """Without confd the report comes all the same, with no instance named."""

    API_VERSION = 1
    CATEGORY = "storage"
    FIELDS = FIELDS
    INPUTS = (
        Input(name="file", short="f", help="recorded output of lvs to read"),
        *CONFD_INPUTS,
        Input(name="instances", short="i", help="recorded instances with their disks"),
    )

    def __init__(self, context: PluginContext) -> None:
        super().__init__(context)
        self._inputs: Mapping[str, str] = {}

    @hookimpl
    def describe(self) -> Description:
        return Description(
            name="lv", version=__version__, summary="logical volumes and their instances"
        )

    @hookimpl
    def precondition(self) -> str | None:
        return None if which("lvs") else "the program lvs is not installed (package lvm2)"

    @hookimpl
    def use_inputs(self, inputs: Mapping[str, str]) -> None:
        self._inputs = inputs

    @hookimpl
    def collect(self) -> Any:
        text = self._volumes()
        return parse(text, self._owners() if text.strip() else {})

    def _volumes(self) -> str:
        if "file" in self._inputs:
            return read_text(self._inputs["file"])
        finished = process.check(LVS, timeout=LVS_DEADLINE, limit=MAX_OUTPUT)
        return str(finished.output)

    def _owners(self) -> Owners:
        if "instances" in self._inputs:
            path = self._inputs["instances"]
            try:
                return parse_recorded_owners(msgspec.json.decode(Path(path).read_bytes()))
            except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
                raise CommandError(f"{path} has no instances with disks: {error}") from None
        cluster = self.context.cluster
        if cluster is None or not self.context.node_name:
            return {}
        try:
            primary, secondary = cluster.ask(NODE_INSTANCES, self.context.node_name)
            names = [item["name"] for item in (*primary, *secondary) if item.get("name")]
            return owners_by_volume((name, cluster.ask(INSTANCE_DISKS, name)) for name in names)
        except (ConfdClientError, ValueError, TypeError, KeyError, AttributeError):
            return {}
